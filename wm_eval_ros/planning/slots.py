"""What is done in a slot of either clock: decide, send, record. Free of ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import time
from typing import Protocol

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import RunError
from wm_eval_ros.planning.decision import Decider, Decision, Inputs
from wm_eval_ros.planning.record import BUSY, charged, cycle_record, published, skipped
from wm_eval_ros.planning.schedule import Schedule, Slot
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, NEVER_NS

#: calls of the planner before it is active, so that no slot pays for the first ones
WARMUP_CALLS = 5
#: budget of the first of them [ns]
FIRST_CALL_NS = 20 * 10**9
#: budget of a decision whose latency is charged, not measured: all iterations [ns]
UNBOUNDED_NS = 2**62


class Hands(Protocol):
    """What the slots need of the node around them."""

    def look(self) -> Inputs:
        """Return the newest readings."""
        ...

    def in_force(self) -> tuple[float, ...]:
        """Return the command in force as a slot begins, shape (A,); empty: none yet."""
        ...

    def strike(self, task_ns: int) -> int:
        """Begin a slot at this task time; return what its decision is charged beyond its own."""
        ...

    def send(self, action: tuple[float, ...], stamp_ns: int) -> tuple[float, ...]:
        """Propose a command with this stamp; return it as its message holds it, shape (A,)."""
        ...

    def record(self, record: CycleRecord, divergence: float | None = None) -> None:
        """Score and publish a record."""
        ...


class SlotWork:
    """
    Decides slots and makes their records.

    :param topic: resolved name of the topic of the proposals
    """

    def __init__(self, settings: PlannerSettings, decider: Decider, hands: Hands, topic: str
                 ) -> None:
        self.decider, self.hands = decider, hands
        self.period_ns = round(settings.period_ms * 1e6)
        self._deadline_ns = round(settings.deadline_ms * 1e6)
        self.budget_ns = round(settings.budget_ms * 1e6)
        #: from the begin of a slot to its command at least, in realtime [ns]
        self.least_ns = round(settings.least_latency_ms * 1e6)
        self._with_rollout, self._name, self._topic = (settings.record_rollout, settings.planner,
                                                       topic)

    def decide(self, slot: Slot, episode: EpisodeEvent, *, stamp_ns: int, start_ns: int,
               until_ns: int) -> tuple[Decision, CycleRecord]:
        """
        Decide a slot; return its record as far as the decision goes.

        :param stamp_ns: start of the slot [ns, ROS]
        :param start_ns: start of the slot [ns, steady], simulated where it is charged
        :param until_ns: when planning must end [ns, steady]
        """
        inputs = replace(self.hands.look(), executed=self.hands.in_force())
        decision = self.decider.decide(slot.number, inputs, stamp_ns, episode.stamp_ns, until_ns)
        return decision, cycle_record(
            slot, decision, stamp_ns=stamp_ns, episode=episode.episode, start_ns=start_ns,
            period_ns=self.period_ns, deadline_ns=self._deadline_ns, inputs=inputs,
            with_rollout=self._with_rollout)

    def sent(self, record: CycleRecord, action: tuple[float, ...], *, stamp_ns: int,
             steady_ns: int, system_ns: int) -> CycleRecord:
        """Return the record of a slot whose command was sent."""
        self.decider.sent(record.slot, action)
        return published(record, self._topic, action, stamp_ns=stamp_ns, steady_ns=steady_ns,
                         system_ns=system_ns)

    def finish(self, record: CycleRecord, decision: Decision) -> None:
        """Record a slot; what no command waits for is computed now."""
        if record.rollout is not None:
            record = replace(record, rollout_std=self.decider.spread(decision))
        self.hands.record(record, self.decider.divergence(decision))

    def passed(self, slot: Slot, episode: EpisodeEvent, stamp_ns: int, reason: str = BUSY) -> None:
        """Record a slot in which nothing was decided."""
        self.hands.record(skipped(slot, stamp_ns=stamp_ns, episode=episode.episode, reason=reason,
                                  period_ns=self.period_ns, deadline_ns=self._deadline_ns))

    def warm_up(self, inputs: Inputs) -> list[CycleRecord]:
        """
        Plan on a made-up state: allocators and caches get warm.

        The first call has time for all iterations, so that whatever one needs once, as the
        compiling of its shape, is done before the first slot.

        :returns: a record of each call; no slots
        :raises RunError: the planner fails on it
        """
        self.decider.begin_episode(0)
        schedule, records = Schedule(self.period_ns), []
        for call in range(WARMUP_CALLS):
            now_ns = time.monotonic_ns()
            until_ns = now_ns + (self.budget_ns if call else FIRST_CALL_NS)
            schedule.anchor(now_ns)
            _, slot = schedule.take(now_ns)
            decision = self.decider.decide(slot.number, inputs, 0, 0, until_ns)
            record = cycle_record(
                slot, decision, stamp_ns=time.time_ns(), episode=0, start_ns=now_ns,
                period_ns=self.period_ns, deadline_ns=self._deadline_ns, with_rollout=False)
            records.append(replace(record, status=CycleStatus.WARMUP))
            if decision.status is CycleStatus.EXCEPTION:
                raise RunError(f'planner {self._name!r} fails on the warm-up state: '
                               f'{decision.reason}')
        return records


class ChargedSlots:
    """
    The slots of `lockstep` and `free`: one a set of samples, charged in simulated time.

    :param charge: makes the charge of a decision out of the time it took [ns]
    :param repeatable: the charge does not depend on the time a decision takes
    """

    def __init__(self, work: SlotWork, charge: Callable[[int], int], *, repeatable: bool) -> None:
        self._work, self._charge, self._repeatable = work, charge, repeatable
        self._schedule = Schedule(work.period_ns)
        self._busy_until_ns = 0

    def begin(self) -> None:
        """Begin an episode: nothing is being thought about."""
        self._busy_until_ns = 0

    def answer(self, stamp_ns: int, episode: EpisodeEvent) -> tuple[tuple[float, ...], int] | None:
        """
        Take the slot of a set of samples.

        :param stamp_ns: of the samples [ns, simulated]
        :returns: the command as its message holds it and its stamp; None: nothing was proposed
        """
        self._schedule.anchor(stamp_ns)
        _, slot = self._schedule.take(stamp_ns)
        if stamp_ns < self._busy_until_ns:
            self._work.passed(slot, episode, stamp_ns)
            return None
        work, begun_ns = self._work, time.monotonic_ns()
        slower_ns = work.hands.strike(stamp_ns - episode.stamp_ns)
        until_ns = UNBOUNDED_NS if self._repeatable else begun_ns + work.budget_ns
        decision, record = work.decide(slot, episode, stamp_ns=stamp_ns, start_ns=stamp_ns,
                                       until_ns=until_ns)
        done_ns = stamp_ns + self._charge(time.monotonic_ns() - begun_ns) + slower_ns
        record = charged(record, stamp_ns, done_ns)
        if decision.infer_end_ns != NEVER_NS:
            self._busy_until_ns = done_ns
        answer = None
        if decision.action is not None:
            answer = (work.hands.send(decision.action, done_ns), done_ns)
            record = work.sent(record, decision.action, stamp_ns=done_ns, steady_ns=done_ns,
                               system_ns=done_ns)
        work.finish(record, decision)
        return answer
