"""Shares and quantiles of samples in clusters: by hand, and how often their intervals hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal, stats

from wm_eval_ros.stats.bootstrap import grouping
from wm_eval_ros.stats.proportion import clopper_pearson, effective_trials, korn_graubard
from wm_eval_ros.stats.quantile import clustered_quantile, quantile

#: keeps a figure in the test report
Record = Callable[[str, object], None]


def test_clusters_that_miss_wholly_or_not_at_all_are_worth_one_trial_each() -> None:
    # 20 clusters of 10, 5 of them missed: p = 1/4, sum of (k - 10 p)^2 = 5 * 7.5^2 + 15 * 2.5^2
    # = 375, variance 20/19 * 375 / 200^2 = 3/304, so p (1 - p) / variance = 19 trials
    missed = np.repeat([10, 0], [5, 15])
    few = (stats.t.ppf(0.975, 199) / stats.t.ppf(0.975, 19))**2
    size = effective_trials(missed, np.full(20, 10), 0.975)
    assert size == pytest.approx(19 * few)
    found = korn_graubard(missed, np.full(20, 10))
    assert found.value == 0.25
    assert found.low == pytest.approx(stats.beta.ppf(0.025, size / 4, 0.75 * size + 1))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, size / 4 + 1, 0.75 * size))


def test_clusters_of_one_trial_give_clopper_pearson() -> None:
    hit = np.repeat([1, 0], [30, 70])
    # the variance between 100 clusters is divided by 99: an effect of 100/99
    assert effective_trials(hit, np.ones(100), 0.975) == pytest.approx(99)
    assert korn_graubard(hit, np.ones(100)) == pytest.approx(clopper_pearson(30, 100), abs=1e-3)


@pytest.mark.parametrize('each', [0, 10])
def test_without_an_event_the_trials_are_taken_as_independent(each: int) -> None:
    assert korn_graubard(np.full(5, each), np.full(5, 10)) == clopper_pearson(5 * each, 50)


def test_equal_clusters_are_not_worth_more_trials_than_there_are() -> None:
    size = effective_trials(np.full(50, 3), np.full(50, 10), 0.975)
    assert size == pytest.approx(500 * (stats.t.ppf(0.975, 499) / stats.t.ppf(0.975, 49))**2)


def test_one_cluster_says_nothing_and_bad_counts_are_refused() -> None:
    assert korn_graubard(np.array([3]), np.array([10])) == (0.3, 0.0, 1.0)
    for k, n in (([3], [2]), ([-1], [2]), ([], [])):
        with pytest.raises(ValueError, match='0 <= k <= n'):
            korn_graubard(np.array(k), np.array(n))


def test_order_of_clusters_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 50, 200)
    k = rng.binomial(sizes, 0.1)
    order = rng.permutation(200)
    assert korn_graubard(k[order], sizes[order]) == korn_graubard(k, sizes)


def test_a_quantile_in_clusters_keeps_its_value_and_widens() -> None:
    rng = np.random.default_rng(1)
    levels = np.repeat(rng.normal(size=40), 25)
    samples = levels + 0.1 * rng.normal(size=1000)
    plain, wide = quantile(samples, 0.5), clustered_quantile(
        samples, grouping(np.repeat(np.arange(40), 25)), 0.5)
    assert wide.value == plain.value
    assert wide.low is not None and plain.low is not None and wide.low < plain.low
    assert wide.high is not None and plain.high is not None and wide.high > plain.high


def test_a_quantile_of_too_few_clusters_has_a_value_and_no_limits() -> None:
    # the ten slow ones are one cluster, and the p99 lies among them
    samples = np.zeros(400) + np.arange(400) * 1e-6
    samples[:10] += 1
    found = clustered_quantile(samples, grouping(np.arange(400) // 10), 0.99, what='slots')
    assert found.value == quantile(samples, 0.99).value
    assert found.low is None and found.high is None
    assert found.why.startswith('n = 400 slots are worth ')
    assert clustered_quantile(samples[:298], grouping(np.arange(298)), 0.99).value is None


def test_tied_samples_do_not_hide_that_they_come_in_clusters() -> None:
    # five clusters are fast and five slow: at the median no cluster has both
    samples = np.repeat([50.0, 100.0], [500, 500])
    found = clustered_quantile(samples, grouping(np.arange(1000) // 100), 0.5)
    assert found.low == 50.0 and found.high == 100.0
    same = clustered_quantile(np.ones(400), grouping(np.arange(400) // 100), 0.99)
    assert (same.low, same.value, same.high) == (1.0, 1.0, 1.0)


def stalls(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    begun = rng.random(n + 10) < share / 10
    return np.convolve(begun, np.ones(10))[10:n + 10] > 0


@pytest.mark.slow
@pytest.mark.parametrize(('n', 'size', 'share', 'least'), [
    pytest.param(1000, 100, 0.015, 0.75, id='few-stalls'),
    pytest.param(3000, 100, 0.015, 0.93, id='minutes'),
    pytest.param(3000, 100, 0.05, 0.93, id='many-stalls'),
    pytest.param(3000, 50, 0.03, 0.93, id='episodes'),
    pytest.param(10000, 100, 0.03, 0.93, id='long'),
])
def test_misses_in_stalls_of_ten_slots_are_covered(
        n: int, size: int, share: float, least: float, record_property: Record) -> None:
    rng, truth = np.random.default_rng(0), 1 - (1 - share / 10)**10
    held = plain = 0
    for _ in range(1500):
        missed = stalls(rng, n, share)
        found = korn_graubard(missed.reshape(-1, size).sum(axis=1), np.full(n // size, size))
        held += found.low <= truth <= found.high
        naive = clopper_pearson(int(missed.sum()), n)
        plain += naive.low <= truth <= naive.high
    record_property('coverage', held / 1500)
    record_property('coverage as independent', plain / 1500)
    assert held / 1500 >= least
    assert plain < held


@pytest.mark.slow
@pytest.mark.parametrize('n', [3000, 10000])
@pytest.mark.parametrize('q', [0.5, 0.95, 0.99])
def test_quantiles_of_dependent_latencies_are_covered(
        n: int, q: float, record_property: Record) -> None:
    rng, truth = np.random.default_rng(0), stats.norm.ppf(q)
    blocks = grouping(np.arange(n) // 100)
    kept, naive = [], 0
    for _ in range(600):
        walk = signal.lfilter([np.sqrt(1 - 0.95**2)], [1, -0.95], rng.normal(size=n + 200))[200:]
        found, plain = clustered_quantile(walk, blocks, q), quantile(walk, q)
        naive += plain.low is not None and plain.low <= truth <= plain.high
        if found.low is not None and found.high is not None:
            kept.append(found.low <= truth <= found.high)
    record_property('coverage of 90 %', np.mean(kept))
    record_property('without limits', 1 - len(kept) / 600)
    record_property('coverage as independent', naive / 600)
    assert np.mean(kept) >= 0.86
    assert naive / 600 < 0.6
