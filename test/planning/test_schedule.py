"""The schedule: slots by the grid, none twice, none lost."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.charge import LatencyCharge, read_trace
from wm_eval_ros.planning.schedule import Schedule
from wm_eval_ros.records import ClockMode


def test_on_time_nothing_is_skipped() -> None:
    schedule = Schedule(50)
    schedule.anchor(1000)
    assert [schedule.take(t)[1].due_ns for t in (1000, 1050, 1100)] == [1000, 1050, 1100]


def test_a_stall_of_520_ms_skips_nine_slots_and_starts_the_tenth_late() -> None:
    schedule = Schedule(50)
    schedule.anchor(0)
    schedule.take(0)
    skipped, slot = schedule.take(520)
    assert [s.number for s in skipped] == list(range(1, 10))
    assert (slot.number, slot.due_ns) == (10, 500)


def test_a_slot_just_passed_by_less_than_a_period_is_still_worked_on() -> None:
    schedule = Schedule(50)
    schedule.anchor(0)
    skipped, slot = schedule.take(49)
    assert skipped == []
    assert slot.number == 0


def test_a_pause_uses_no_numbers() -> None:
    schedule = Schedule(50)
    schedule.anchor(0)
    schedule.take(0)
    schedule.pause()
    with pytest.raises(RuntimeError):
        schedule.next_due_ns()
    schedule.anchor(10_000)
    assert schedule.take(10_000)[1].number == 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_every_number_appears_once_and_lies_on_the_grid(waits: list[int]) -> None:
    schedule, now, seen = Schedule(50), 0, []
    schedule.anchor(0)
    for wait in waits:
        now = max(now + wait, schedule.next_due_ns())
        skipped, slot = schedule.take(now)
        seen += [*skipped, slot]
        assert slot.due_ns <= now < slot.due_ns + 50
    assert [s.number for s in seen] == list(range(len(seen)))
    assert [s.due_ns for s in seen] == [50 * k for k in range(len(seen))]


def test_the_charge_is_declared_traced_free_or_measured(tmp_path: Path) -> None:
    trace = tmp_path / 'trace.txt'
    trace.write_text('# [ms]\n10\n2.5  # short\n')
    assert read_trace(trace) == [10_000_000, 2_500_000]

    def charges(clock: ClockMode, **settings: object) -> list[int]:
        charge = LatencyCharge(PlannerSettings(**settings), clock)  # type: ignore[arg-type]
        return [charge.charge_ns(7) for _ in range(3)]

    assert charges(ClockMode.LOCKSTEP, latency_ms=1.0) == [1_000_000] * 3
    assert charges(ClockMode.LOCKSTEP, latency_trace=str(trace)) == [
        10_000_000, 2_500_000, 10_000_000]
    assert charges(ClockMode.LOCKSTEP, latency_ms=-1.0) == [7, 7, 7]
    assert charges(ClockMode.FREE, latency_ms=1.0) == [0, 0, 0]


@pytest.mark.parametrize('text', ['', '# only talk\n', '1\nx\n', '-1\n', 'nan\n', 'inf\n'])
def test_a_trace_that_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    trace = tmp_path / 'trace.txt'
    trace.write_text(text)
    with pytest.raises(ConfigError, match='latency trace'):
        read_trace(trace)
