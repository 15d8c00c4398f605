"""Slots in either clock with hands of the test's own: no graph, the real decider and records."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
import math
from pathlib import Path
import threading
import time

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import RunError
from wm_eval_ros.planning.decision import Decider, Inputs, Reading
from wm_eval_ros.planning.episodes import Episodes
from wm_eval_ros.planning.protocol import Plan
from wm_eval_ros.planning.realtime import NOT_RUNNING, RealtimeSlots
from wm_eval_ros.planning.record import BUSY
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.planning.slot_mark import Mark, SlotMark
from wm_eval_ros.planning.slots import (
    ChargedSlots,
    FIRST_CALL_NS,
    SlotWork,
    UNBOUNDED_NS,
    WARMUP_CALLS,
)
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind, InputRef

MS = 1_000_000
INTERFACE = Interface(
    observations=(Stream(topic='joint_states', type='t', fields=('position[0]',)),),
    command=CommandStream(topic='c', type='t', fields=('effort[0]',), low=(-1.0,), high=(1.0,)))
START = EpisodeEvent(1000 * MS, 3, EventKind.START, '', 7.0)


class Planned:
    """A planner that takes a while, may fail, and counts up."""

    def __init__(self) -> None:
        self.calls, self.fails, self.meanwhile = 0, False, lambda: None
        self.deadlines: list[int] = []

    def reset(self, seed: int) -> None:
        self.calls = 0

    def plan(self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
             elapsed_steps: int = 1, in_flight: torch.Tensor | None = None) -> Plan:
        self.meanwhile()
        if self.fails:
            raise ValueError('no plan')
        self.calls += 1
        self.deadlines.append(deadline_ns)
        return Plan(torch.tensor([[self.calls / 8]]), None, math.nan)


class Hands:
    """What the node is to the slots."""

    def __init__(self) -> None:
        self.stamp_ns, self.executed, self.slower_ns = START.stamp_ns, (), 0
        self.struck: list[int] = []
        self.sent: list[tuple[tuple[float, ...], int]] = []
        self.records: list[CycleRecord] = []

    def look(self) -> Inputs:
        return Inputs((Reading(InputRef('/joint_states', self.stamp_ns), np.zeros(1)),), None)

    def in_force(self) -> tuple[float, ...]:
        return self.executed

    def strike(self, task_ns: int) -> int:
        self.struck.append(task_ns)
        return self.slower_ns

    def send(self, action: tuple[float, ...], stamp_ns: int) -> tuple[float, ...]:
        self.sent.append((action, stamp_ns))
        return (round(action[0], 2),)

    def record(self, record: CycleRecord, divergence: float | None = None) -> None:
        assert divergence is None
        self.records.append(record)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def planner() -> Planned:
    return Planned()


@pytest.fixture
def work(hands: Hands, planner: Planned) -> SlotWork:
    settings = PlannerSettings(period_ms=50.0, deadline_ms=50.0, planner='p')
    decider = Decider(INTERFACE, None, planner, stale_ns=10**18)
    decider.begin_episode(0)
    return SlotWork(settings, decider, hands, '/proposed/c')


def test_a_charged_slot_is_answered_at_its_charge_and_the_next_passes_while_it_is_thought_about(
    work: SlotWork, hands: Hands, planner: Planned,
) -> None:
    slots = ChargedSlots(work, lambda measured_ns: 40 * MS, repeatable=True)
    slots.begin()
    hands.slower_ns, hands.executed = 20 * MS, (0.5,)
    assert slots.answer(1000 * MS, START) == ((0.12,), 1060 * MS)
    assert slots.answer(1050 * MS, START) is None
    hands.stamp_ns = 1100 * MS
    assert slots.answer(1100 * MS, START) == ((0.25,), 1160 * MS)
    assert planner.deadlines == [UNBOUNDED_NS] * 2
    # the slot that passed strikes nothing
    assert hands.struck == [0, 100 * MS]
    first, passed, last = hands.records
    assert (first.slot, first.status, first.action) == (0, CycleStatus.LATE, (0.125,))
    assert (first.infer_start_ns, first.infer_end_ns) == (1000 * MS, 1060 * MS)
    assert (first.publish_ns, first.command_stamp_ns) == (1060 * MS, 1060 * MS)
    assert (first.command_topic, first.executed) == ('/proposed/c', (0.5,))
    assert (passed.slot, passed.status, passed.reason) == (1, CycleStatus.SKIPPED, BUSY)
    assert (last.slot, last.episode) == (2, 3)


def test_what_is_thought_about_ends_with_its_episode(work: SlotWork, hands: Hands) -> None:
    slots = ChargedSlots(work, lambda measured_ns: 500 * MS, repeatable=False)
    assert slots.answer(1000 * MS, START) is not None
    slots.begin()
    assert slots.answer(1050 * MS, START) is not None
    assert [r.status for r in hands.records] == [CycleStatus.LATE] * 2


def test_the_first_call_of_the_warm_up_has_time_for_all_iterations(
    work: SlotWork, hands: Hands, planner: Planned,
) -> None:
    begun_ns = time.monotonic_ns()
    work.warm_up(hands.look())
    first, *rest = (deadline - begun_ns for deadline in planner.deadlines)
    assert first >= FIRST_CALL_NS
    assert all(0 < left < 10**9 for left in rest)


def test_a_planner_that_fails_answers_nothing_and_one_that_fails_at_once_is_refused(
    work: SlotWork, hands: Hands, planner: Planned,
) -> None:
    assert [r.status for r in work.warm_up(hands.look())] == [CycleStatus.WARMUP] * WARMUP_CALLS
    assert hands.sent == []
    planner.fails = True
    assert ChargedSlots(work, lambda _: 0, repeatable=True).answer(1000 * MS, START) is None
    assert hands.records[0].status is CycleStatus.EXCEPTION
    with pytest.raises(RunError, match="planner 'p' fails on the warm-up state: ValueError: no"):
        work.warm_up(hands.look())


class Realtime:
    """A loop in realtime that is left after some slots."""

    def __init__(self, work: SlotWork, mark: SlotMark | None = None, **more: object) -> None:
        self.episodes, self.active = Episodes(), threading.Event()
        self.slots = RealtimeSlots(
            work, self.episodes, self.active, enter=lambda: self.episodes.enter()[0],
            ros_ns=lambda: START.stamp_ns, mark=mark, **more)  # type: ignore[arg-type]
        self.active.set()

    def run(self, hands: Hands, until: Callable[[], bool]) -> None:
        thread = threading.Thread(target=self.slots.keep)
        self.episodes.told(START)
        thread.start()
        end = time.monotonic() + 10.0
        while not until() and time.monotonic() < end:
            time.sleep(0.005)
        self.active.clear()
        self.episodes.begun.set()
        thread.join()
        assert until()


def test_in_realtime_every_slot_of_the_grid_has_a_record_after_the_warm_up_ones(
    work: SlotWork, hands: Hands,
) -> None:
    warmups = work.warm_up(hands.look())
    loop = Realtime(work, warmups=warmups)
    loop.run(hands, lambda: len(hands.records) >= WARMUP_CALLS + 3)
    assert hands.records[:WARMUP_CALLS] == warmups
    slots = hands.records[WARMUP_CALLS:]
    assert [r.slot for r in slots] == list(range(len(slots)))
    assert {b.due_ns - a.due_ns for a, b in pairwise(slots)} == {50 * MS}
    assert len(hands.sent) == sum(bool(r.action) for r in slots)


def test_a_plan_that_outlasts_its_episode_is_not_sent(
    work: SlotWork, hands: Hands, planner: Planned,
) -> None:
    loop = Realtime(work)
    loop.episodes.told(START)
    loop.slots._schedule.anchor(time.monotonic_ns())
    planner.meanwhile = lambda: loop.episodes.told(
        EpisodeEvent(0, 3, EventKind.SUCCESS)) and None
    loop.slots.slot()
    assert hands.sent == []
    [record] = hands.records
    assert (record.status, record.reason) == (CycleStatus.SKIPPED,
                                              'the episode ended before the plan')


def late_work(hands: Hands, planner: Planned, least_ms: float) -> SlotWork:
    settings = PlannerSettings(period_ms=50.0, deadline_ms=50.0, least_latency_ms=least_ms)
    decider = Decider(INTERFACE, None, planner, stale_ns=10**18)
    decider.begin_episode(0)
    return SlotWork(settings, decider, hands, '/proposed/c')


def test_an_injected_latency_holds_each_command_back_and_the_slots_meanwhile_pass(
    hands: Hands, planner: Planned,
) -> None:
    Realtime(late_work(hands, planner, 120.0)).run(
        hands, lambda: sum(bool(r.action) for r in hands.records) >= 2)
    sent = [r for r in hands.records if r.action]
    assert all(r.publish_ns - r.start_ns >= 120 * MS for r in sent)
    assert all(r.infer_end_ns - r.start_ns < 120 * MS for r in sent)
    assert {r.status for r in sent} == {CycleStatus.LATE}
    between = hands.records[hands.records.index(sent[0]) + 1]
    assert (between.status, between.reason) == (CycleStatus.SKIPPED, BUSY)


def test_a_command_held_back_is_not_sent_once_its_episode_is_over(
    hands: Hands, planner: Planned,
) -> None:
    loop = Realtime(late_work(hands, planner, 10_000.0))
    loop.episodes.told(START)
    loop.slots._schedule.anchor(time.monotonic_ns())
    ended = threading.Timer(0.05, lambda: loop.episodes.told(
        EpisodeEvent(0, 3, EventKind.SUCCESS)))
    ended.start()
    loop.slots.slot()
    assert hands.sent == []
    assert hands.records[0].status is CycleStatus.SKIPPED


def test_a_planner_that_is_started_again_goes_on_on_the_grid_of_its_predecessor(
    work: SlotWork, hands: Hands, tmp_path: Path,
) -> None:
    died_ns = time.monotonic_ns() - 130 * MS
    before = SlotMark(tmp_path / 'mark')
    before.taken(Slot(10, died_ns - 50 * MS), 3)
    before.recorded(10, 3)
    before.taken(Slot(11, died_ns), 3)
    joined: list[Mark] = []
    mark = SlotMark(tmp_path / 'mark')
    loop = Realtime(work, mark, rejoined=joined.append)
    loop.slots.met = True
    loop.run(hands, lambda: any(r.action for r in hands.records))
    assert joined == [Mark(Slot(11, died_ns), 3, 10)]
    first = hands.records[0]
    assert (first.slot, first.due_ns, first.status, first.reason) == (
        12, died_ns + 50 * MS, CycleStatus.SKIPPED, NOT_RUNNING)
    numbers = [r.slot for r in hands.records]
    assert numbers == list(range(12, 12 + len(numbers)))
    left = mark.read()
    assert left is not None
    assert (left.slot.number, left.first) == (numbers[-1], 10)


def test_of_an_episode_whose_first_slot_passed_the_first_record_is_that_ones(
    work: SlotWork, hands: Hands, tmp_path: Path,
) -> None:
    mark = SlotMark(tmp_path / 'mark')
    loop = Realtime(work, mark)
    loop.episodes.told(START)
    loop.slots._schedule.anchor(time.monotonic_ns() - 70 * MS)
    loop.slots.slot()
    assert [r.slot for r in hands.records] == [0, 1]
    left = mark.read()
    assert left is not None and (left.slot.number, left.first) == (1, 0)
