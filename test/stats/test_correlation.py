"""Correlations and rank violations against scipy and definitions."""

from __future__ import annotations

from collections.abc import Callable
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.correlation import (
    kendall,
    midranks,
    mmrv,
    pearson,
    pearson_resampled,
    rank_preservation,
    spearman,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]

PAIRS = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=2, max_size=25)
ALL = [pearson, spearman, kendall]


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(pairs, float)
    return both[:, 0], both[:, 1]


@given(PAIRS)
def test_they_are_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = split(pairs)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert all(found.value is None for found in (pearson(x, y), spearman(x, y), kendall(x, y)))
        return
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr),
                         (kendall, stats.kendalltau)):
        assert ours(x, y).value == pytest.approx(theirs(x, y).statistic, abs=1e-9)
    assert midranks(x).tolist() == stats.rankdata(x).tolist()


@given(PAIRS)
def test_they_are_symmetric_bounded_and_blind_to_order(pairs: list[tuple[int, int]]) -> None:
    x, y = split(pairs)
    for correlation in ALL:
        found = correlation(x, y)
        assert found == correlation(x[::-1], y[::-1])
        assert found.value == pytest.approx(correlation(y, x).value, abs=1e-12)
        if found.value is not None:
            assert correlation(x, -y).value == pytest.approx(-found.value, abs=1e-12)
        if found.low is not None and found.high is not None and found.value is not None:
            assert -1 <= found.low <= found.value <= found.high <= 1


def test_fishers_interval_is_scipys() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=25)
    y = x + rng.normal(size=25)
    want = stats.pearsonr(x, y).confidence_interval()
    assert pearson(x, y)[1:3] == pytest.approx((want.low, want.high), abs=1e-9)


def test_the_rank_intervals_by_formula() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20)
    for correlation, variance in ((spearman, lambda r: (1 + r * r / 2) / 17),
                                  (kendall, lambda r: 0.437 / 16)):
        found = correlation(x, y)
        assert found.value is not None
        half = 1.959963984540054 * math.sqrt(variance(found.value))
        assert found.low == pytest.approx(math.tanh(math.atanh(found.value) - half))
        assert found.high == pytest.approx(math.tanh(math.atanh(found.value) + half))


def test_scores_of_any_size_correlate() -> None:
    assert pearson([0, 1e-200, 3e-200, 2e-200], [0, 1e200, 2e200, 3e200]).value == pytest.approx(
        0.8)


@pytest.mark.parametrize('correlation', ALL)
def test_too_little_to_say(correlation: object) -> None:
    assert callable(correlation)
    constant = correlation([1, 1, 1], [1, 2, 3])
    assert (constant.value, constant.why) == (None, 'needs two values that differ in both, '
                                                    'has n = 3')
    assert correlation([], []).value is None
    few = correlation([1, 2, 3], [1, 3, 2])
    assert few.value is not None and few.low is None and 'n too small' in few.why
    perfect = correlation([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert (perfect.value, perfect.low) == (pytest.approx(1), None)
    with pytest.raises(ValueError, match='lengths'):
        correlation([1, 2], [1])
    with pytest.raises(ValueError, match='not finite'):
        correlation([1, math.inf], [1, 2])


def brute_mmrv(real: np.ndarray, told: np.ndarray) -> float:
    worst = []
    for i in range(len(real)):
        costs = [0.0]
        for j in range(len(real)):
            reversed_ = (real[i] - real[j]) * (told[i] - told[j]) < 0
            tied = told[i] == told[j] and real[i] != real[j]
            costs.append(abs(real[i] - real[j]) * (1.0 if reversed_ else 0.5 if tied else 0.0))
        worst.append(max(costs))
    return sum(worst) / len(worst)


@given(PAIRS)
def test_rank_violations_by_definition(pairs: list[tuple[int, int]]) -> None:
    real, told = split(pairs)
    found = mmrv(real, told)
    assert found == pytest.approx(brute_mmrv(real, told), abs=1e-9)
    assert found == mmrv(real[::-1], told[::-1])
    assert found == mmrv(real, np.exp(told))
    assert 0 <= found <= np.ptp(real)
    kept = rank_preservation(real, told)
    if np.ptp(real) == 0:
        assert kept is None
    else:
        assert (found == 0) == (kept == 1)
        assert rank_preservation(real, -told) == pytest.approx(1 - kept, abs=1e-12)


@given(PAIRS)
def test_rank_preservation_is_the_share_of_pairs(pairs: list[tuple[int, int]]) -> None:
    real, told = split(pairs)
    points = [1.0 if product > 0 else 0.5 if product == 0 else 0.0
              for i in range(len(real)) for j in range(i) if real[i] != real[j]
              for product in [(real[i] - real[j]) * (told[i] - told[j])]]
    found = rank_preservation(real, told)
    assert found == (pytest.approx(np.mean(points)) if points else None)


def test_a_tie_costs_half_of_a_reversal() -> None:
    assert mmrv([0, 1], [5, 5]) == 0.5
    assert mmrv([0, 1], [1, 0]) == 1.0
    assert mmrv([1], [1]) is None


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'least'), [('pearson', 0.93), ('spearman', 0.93),
                                             ('kendall', 0.93)])
@pytest.mark.parametrize('rho', [0.0, 0.5, 0.8])
def test_the_intervals_cover_of_normal_samples(
        kind: str, least: float, rho: float, record_property: Record) -> None:
    ours = {'pearson': pearson, 'spearman': spearman, 'kendall': kendall}[kind]
    truth = {'pearson': rho, 'spearman': 6 / math.pi * math.asin(rho / 2),
             'kendall': 2 / math.pi * math.asin(rho)}[kind]
    rng, runs, hits = np.random.default_rng(51), 2000, 0
    for _ in range(runs):
        x, e = rng.normal(size=(2, 30))
        found = ours(x, rho * x + math.sqrt(1 - rho * rho) * e)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    record_property('coverage', hits / runs)
    assert hits / runs >= least


def test_the_resampled_interval_holds_the_figure_and_is_the_same_twice() -> None:
    x, y = [0.0, 0.1, 0.3, 0.5, 0.8, 1.0], [0.1, 0.0, 0.4, 0.4, 0.9, 1.0]
    found = pearson_resampled(x, y)
    assert found.value == pearson(x, y).value
    assert found.value is not None and found.low is not None and found.high is not None
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert pearson_resampled(x[::-1], y[::-1]) == found


def test_too_few_have_no_resampled_interval_and_constant_ones_no_correlation() -> None:
    assert pearson_resampled([0, 1, 2, 3], [0, 1, 2, 4]).low is None
    assert pearson_resampled([0, 1, 2, 3, 4], [1, 1, 1, 1, 1]).value is None


@pytest.mark.slow
def test_the_resampled_interval_covers_about_as_often_as_it_says(record_property: Record) -> None:
    rng, truth, held = np.random.default_rng(0), 0.8, 0
    for _ in range(200):
        x = rng.normal(size=12)
        y = truth * x + math.sqrt(1 - truth**2) * rng.normal(size=12)
        found = pearson_resampled(x, y)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    record_property('coverage', held / 200)
    assert held / 200 >= 0.85
