"""Figures of clusters, and the difference of two with a bootstrap over clusters."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.clusters import (
    ClusteredQuantile,
    difference,
    estimate,
    Figure,
    LEAST_CLUSTERS,
    Ratio,
    RestrictedMean,
)
from wm_eval_ros.stats.survival import kaplan_meier, restricted_mean

small = st.lists(st.floats(0, 100), max_size=7)


@settings(max_examples=60)
@given(st.lists(small, min_size=1, max_size=6), st.sampled_from([0.5, 0.9, 0.99]), st.data())
def test_a_weighted_quantile_is_that_of_the_repeated_samples(
        groups: list[list[float]], q: float, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(groups), max_size=len(groups)))
    figure = ClusteredQuantile([np.array(g) for g in groups], q)
    found = figure.of(np.array([weights], float))[0]
    pooled = [x for g, w in zip(groups, weights, strict=True) for x in g * w]
    if pooled:
        assert found == np.quantile(pooled, q, method='higher')
    else:
        assert np.isnan(found)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=9), st.data())
def test_a_weighted_restricted_mean_is_that_of_the_repeated_times(
        rows: list[tuple[int, bool]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(
        any))
    times, seen = (np.array(column) for column in zip(*rows, strict=True))
    found = RestrictedMean(times.astype(float), seen, 8.0).of(np.array([weights], float))[0]
    again = np.repeat(np.arange(len(rows)), weights)
    want = restricted_mean(kaplan_meier(times[again].astype(float), seen[again]), 8.0).value
    assert found == pytest.approx(want)


def test_a_ratio_weighs_its_clusters() -> None:
    # (1 + 2 * 3) / (2 + 2 * 4) = 0.7; nothing below is not defined
    ratio = Ratio(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    assert ratio.of(np.array([[1.0, 2.0]])).tolist() == [0.7]
    assert np.isnan(Ratio(np.ones(2), np.zeros(2)).of(np.ones((1, 2)))[0])


def ratio_of(values: np.ndarray) -> Ratio:
    return Ratio(values, np.ones(len(values)))


def test_what_a_pair_shares_cancels() -> None:
    rng = np.random.default_rng(1)
    shared = 10 * rng.normal(size=30)
    a, b = (ratio_of(shared + rng.normal(size=30)) for _ in 'ab')
    paired, unpaired = (difference(a, b, paired=p) for p in (True, False))
    assert paired.value == unpaired.value
    assert paired.low is not None and paired.high is not None
    assert unpaired.low is not None and unpaired.high is not None
    assert 5 * (paired.high - paired.low) < unpaired.high - unpaired.low


def test_a_constant_shift_of_pairs_is_certain_only_as_far_as_they_vary() -> None:
    shifts = np.linspace(0.9, 1.1, 20)
    found = difference(ratio_of(shifts), ratio_of(np.zeros(20)), paired=True)
    assert found.value == pytest.approx(1.0)
    assert found.low is not None and found.high is not None
    assert 0.96 < found.low < 1.0 < found.high < 1.04


def test_the_same_data_give_the_same_interval_and_another_seed_a_near_one() -> None:
    rng = np.random.default_rng(2)
    a, b = (ratio_of(rng.normal(size=25)) for _ in 'ab')
    first = difference(a, b, paired=False)
    assert difference(a, b, paired=False) == first
    other = difference(a, b, paired=False, seed=9)
    assert other.low != first.low
    assert other.low == pytest.approx(first.low, abs=0.1)


@pytest.mark.parametrize(('count', 'spread'), [
    pytest.param(LEAST_CLUSTERS - 1, True, id='too-few'),
    pytest.param(40, False, id='no-spread')])
def test_no_interval_is_given_where_resampling_shows_nothing(count: int, spread: bool) -> None:
    values = np.arange(count) * float(spread)
    found = difference(ratio_of(values), ratio_of(values * 0), paired=True)
    assert (found.low, found.high) == (None, None)


def test_a_figure_undefined_in_many_resamples_has_no_interval() -> None:
    # of 12 clusters only one has a denominator: a third of the resamples lack it
    bottom = np.zeros(12)
    bottom[0] = 1.0
    found = difference(Ratio(np.arange(12.0), bottom), ratio_of(np.zeros(12)), paired=True)
    assert found.value == 66.0 and found.low is None


def test_no_cluster_is_no_difference_and_unequal_ones_are_no_pairs() -> None:
    assert np.isnan(difference(ratio_of(np.zeros(0)), ratio_of(np.ones(3)), paired=False).value)
    with pytest.raises(ValueError, match='cannot be paired'):
        difference(ratio_of(np.ones(2)), ratio_of(np.ones(3)), paired=True)
    assert estimate(ratio_of(np.array([1.0, 3.0]))) == 2.0


def mean_of(rng: np.random.Generator, n: int) -> Figure:
    return ratio_of(rng.normal(size=n))


def quantile_of(rng: np.random.Generator, n: int) -> Figure:
    scale = np.exp(0.2 * rng.normal(size=n))
    return ClusteredQuantile([rng.gamma(4, s, size=40) for s in scale], 0.95)


def waiting_of(rng: np.random.Generator, n: int) -> Figure:
    times = rng.exponential(2.0, size=n)
    return RestrictedMean(np.minimum(times, 3.0), times < 3.0, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize('make', [mean_of, quantile_of, waiting_of])
@pytest.mark.parametrize('n', [10, 30])
def test_the_intervals_cover(make: Callable[[np.random.Generator, int], Figure], n: int) -> None:
    # both sides are alike, so the true difference is 0; 400 draws have a standard error of 1.1 %
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(400):
        found = difference(make(rng, n), make(rng, n), paired=False)
        hits += found.low is not None and found.high is not None \
            and found.low <= 0 <= found.high
    assert hits / 400 >= 0.95 - 3 * 0.011
