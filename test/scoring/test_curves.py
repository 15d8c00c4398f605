"""Readings of success curves, on counts worked out by hand and on simulated truth."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.scoring.curves import (
    area,
    falls_below,
    gain,
    planning_horizon,
    sample_efficiency,
    Success,
)
from wm_eval_ros.stats.proportion import clopper_pearson


def curve(*places: tuple[float, int, int]) -> list[Success]:
    """(x, won, n): the first seeds win."""
    return [Success(x, {seed: seed < won for seed in range(n)}) for x, won, n in places]


def test_no_longer_horizon_gains_and_the_evidence_does_not_say_so_yet() -> None:
    found = planning_horizon(curve((5, 10, 20), (10, 18, 20), (20, 18, 20)))
    # 8 of 20 starts only the longer one solves: 5 is ruled out; nothing caps it from above
    assert (found.value, found.n, found.unit) == (10, 20, 'steps')
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (10, math.inf)
    assert found.why.startswith('INCONCLUSIVE: 20 episodes a point leave everything from 10 to')


def test_with_enough_episodes_the_horizon_is_decided() -> None:
    # without a discordant pair the gain is at most z^2 / (n + z^2) = 3.84 / 2003.84 < 0.01
    found = planning_horizon(curve((5, 1000, 2000), (10, 1800, 2000), (20, 1800, 2000)))
    assert (found.value, found.why) == (10, '')
    assert found.interval is not None
    assert found.interval[:2] == (10, 10)


@pytest.mark.parametrize(('points', 'says'), [
    pytest.param(curve((5, 3, 20), (10, 9, 20)), 'try longer ones', id='still-rising'),
    pytest.param(curve((5, 3, 20)), 'needs two', id='one-horizon'),
    pytest.param(curve((5, 0, 0), (10, 0, 0)), 'needs two or more, with episodes', id='nothing'),
])
def test_a_horizon_nobody_saw_is_none_with_the_reason(points: list[Success], says: str) -> None:
    found = planning_horizon(points)
    assert found.value is None
    assert says in found.why


def test_a_gain_of_exactly_one_percent_does_not_count_and_more_does() -> None:
    assert planning_horizon(curve((5, 50, 100), (10, 51, 100))).value == 5
    assert planning_horizon(curve((5, 50, 100), (10, 52, 100))).value is None


def test_points_without_a_common_seed_are_compared_as_independent_ones() -> None:
    one, other = curve((1, 10, 10))[0], Success(2, dict.fromkeys(range(100, 110), False))
    # Agresti-Caffo of 10/10 against 0/10: 11/12 - 1/12 -+ 1.96 sqrt(2 * 11/144 / 12)
    found = gain(one, other, 0.95)
    half = 1.959964 * math.sqrt(2 * 11 / 144 / 12)
    assert found.value == 1.0
    assert found.low == pytest.approx(10 / 12 - half, abs=1e-6)


def test_one_common_seed_among_a_hundred_makes_no_pairs() -> None:
    # 100/100 against 1/100 differ by .99; the one common start, won by both, says nothing
    one = Success(1, dict.fromkeys(range(100), True))
    other = Success(2, {seed: seed == 99 for seed in range(99, 199)})
    found = gain(one, other, 0.95)
    assert found.value == pytest.approx(0.99)
    assert found.low > 0.9


def test_the_interval_of_the_horizon_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    # success .5, .8, .8: H* is the second; outcomes of one start go together
    rates, held, runs = np.array([0.5, 0.8, 0.8]), 0, 200
    for _ in range(runs):
        hard = rng.uniform(size=40)
        own = 0.7 * hard + 0.3 * rng.uniform(size=(3, 40))
        own = np.argsort(np.argsort(own, axis=1), axis=1) / 40
        own = (own + rng.uniform(size=(3, 40)) / 40)
        points = [Success(h, dict(enumerate((own[i] < rates[i]).tolist())))
                  for i, h in enumerate((5, 10, 20))]
        interval = planning_horizon(points).interval
        assert interval is not None
        held += interval.low <= 10 <= interval.high
    assert held / runs >= 0.95


def test_the_latency_at_which_success_falls_below_the_bound() -> None:
    found = falls_below('latency_at_bound', 'ms',
                        curve((10, 40, 40), (50, 38, 40), (100, 30, 40), (200, 4, 40)), 0.8)
    # lower limits: 40/40 -> .912, 38/40 -> .831, 30/40 -> .588; upper limits: 4/40 -> .237,
    # 30/40 -> .873: shown to hold up to 50, shown to be lost at 200
    assert found.value == 100
    assert found.interval is not None
    assert found.interval[:2] == (50, 200)


def test_a_bound_that_is_never_crossed_is_none_and_says_up_to_where_it_held() -> None:
    found = falls_below('latency_at_bound', 'ms', curve((10, 20, 20), (50, 20, 20)), 0.8)
    assert found.value is None
    assert found.interval is not None
    assert found.interval[:2] == (50, math.inf)
    assert 'up to 50' in found.why
    assert falls_below('x', 'ms', [], 0.8).value is None


def test_the_area_is_the_mean_over_the_range_by_trapezoids() -> None:
    # from 0 to 10 at (1 + .5) / 2, from 10 to 40 at (.5 + 0) / 2: (7.5 + 7.5) / 40
    found = area('severity_robustness', curve((0, 20, 20), (10, 10, 20), (40, 0, 20)))
    assert found.value == pytest.approx(0.375)
    assert (found.n, found.unit) == (20, '1')
    assert found.interval is not None
    assert 0.0 < found.interval.low < 0.375 < found.interval.high < 1.0


def test_the_interval_of_the_crossing_holds_the_truth_as_often_as_it_says() -> None:
    rng, rates, held, runs = np.random.default_rng(1), (0.95, 0.85, 0.6, 0.1), 0, 300
    for _ in range(runs):
        points = [Success(x, dict(enumerate((rng.uniform(size=30) < rate).tolist())))
                  for x, rate in enumerate(rates)]
        interval = falls_below('x', '1', points, 0.8).interval
        assert interval is not None
        held += interval.low < 2 <= interval.high
    assert held / runs >= 0.95


def test_the_interval_of_the_steps_holds_the_truth_as_often_as_it_says() -> None:
    rng, rates, held, runs = np.random.default_rng(2), (0.1, 0.5, 0.82, 1.0), 0, 300
    for _ in range(runs):
        points = [Success(x, dict(enumerate((rng.uniform(size=30) < rate).tolist())))
                  for x, rate in enumerate(rates)]
        interval = sample_efficiency(points)[0].interval
        assert interval is not None
        # the asymptote is 1, so the target is .8: first reached at the third
        held += interval.low < 2 <= interval.high
    assert held / runs >= 0.95


@pytest.mark.parametrize('points', [
    pytest.param([], id='nothing'),
    pytest.param(curve((3, 5, 10)), id='one-value'),
    pytest.param([curve((3, 5, 10))[0], Success(4, {99: True})], id='no-common-seed'),
])
def test_no_area_without_two_values_on_common_seeds(points: list[Success]) -> None:
    found = area('severity_robustness', points)
    assert found.value is None
    assert found.why


def test_steps_until_the_lower_bound_reaches_four_fifths_of_the_asymptote() -> None:
    steps, asymptote = sample_efficiency(curve(
        (100, 0, 50), (200, 20, 50), (400, 40, 50), (800, 45, 50), (1600, 45, 50)))
    # target .8 * .9 = .72; lower limits: 40/50 -> .663, 45/50 -> .782; upper: 20/50 -> .548
    assert (asymptote.value, asymptote.n) == (0.9, 50)
    assert steps.value == 800
    assert steps.interval is not None
    assert steps.interval[:2] == (200, 800)


@pytest.mark.parametrize(('points', 'says'), [
    pytest.param(curve((100, 2, 10), (200, 8, 10)), 'more episodes a point', id='too-few'),
    pytest.param(curve((100, 0, 10), (200, 0, 10)), 'no asymptote', id='no-success'),
    pytest.param([], 'no checkpoint', id='nothing'),
])
def test_a_target_that_is_not_reached_is_none_with_the_reason(
    points: list[Success], says: str,
) -> None:
    steps, _ = sample_efficiency(points)
    assert steps.value is None
    assert says in steps.why


counts = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=6)


@given(counts, st.floats(0.05, 0.95))
def test_where_it_falls_lies_inside_its_interval(
    pairs: list[tuple[int, int]], bound: float,
) -> None:
    points = curve(*((float(x), min(k, n), n) for x, (k, n) in enumerate(pairs)))
    found = falls_below('x', '1', points, bound)
    assert found.interval is not None
    low, high = found.interval.low, found.interval.high
    for p in points:
        limits = clopper_pearson(p.won, p.n)
        assert p.x > low or limits.low >= bound
        assert p.x < high or limits.high < bound
    if found.value is None:
        assert math.isinf(high)
    else:
        assert low < found.value <= high


@given(counts.filter(lambda pairs: len(pairs) > 1))
def test_the_horizon_lies_inside_its_interval_and_on_the_grid(
    pairs: list[tuple[int, int]],
) -> None:
    points = curve(*((float(x), min(k, 8), 8) for x, (k, _) in enumerate(pairs)))
    found = planning_horizon(points)
    assert found.interval is not None
    assert found.interval.low in {p.x for p in points}
    if found.value is not None:
        assert found.interval.low <= found.value <= found.interval.high


@given(counts.filter(lambda pairs: len(pairs) > 1))
def test_the_area_lies_between_the_worst_and_the_best(pairs: list[tuple[int, int]]) -> None:
    points = curve(*((float(x), min(k, 9), 9) for x, (k, _) in enumerate(pairs)))
    found = area('x', points)
    rates = [p.rate for p in points]
    assert found.value is not None
    assert min(rates) - 1e-12 <= found.value <= max(rates) + 1e-12
