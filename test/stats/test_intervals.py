"""Statistics against numbers from tables, exact sums and definitions."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.mean import cluster_ratio, mean_t, slope
from wm_eval_ros.stats.proportion import beta_posterior, clopper_pearson
from wm_eval_ros.stats.quantile import limit_ranks, nearest_rank, quantile, samples_needed
from wm_eval_ros.stats.rate import poisson_rate
from wm_eval_ros.stats.special import binomial_cdf
from wm_eval_ros.stats.survival import kaplan_meier, median, restricted_mean


@pytest.mark.parametrize(('k', 'n', 'low', 'high'), [
    pytest.param(0, 10, 0.0, 1 - 0.025**0.1, id='none'),
    pytest.param(10, 10, 0.025**0.1, 1.0, id='all'),
    pytest.param(5, 10, 0.1871, 0.8129, id='table-half'),
    pytest.param(1, 20, 0.0013, 0.2487, id='table-one-of-twenty'),
])
def test_clopper_pearson_is_the_tabled_interval(k: int, n: int, low: float, high: float) -> None:
    found = clopper_pearson(k, n)
    assert found.value == k / n
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_clopper_pearson_covers_at_every_p() -> None:
    # exact sum over all outcomes, no simulation: R12 of the promises
    p = np.linspace(0.0025, 0.9975, 200)
    for n in (*range(1, 31), 50, 75, 100, 150, 200):
        choose = np.array([math.comb(n, k) for k in range(n + 1)], float)
        k = np.arange(n + 1)
        mass = choose * p[:, None]**k * (1 - p[:, None])**(n - k)
        bounds = np.array([clopper_pearson(int(i), n)[1:] for i in k])
        inside = (bounds[:, 0] <= p[:, None]) & (p[:, None] <= bounds[:, 1])
        assert np.min(np.sum(mass * inside, axis=1)) >= 0.95 - 1e-12, n


@pytest.mark.parametrize(('k', 'n'), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match='0 <= k <= n'):
        clopper_pearson(k, n)
    with pytest.raises(ValueError, match='0 <= k <= n'):
        beta_posterior(k, n)


def test_posterior_of_nothing_seen_but_one_success_is_the_triangle() -> None:
    # Beta(2, 1) has density 2x: mean 2/3, quantile sqrt(p)
    found = beta_posterior(1, 1)
    assert found == pytest.approx((2 / 3, math.sqrt(0.025), math.sqrt(0.975)))


@pytest.mark.parametrize(('q', 'n'), [(0.5, 5), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_a_quantile_needs_so_many_samples(q: float, n: int) -> None:
    assert samples_needed(q) == n
    assert 1 - q**n >= 0.95 > 1 - q**(n - 1)
    few = quantile(np.arange(n - 1, dtype=float), q)
    assert few.value is None
    assert few.why == f'n too small: needs n >= {n}, has {n - 1}'
    assert quantile(np.arange(n, dtype=float), q).high == n - 1


@given(st.lists(st.integers(-50, 50), min_size=60, max_size=200), st.sampled_from([0.5, 0.95]))
def test_quantile_is_numpys_nearest_rank_whatever_the_order(values: list[int], q: float) -> None:
    samples = np.array(values, float)
    found = quantile(samples, q)
    assert found.value == np.quantile(samples, q, method='higher')
    assert found == quantile(samples[::-1].copy(), q)
    assert found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize('n', [300, 500, 2000])
@pytest.mark.parametrize('q', [0.5, 0.95, 0.99])
def test_limits_are_the_innermost_ranks_that_hold(n: int, q: float) -> None:
    low, high = limit_ranks(n, q)
    assert binomial_cdf(high - 1, n, q) >= 0.95 > binomial_cdf(high - 2, n, q)
    assert 1 - binomial_cdf(low - 1, n, q) >= 0.95 > 1 - binomial_cdf(low, n, q)


def test_nearest_rank_does_not_fall_for_rounding() -> None:
    assert nearest_rank(11, 0.1) == 1
    assert nearest_rank(1, 0.99) == 0


def test_kaplan_meier_by_hand() -> None:
    # 6 runs: events at 1, 2, 4; censored at 2, 3, 5
    times = np.array([1.0, 2, 2, 3, 4, 5])
    seen = np.array([True, True, False, False, True, False])
    curve = kaplan_meier(times, seen)
    assert curve.times.tolist() == [1, 2, 4]
    assert curve.at_risk.tolist() == [6, 5, 2]
    assert curve.survival == pytest.approx([5 / 6, 2 / 3, 1 / 3])
    assert median(curve).value == 4
    # 1 + 5/6 + 2 * 2/3 + 1 * 1/3 up to 5
    mean = restricted_mean(curve, 5.0)
    assert mean.value == pytest.approx(1 + 5 / 6 + 4 / 3 + 1 / 3)
    assert mean.low is not None and mean.low < mean.value


def test_without_censoring_the_restricted_mean_is_the_mean() -> None:
    times = np.array([0.5, 1.5, 2.0, 4.0])
    found = restricted_mean(kaplan_meier(times, np.ones(4, bool)), 10.0)
    assert found.value == pytest.approx(2.0)
    # Greenwood without censoring is the variance over n
    assert found.low == pytest.approx(2.0 - 1.959964 * np.std(times) / 2)


def test_no_event_has_no_median_and_waits_to_the_horizon() -> None:
    curve = kaplan_meier(np.array([3.0, 3.0]), np.zeros(2, bool))
    assert median(curve).value is None
    assert restricted_mean(curve, 3.0).value == 3.0
    assert restricted_mean(curve, 3.0).low is None


def test_an_upper_limit_out_of_reach_is_infinite() -> None:
    seen = np.array([True] * 6 + [False] * 5)
    found = median(kaplan_meier(np.arange(1.0, 12.0), seen))
    assert (found.value, found.high) == (6.0, math.inf)


@pytest.mark.parametrize(('count', 'low', 'high'), [(0, 0, 3.689), (1, 0.0253, 5.572),
                                                   (10, 4.795, 18.39)])
def test_poisson_limits_are_garwoods(count: int, low: float, high: float) -> None:
    found = poisson_rate(count, 2.0)
    assert found == pytest.approx((count / 2, low / 2, high / 2), rel=1e-3)


def test_no_exposure_is_refused() -> None:
    with pytest.raises(ValueError, match='exposure'):
        poisson_rate(0, 0.0)


def test_students_interval_by_hand() -> None:
    # s = 1, t(0.975; 2) = 4.3027
    assert mean_t(np.array([1.0, 2, 3])) == pytest.approx(
        (2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4)
    assert mean_t(np.array([1.0])) == (1.0, None, None)
    with pytest.raises(ValueError, match='no samples'):
        mean_t(np.zeros(0))


def test_slope_of_a_line_is_its_slope() -> None:
    found = slope(np.arange(5.0), 3 * np.arange(5.0) + 1)
    assert found == pytest.approx((3, 3, 3))
    with pytest.raises(ValueError, match='slope'):
        slope(np.ones(5), np.arange(5.0))


def test_a_ratio_is_of_sums_and_its_interval_is_reproducible() -> None:
    rng = np.random.default_rng(1)
    top, bottom = rng.gamma(2, size=40), rng.gamma(4, size=40)
    found = cluster_ratio(top, bottom)
    assert found.value == top.sum() / bottom.sum()
    assert found == cluster_ratio(top, bottom)
    assert found != cluster_ratio(top, bottom, seed=1)
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    assert cluster_ratio(top[:4], bottom[:4]).low is None
    with pytest.raises(ValueError, match='over nothing'):
        cluster_ratio(top, np.zeros(40))


def test_bootstrap_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        sizes = rng.integers(5, 15, 30).astype(float)
        found = cluster_ratio(rng.normal(1.0, 0.3, 30) * sizes, sizes)
        assert found.low is not None and found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 175 <= hits <= 199
