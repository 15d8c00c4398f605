"""The judge: success by predicate and hold time, failure, time out."""

from __future__ import annotations

from types import SimpleNamespace

from wm_eval_ros.plants.episode import EpisodeJudge
from wm_eval_ros.records import EventKind

MS = 1_000_000


def run(solved: list[bool], *, hold_s: float = 0.02, limit_s: float = 0.1,
        failed_at: int | None = None) -> tuple[EventKind, int] | None:
    """Ask the judge every 10 ms; the answer and the look that gave it."""
    at = [0]
    plant = SimpleNamespace(
        step_ns=10 * MS, hold_s=hold_s, solved=lambda: solved[min(at[0], len(solved) - 1)],
        failed=lambda: 'fell' if failed_at is not None and at[0] >= failed_at else '')
    judge = EpisodeJudge(plant, limit_s)  # type: ignore[arg-type]
    plant.time_ns = 0
    judge.begin()
    for at[0] in range(1, 50):
        plant.time_ns = at[0] * 10 * MS
        verdict = judge.verdict()
        if verdict is not None:
            return verdict[0], at[0]
    return None


def test_success_needs_the_predicate_to_hold() -> None:
    assert run([False, True, True, True]) == (EventKind.SUCCESS, 3)


def test_a_break_starts_the_hold_time_anew() -> None:
    assert run([False, True, True, False, True, True, True]) == (EventKind.SUCCESS, 6)


def test_a_solved_start_counts_from_the_start() -> None:
    assert run([True, True, True]) == (EventKind.SUCCESS, 2)


def test_never_solved_times_out_at_the_limit() -> None:
    assert run([False]) == (EventKind.TIMEOUT, 10)


def test_failure_comes_before_success() -> None:
    assert run([False, True, True, True], failed_at=3) == (EventKind.FAILURE, 3)


def test_a_limit_between_two_steps_is_met_at_the_step_before() -> None:
    assert run([False], limit_s=0.058) == (EventKind.TIMEOUT, 5)
