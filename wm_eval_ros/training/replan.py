"""
Plan recorded slots again: the same command must come out, to the bit.

What a decision depends on is in the record: features and goal in physical units, the number of
iterations, which slots sent what. What is carried from slot to slot (the latent, the warm start,
the generator) is made again by going through the episode from its START with its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
import inspect
from typing import Any

import numpy as np

from wm_eval_ros import plugins
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.decision import Decider, Decision, Inputs, Reading
from wm_eval_ros.planning.protocol import Planner
from wm_eval_ros.planning.struck import StruckPlanner
from wm_eval_ros.records import (
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    InputRef,
    NameEnum,
)
from wm_eval_ros.wire.fields import feature_names, joined_names

#: statuses of slots in which the planner was asked for nothing
_NOT_ASKED = frozenset({CycleStatus.NO_INPUT, CycleStatus.STALE_INPUT})
#: how the reason of a slot begins in which a perturbation made the planner fail
INJECTED = 'PlanningFault'
#: older than any input, newer than any
_EVER_NS = 2**62


class Outcome(NameEnum):
    """What came of planning a slot again."""

    #: command, cost, latent and rollout are the recorded ones, to the bit
    IDENTICAL = 'identical'
    DIFFERENT = 'different'
    #: nothing was decided in this slot
    NO_DECISION = 'no decision'
    #: what it depends on is not in the record
    NOT_REPLAYABLE = 'not replayable'


@dataclass(frozen=True, slots=True)
class Replanned:
    """One slot, planned again."""

    slot: int
    episode: int
    outcome: Outcome
    #: why it cannot be, or what differs
    why: str = ''
    #: recorded command and the one planned now, in the command's units, shape (A,)
    recorded: tuple[float, ...] = ()
    planned: tuple[float, ...] = ()
    #: of cost, latent and rollout, those recorded that differ in any bit
    differs: tuple[str, ...] = ()


class Ticks:
    """A clock that moves on by one with each look: an anytime planner counts iterations by it."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.now = 0

    def __call__(self) -> int:
        """Return the next tick."""
        self.now += 1
        return self.now

    def after(self, iterations: int) -> int:
        """
        Return the deadline at which a planner stops after so many iterations.

        It looks once at its begin and once after each iteration, and begins another only if the
        longest so far, one tick, would still fit.
        """
        return self.now + 1 + iterations


class Replanner:
    """Holds the run's planner as it was configured, and goes through episodes."""

    def __init__(self, scenario: Scenario, model: WorldModel | None) -> None:
        """
        Make the planner that the scenario names.

        :raises UnknownNameError: there is none of that name here
        :raises CheckpointError: the model does not fit the scenario
        """
        kind: Any = plugins.load('wm_eval_ros.planners', scenario.planner.planner)
        self._ticks = Ticks()
        timed = 'clock' in inspect.signature(kind).parameters
        planner: Planner = (
            kind(scenario.planner, model, scenario.interface, clock=self._ticks) if timed
            else kind(scenario.planner, model, scenario.interface))
        self._interface, self._limit = scenario.interface, scenario.planner.iterations
        #: an injected fault struck the decision that is replayed
        self._struck = False
        #: the planner's own last command in the episode
        self._own: tuple[float, ...] = ()
        self._decider = Decider(scenario.interface, model, StruckPlanner(planner, self._strike),
                                stale_ns=2 * _EVER_NS,
                                delay_steps=scenario.planner.delay_steps)

    def _strike(self) -> None:
        if self._struck:
            raise RuntimeError(INJECTED)

    def episode(
        self, start: EpisodeEvent | None, cycles: Sequence[CycleRecord], first_slot: int | None,
    ) -> Iterator[Replanned]:
        """
        Plan the slots of an episode again.

        Warm-up calls among them say that the planner's process was started anew, and carries
        nothing over.

        :param start: its START, whose value is the seed; None: not recorded
        :param cycles: its slots, in their order
        :param first_slot: number its first slot must have; None: not known
        """
        lost = missing = '' if start is not None else (
            'the START of the episode, with its seed, is missing')
        self._begin(start)
        expected = first_slot
        for cycle in cycles:
            if cycle.status is CycleStatus.WARMUP:
                self._begin(start)
                lost, expected = missing, None
                continue
            if expected is not None and cycle.slot != expected:
                lost = lost or (f'slots {expected} to {cycle.slot - 1} are not in the bag: what '
                                'they left behind is not known' if cycle.slot > expected else
                                f'slot {cycle.slot} stands where {expected} should')
            expected = cycle.slot + 1
            found = self._slot(cycle, lost)
            yield found
            if found.outcome is Outcome.NOT_REPLAYABLE:
                lost = lost or f'slot {cycle.slot} before it could not be: {found.why}'

    def _begin(self, start: EpisodeEvent | None) -> None:
        self._own = ()
        if start is not None:
            self._decider.begin_episode(int(start.value))

    def _slot(self, cycle: CycleRecord, lost: str) -> Replanned:
        asked = cycle.status not in _NOT_ASKED and bool(cycle.inputs)
        if not asked:
            return Replanned(cycle.slot, cycle.episode, Outcome.NO_DECISION, cycle.reason)
        why = lost or self._missing(cycle)
        if why:
            return Replanned(cycle.slot, cycle.episode, Outcome.NOT_REPLAYABLE, why)
        self._struck = cycle.reason.startswith(INJECTED)
        if cycle.status is CycleStatus.EXCEPTION and not self._struck:
            return Replanned(cycle.slot, cycle.episode, Outcome.NOT_REPLAYABLE,
                             f'the planner raised: {cycle.reason}')
        decision = self._decider.decide(
            cycle.slot, self._inputs(cycle), 0, -_EVER_NS,
            self._ticks.after(cycle.iterations or self._limit))
        if self._struck:
            return Replanned(cycle.slot, cycle.episode, Outcome.NO_DECISION, cycle.reason)
        if cycle.action:
            self._own = cycle.action
            self._decider.sent(cycle.slot, cycle.action)
        return _compared(cycle, decision)

    def _missing(self, cycle: CycleRecord) -> str:
        goal = self._interface.goal
        if self._interface.images:
            return 'the model sees images, which no record holds'
        if self._interface.goal_image is not None:
            return 'the goal is an image, which no record holds'
        width = len(joined_names(self._interface.observations))
        if len(cycle.observation) != width:
            return f'the record holds {len(cycle.observation)} of {width} features'
        if goal is not None and len(cycle.goal) != len(feature_names(goal)):
            return 'the record holds no goal: it is of an earlier version'
        return ''

    def _inputs(self, cycle: CycleRecord) -> Inputs:
        inputs = inputs_of(self._interface, cycle)
        # earlier versions recorded none, and took the planner's own last one for executed
        return inputs if inputs.executed else replace(inputs, executed=self._own)


