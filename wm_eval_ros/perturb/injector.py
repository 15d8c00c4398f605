"""Carries a schedule out: what begins and ends at an instant, and what acts in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.errors import WmEvalError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.host import Host
from wm_eval_ros.perturb.protocol import (
    ChangesDelivery,
    ChangesEncoding,
    ChangesEndpoints,
    ChangesImages,
    ChangesLength,
    ChangesPlanning,
    ChangesRate,
    ChangesSize,
    ChangesValues,
    ChangesWorld,
    Copy,
    Floats,
    HasDuration,
    Pixels,
    WorldChange,
)
from wm_eval_ros.perturb.schedule import schedule, Scheduled
from wm_eval_ros.perturb.targets import targets, UnsupportedError
from wm_eval_ros.records import EventKind, NameEnum

#: what carries a world change out: None: the world as it was; it says why it cannot
World = Callable[[Sequence[WorldChange]], str]


class Outcome(NameEnum):
    """What became of a perturbation."""

    APPLIED = 'applied'
    SKIPPED = 'skipped'
    UNSUPPORTED = 'unsupported'


@dataclass(frozen=True, slots=True)
class Change:
    """A perturbation began, ended, or did not act."""

    kind: EventKind
    name: str
    severity: float
    outcome: Outcome = Outcome.APPLIED
    why: str = ''

    @property
    def label(self) -> str:
        """The label of its event."""
        if self.kind is EventKind.PERTURB_SKIPPED:
            return f'{self.name}: {self.outcome}: {self.why}'
        return self.name


@dataclass(slots=True)
class _Active:
    plan: Scheduled
    #: topic -> the instance that acts there; '' for what acts on the world or a process
    by_topic: dict[str, Any] = field(default_factory=dict)


class Injector:
    """
    The perturbations of the running episode; asked with the task time of each instant.

    Values, images and messages pass through the perturbations in the order of their onset.
    """

    def __init__(self, settings: Sequence[PerturbationSettings], host: Host,
                 world: World | None = None) -> None:
        """
        Make an injector in which nothing is on.

        :param world: carries out changes of the world; needed where the host does not lack them
        :raises WmEvalError: a perturbation that is not known, or with wrong parameters or topics
        """
        self._settings, self._host, self._world = tuple(settings), host, world
        self._waiting: list[Scheduled] = []
        self._active: dict[str, _Active] = {}
        for each in settings:
            catalogue.check(each.name, each.parameters)
            # what cannot act here is told at its onset: the same scenario may run elsewhere
            with contextlib.suppress(UnsupportedError):
                targets(each.name, catalogue.load(each.name), each.topics, host)

    def begin(self, seed: int) -> None:
        """Begin an episode of this seed, just after the reset; nothing is on."""
        self._active.clear()
        self._waiting = list(schedule(self._settings, seed))

    @property
    def on(self) -> tuple[str, ...]:
        """Names of what acts now, in order of their onset."""
        return tuple(self._active)

    def step(self, task_ns: int) -> list[Change]:
        """Return what ends and what begins at this task time [ns], in this order."""
        changes = [self._stop(name) for name, active in list(self._active.items())
                   if active.plan.end_ns is not None and active.plan.end_ns <= task_ns]
        while self._waiting and self._waiting[0].start_ns <= task_ns:
            changes.append(self._start(self._waiting.pop(0), task_ns))
        return changes

    def end(self) -> list[Change]:
        """End everything with the episode; what never began is told too."""
        changes = [self._stop(name) for name in list(self._active)]
        changes += [_skipped(plan, Outcome.SKIPPED, 'the episode ended before its onset')
                    for plan in self._waiting]
        self._waiting.clear()
        return changes

    def inject(self, plan: Scheduled, task_ns: int) -> Change:
        """Begin a perturbation now that was not scheduled; severity 0 ends that of its name."""
        if plan.severity == 0.0 and plan.name in self._active:
            return self._stop(plan.name)
        return self._start(plan, task_ns)

    # what acts ----------------------------------------------------------------------------------

    def touches(self, topic: str) -> bool:
        """Say whether anything acts on a topic now; else its messages pass as they are."""
        return any(topic in active.by_topic for active in self._active.values())

    def values(self, topic: str, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Return the numbers of a topic as they are passed on, shape (F,)."""
        for each in self._acting(topic, ChangesValues):
            values = each.change_values(values, unit, task_ns)
        return values

    def length(self, topic: str) -> Callable[[int], int] | None:
        """Return how many of a list's entries are passed on; None: all."""
        acting = list(self._acting(topic, ChangesLength))
        return acting[-1].change_length if acting else None

    def image(self, topic: str, pixels: Pixels, task_ns: int) -> Pixels:
        """Return the image of a topic as it is passed on."""
        for each in self._acting(topic, ChangesImages):
            pixels = each.change_image(pixels, task_ns)
        return pixels

    def size(self, topic: str, size: int) -> int:
        """Return how many bytes of an image are passed on."""
        for each in self._acting(topic, ChangesSize):
            size = each.change_size(size)
        return size

    def encoding(self, topic: str, encoding: str) -> str:
        """Return the encoding an image says."""
        for each in self._acting(topic, ChangesEncoding):
            encoding = each.change_encoding(encoding)
        return encoding

    def disturb_plan(self, task_ns: int) -> int:
        """
        Return how much longer the decision of this instant takes [ns].

        :raises PlanningFault: the planner is to fail
        """
        return sum(each.disturb_plan(task_ns) for each in self._acting('', ChangesPlanning))

    def deliver(self, topic: str, task_ns: int) -> list[Copy]:
        """Return what leaves for a message of this instant."""
        copies = [Copy()]
        for each in self._acting(topic, ChangesDelivery):
            copies = [Copy(c.delay_ns + d.delay_ns, c.stamp_shift_ns + d.stamp_shift_ns)
                      for c in copies for d in each.deliver(task_ns)]
        return copies

    def samples_between(self, topic: str) -> bool:
        """Say whether a topic has one more sample before the next that is due."""
        # every one is asked: it counts what it owes
        return bool(sum(each.samples_between() for each in self._acting(topic, ChangesRate)))

    def is_apart(self, topic: str) -> bool:
        """Say whether a topic's reader asks for what its writer does not offer."""
        return any(each.is_apart() for each in self._acting(topic, ChangesEndpoints))

    def acts(self, topic: str, ability: Any) -> bool:
        """Say whether something changes a topic in this way."""
        return any(True for _ in self._acting(topic, ability))

    def _acting(self, topic: str, ability: Any) -> Iterator[Any]:
        for active in self._active.values():
            instance = active.by_topic.get(topic)
            if isinstance(instance, ability):
                yield instance

    # on and off ---------------------------------------------------------------------------------

    def _start(self, plan: Scheduled, task_ns: int) -> Change:
        if plan.name in self._active:
            return _skipped(plan, Outcome.SKIPPED, 'it is on already')
        if plan.severity == 0.0:
            return _skipped(plan, Outcome.SKIPPED, 'severity 0 changes nothing')
        if plan.end_ns is not None and plan.end_ns <= task_ns:
            return _skipped(plan, Outcome.SKIPPED, 'it ends before the world gets to it')
        try:
            active = self._attach(plan)
        except (UnsupportedError, WmEvalError) as error:
            return _skipped(plan, Outcome.UNSUPPORTED, str(error))
        self._active[plan.name] = active
        why = self._change_world() if isinstance(active.by_topic.get(''), ChangesWorld) else ''
        if why:
            del self._active[plan.name]
            self._change_world()
            return _skipped(plan, Outcome.UNSUPPORTED, why)
        return Change(EventKind.PERTURB_ON, plan.name, plan.severity)

    def _stop(self, name: str) -> Change:
        active = self._active.pop(name)
        if isinstance(active.by_topic.get(''), ChangesWorld):
            self._change_world()
        return Change(EventKind.PERTURB_OFF, name, active.plan.severity)

    def _attach(self, plan: Scheduled) -> _Active:
        kind = catalogue.load(plan.name)
        channels = targets(plan.name, kind, plan.topics, self._host)
        made = {topic: catalogue.make(plan.name, plan.severity,
                                      np.random.default_rng([plan.seed, number]), plan.parameters)
                for number, topic in enumerate([c.topic for c in channels] or [''])}
        return _Active(own_end(plan, next(iter(made.values()))), made)

    def _change_world(self) -> str:
        changes = [instance.world_change() for active in self._active.values()
                   for instance in active.by_topic.values()
                   if isinstance(instance, ChangesWorld)]
        assert self._world is not None
        return self._world(changes)


def own_end(plan: Scheduled, instance: Any) -> Scheduled:
    """Give a perturbation without a scheduled end the one of its own, if it has one."""
    if plan.end_ns is not None or not isinstance(instance, HasDuration):
        return plan
    return replace(plan, end_ns=plan.start_ns + round(instance.lasts_s() * 1e9))


def _skipped(plan: Scheduled, outcome: Outcome, why: str) -> Change:
    return Change(EventKind.PERTURB_SKIPPED, plan.name, plan.severity, outcome, why)
