"""Clusters, their resampling, and what is refused as a sample."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.bootstrap import (
    cluster_draws,
    grouping,
    percentile_limits,
    RESAMPLES,
)
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.stats.samples import finite, ranked, same_length
from wm_eval_ros.stats.special import (
    binomial_cdfs,
    binomial_pmf,
    binomial_tails,
    hypergeometric,
    log_factorials,
    logit_limits,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]


def test_clusters_are_numbered_in_the_order_of_their_labels() -> None:
    found = grouping(['b', 'a', 'b'])
    assert (found.cluster.tolist(), found.count) == ([1, 0, 1], 2)
    assert found.sums(np.array([1.0, 2, 4])).tolist() == [2, 5]
    assert found.sums(np.array([[1.0, 0], [2, 1], [4, 2]])).tolist() == [[2, 1], [5, 2]]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
       st.randoms(use_true_random=False))
def test_sums_are_equal_to_the_bit_in_any_order(pairs: list[tuple[int, float]],
                                                random: object) -> None:
    def sums(rows: list[tuple[int, float]]) -> list[float]:
        labels, values = zip(*rows, strict=True)
        return grouping(labels).sums(np.array(values)).tolist()

    mixed = list(pairs)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sums(pairs) == sums(mixed)


def test_draws_take_as_many_clusters_as_there_are_and_are_reproducible() -> None:
    found = cluster_draws(7, 0)
    assert found.shape == (RESAMPLES, 7)
    assert set(found.sum(axis=1)) == {7.0}
    assert found.mean() == 1.0
    assert np.array_equal(found, cluster_draws(7, 0))
    assert not np.array_equal(found, cluster_draws(7, 1))
    with pytest.raises(ValueError, match='read-only'):
        found[0, 0] = 9


def test_of_many_clusters_the_percentiles_are_the_plain_ones() -> None:
    assert percentile_limits(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert percentile_limits(np.arange(101.0), 0.9, 10**9) == pytest.approx((5, 95), abs=1e-6)


def test_of_few_clusters_the_percentiles_are_wider() -> None:
    # 5 clusters: sqrt(5/4) * t(0.975; 4) = 1.1180 * 2.7764 = 3.1041, whose normal tail is 0.00095
    low, high = percentile_limits(np.arange(100_001.0), 0.95, 5)
    assert low == pytest.approx(100_000 * stats.norm.cdf(-3.1041), rel=1e-3)
    assert low + high == pytest.approx(100_000)
    assert percentile_limits(np.arange(100_001.0), 0.95, 5, strata=4)[0] > low


@pytest.mark.slow
def test_plain_percentiles_of_five_clusters_hold_far_less_than_they_say(
        record_property: Record) -> None:
    rng, runs, hits = np.random.default_rng(72), 2000, 0
    draws = cluster_draws(5, 0)
    for _ in range(runs):
        sizes = rng.integers(5, 15, 5).astype(float)
        ratios = draws @ (rng.normal(1, 0.3, 5) * sizes) / (draws @ sizes)
        low, high = percentile_limits(ratios, 0.95)
        hits += low <= 1 <= high
    record_property('coverage', hits / runs)
    assert 0.78 <= hits / runs <= 0.86


@pytest.mark.slow
@pytest.mark.parametrize(('count', 'skewed', 'least'), [
    (5, False, 0.9), (10, False, 0.93), (30, False, 0.93), (5, True, 0.85), (10, True, 0.87),
    (30, True, 0.9)])
def test_a_ratio_of_few_clusters_is_covered(count: int, skewed: bool, least: float,
                                            record_property: Record) -> None:
    rng, runs, hits = np.random.default_rng(71), 2000, 0
    for _ in range(runs):
        sizes = rng.integers(5, 15, count).astype(float)
        means = rng.exponential(size=count) if skewed else rng.normal(1, 0.3, count)
        found = cluster_ratio(means * sizes, sizes)
        assert found.low is not None and found.high is not None
        hits += found.low <= 1 <= found.high
    record_property('coverage', hits / runs)
    assert hits / runs >= least


def test_what_is_refused_is_counted_and_named() -> None:
    with pytest.raises(ValueError, match='latents: 2 of 3 are not finite'):
        finite([1, np.inf, np.nan], 'latents')
    with pytest.raises(ValueError, match=r'scores: shape \(1, 2\), needs one dimension'):
        ranked([[1, 2]], 'scores')
    with pytest.raises(ValueError, match=r'pairs: lengths \[1, 2\] differ'):
        same_length('pairs', np.zeros(1), np.zeros(2))


# scipy overflows where p is no normal number or nearly so
@given(st.integers(0, 400), st.one_of(st.just(0.0), st.floats(1e-300, 1)))
def test_binomial_chances_are_scipys(n: int, p: float) -> None:
    k = np.arange(n + 1)
    assert binomial_pmf(n, p) == pytest.approx(stats.binom.pmf(k, n, p), rel=1e-9, abs=1e-12)
    assert binomial_cdfs(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-12)
    assert binomial_cdfs([-1, n + 3], n, p).tolist() == [0, 1]


@given(st.integers(0, 300), st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([0.001, 0.025, 0.4]))
def test_the_tail_is_the_largest_within_its_level(n: int, p: float, level: float) -> None:
    k = int(binomial_tails(np.array([n]), p, level)[0])
    assert k < 0 or stats.binom.cdf(k, n, p) <= level
    assert k + 1 >= n or stats.binom.cdf(k + 1, n, p) > level


def test_special_functions_by_hand() -> None:
    assert np.exp(log_factorials(5)) == pytest.approx([1, 1, 2, 6, 24, 120])
    # 2F1(-2, 1; 3; -1) = 1 + 2/3 + 2/12
    assert hypergeometric(-2, 1, 3, -1.0) == pytest.approx(1 + 2 / 3 + 1 / 6)
    low, high = logit_limits(0.5, 0.1, 0.95)
    assert (low + high, np.log(high / low)) == pytest.approx((1, 1.959964 * 0.1 / 0.25))
