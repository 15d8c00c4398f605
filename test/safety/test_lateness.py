"""How late commands are is told without knowing the clock of their stamps."""

from __future__ import annotations

import pytest

from wm_eval_ros.safety.lateness import Lateness

MS = 1_000_000
HALF_S = 500 * MS


def told(arrivals_ms: list[tuple[int, int]], ahead_ns: int = 0) -> list[int]:
    """Return what is told of commands (stamped, arrived) [ms] whose clock is ahead."""
    lateness = Lateness()
    return [round(lateness.of(stamp * MS + ahead_ns, now * MS) / MS) for stamp, now in arrivals_ms]


@pytest.mark.parametrize('ahead_ns', [0, HALF_S, -HALF_S, 10**18])
def test_a_held_up_command_is_late_whatever_its_clock_says(ahead_ns: int) -> None:
    # 5 ms on their way, one of them 125
    assert told([(0, 5), (50, 55), (100, 225), (150, 155)], ahead_ns) == [0, 0, 120, 0]


def test_the_earliest_of_the_episode_is_what_the_others_are_held_against() -> None:
    # the first took 200 ms, more than is allowed: those after it are no later for that
    assert told([(0, 200), (50, 60), (100, 110), (150, 270)]) == [0, 0, 0, 110]


def test_clocks_that_part_slowly_are_no_delay_and_a_delay_among_them_is_one() -> None:
    # 0.9 ms a second for ten minutes, then 120 ms more
    lateness = Lateness()
    late = [lateness.of(n * 50 * MS, n * 50 * MS + n * 45_000) for n in range(12_000)]
    assert max(late) == 0
    assert lateness.of(600_000 * MS, 600_000 * MS + 540 * MS + 120 * MS) / MS == pytest.approx(
        120.0, abs=0.2)


def test_an_episode_begins_with_a_clock_that_is_not_known() -> None:
    lateness = Lateness()
    lateness.of(0, 0)
    lateness.begin()
    assert lateness.of(-HALF_S, 100 * MS) == 0
    assert lateness.of(-HALF_S + 50 * MS, 150 * MS) == 0