def inputs_of(interface: Interface, cycle: CycleRecord) -> Inputs:
    """Return what a decision looked at, from its record."""
    readings, at = [], 0
    for stream in interface.observations:
        width = len(feature_names(stream))
        readings.append(Reading(InputRef(stream.topic, 0),
                                np.array(cycle.observation[at:at + width])))
        at += width
    goal = None if interface.goal is None else Reading(
        InputRef(interface.goal.topic, 0), np.array(cycle.goal))
    return Inputs(tuple(readings), goal, cycle.executed)


def replan(
    replanner: Replanner, events: Sequence[EpisodeEvent], cycles: Sequence[CycleRecord],
    wanted: Callable[[int], bool] = lambda _: True,
) -> Iterator[Replanned]:
    """
    Plan the slots of a run again, episode by episode.

    :param cycles: all of the run, warm-up calls too, in the order of the file
    :param wanted: says of the number of an episode whether it is to be planned again
    """
    starts = {e.episode: e for e in events if e.kind is EventKind.START}
    first: int | None = 0
    for episode, own in _episodes(cycles):
        if wanted(episode):
            yield from replanner.episode(starts.get(episode), own, first)
        first = next((c.slot + 1 for c in reversed(own) if c.status is not CycleStatus.WARMUP),
                     first)


def _episodes(cycles: Sequence[CycleRecord]) -> Iterator[tuple[int, list[CycleRecord]]]:
    """Yield the slots by episode; warm-up calls, which have none, go with the slots behind."""
    own: list[CycleRecord] = []
    waiting: list[CycleRecord] = []
    episode: int | None = None
    for cycle in cycles:
        if cycle.status is CycleStatus.WARMUP:
            waiting.append(cycle)
            continue
        if episode is not None and cycle.episode != episode:
            yield episode, own
            own = []
        episode = cycle.episode
        own += [*waiting, cycle]
        waiting = []
    if episode is not None:
        yield episode, own


def _compared(cycle: CycleRecord, decision: Decision) -> Replanned:
    recorded, planned = cycle.action, decision.action or ()
    plan = decision.plan
    if plan is None:
        return Replanned(cycle.slot, cycle.episode, Outcome.DIFFERENT,
                         f'{decision.status.name}: {decision.reason}', recorded)
    if plan.iterations != cycle.iterations:
        return Replanned(cycle.slot, cycle.episode, Outcome.NOT_REPLAYABLE,
                         f'the planner ran {plan.iterations} iterations, then {cycle.iterations}: '
                         'it does not keep to a deadline in iterations', recorded, planned)
    pairs = {'cost': (cycle.cost, plan.cost), 'latent': (cycle.latent, decision.latent),
             'rollout': (cycle.rollout, plan.rollout)}
    differs = tuple(name for name, (then, now) in pairs.items()
                    if then is not None and not _same(then, now))
    if recorded and not _same(recorded, planned):
        most = float(np.max(np.abs(np.subtract(recorded, planned)))) if planned else float('nan')
        return Replanned(cycle.slot, cycle.episode, Outcome.DIFFERENT,
                         f'commands differ by up to {most:.3g}', recorded, planned, differs)
    if differs:
        return Replanned(cycle.slot, cycle.episode, Outcome.DIFFERENT,
                         'the same command on other grounds' if recorded else
                         'nothing was sent, and the plan is another', recorded, planned, differs)
    return Replanned(cycle.slot, cycle.episode, Outcome.IDENTICAL, '', recorded, planned)


def _same(then: Any, now: Any) -> bool:
    """Compare bits, as NaN is no number and minus zero is none of its own."""
    a = np.asarray(then)
    b = np.asarray(now, a.dtype) if now is not None else np.zeros(0, a.dtype)
    return a.shape == b.shape and a.tobytes() == b.tobytes()
