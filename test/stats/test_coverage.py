"""The first intervals of this room: against other libraries, and how often they hold."""

from __future__ import annotations

from collections.abc import Callable
import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.mean import mean_t, slope
from wm_eval_ros.stats.proportion import beta_posterior, clopper_pearson
from wm_eval_ros.stats.quantile import quantile
from wm_eval_ros.stats.rate import poisson_rate
from wm_eval_ros.stats.survival import kaplan_meier, median, restricted_mean

#: keeps a figure in the test report
Record = Callable[[str, object], None]

COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def least_coverage(n: int, grid: np.ndarray) -> float:
    """Smallest exact coverage of n trials: on a grid, and beside every limit, where it dips."""
    limits = np.array([clopper_pearson(k, n)[1:] for k in range(n + 1)])
    ends = limits[(limits > 0) & (limits < 1)]
    p = np.concatenate([grid, ends * (1 - 1e-9), ends * (1 + 1e-9)])
    p = p[p < 1]
    # both limits rise with k: those that hold p are k = first, ..., last
    last = np.searchsorted(limits[:, 0], p, 'right') - 1
    first = np.searchsorted(limits[:, 1], p, 'left')
    return float(np.min(stats.binom.cdf(last, n, p) - stats.binom.cdf(first - 1, n, p)))


@pytest.mark.parametrize('n', [1, 2, 10, 53, 200])
def test_clopper_pearson_covers_by_exact_sum(n: int) -> None:
    assert least_coverage(n, np.arange(1, 1000) / 1000) >= 0.95 - 1e-12


@pytest.mark.slow
def test_clopper_pearson_covers_at_every_rate_of_a_grid_for_up_to_two_hundred_trials(
        record_property: Record) -> None:
    grid = np.arange(1, 2000) / 2000
    least = min(least_coverage(n, grid) for n in range(1, 201))
    record_property('coverage', least)
    assert least >= 0.95 - 1e-12


@given(COUNTS)
def test_clopper_pearson_is_statsmodels_and_the_posterior_is_scipys(
        statsmodels: SimpleNamespace, counts: tuple[int, int]) -> None:
    k, n = counts
    want = statsmodels.proportion.proportion_confint(k, n, method='beta')
    assert clopper_pearson(k, n)[1:] == pytest.approx(want, abs=1e-9)
    posterior = stats.beta(k + 1, n - k + 1)
    assert beta_posterior(k, n) == pytest.approx((posterior.mean(), *posterior.interval(0.95)),
                                                 abs=1e-9)


@given(st.integers(0, 500))
def test_poisson_limits_are_statsmodels(statsmodels: SimpleNamespace, count: int) -> None:
    want = statsmodels.rates.confint_poisson(count, 2.0, method='exact-c')
    assert poisson_rate(count, 2.0)[1:] == pytest.approx(
        [max(0.0, float(x)) for x in np.nan_to_num(want)], rel=1e-9, abs=1e-9)


def test_poisson_limits_cover_by_exact_sum() -> None:
    limits = [poisson_rate(k, 1.0)[1:] for k in range(200)]
    for mean in np.linspace(0.05, 60, 400):
        inside = [k for k, (low, high) in enumerate(limits) if low <= mean <= high]
        assert stats.poisson.pmf(inside, mean).sum() >= 0.95


@given(st.lists(st.integers(-99, 99), min_size=3, max_size=30))
def test_means_and_slopes_are_scipys(values: list[int]) -> None:
    samples = np.array(values, float)
    if np.ptp(samples) == 0:
        assert mean_t(samples)[1:] == (values[0], values[0])
        return
    want = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    assert mean_t(samples)[1:] == pytest.approx((want.low, want.high), abs=1e-9)
    x = np.arange(len(samples)) ** 1.5
    line = stats.linregress(x, samples)
    half = stats.t.ppf(0.975, len(samples) - 2) * line.stderr
    assert slope(x, samples) == pytest.approx(
        (line.slope, line.slope - half, line.slope + half), abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=3, max_size=40))
def test_the_survival_curve_is_statsmodels(statsmodels: SimpleNamespace,
                                           runs: list[tuple[int, bool]]) -> None:
    times, seen = (np.array(one) for one in zip(*runs, strict=True))
    found = kaplan_meier(times.astype(float), seen.astype(bool))
    theirs = statsmodels.survival.SurvfuncRight(times, seen.astype(int))
    events = theirs.n_events > 0
    assert found.times.tolist() == theirs.surv_times[events].tolist()
    assert found.at_risk.tolist() == theirs.n_risk[events].tolist()
    assert found.survival == pytest.approx(theirs.surv_prob[events], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize('q', [0.5, 0.95])
def test_each_limit_of_a_quantile_holds_with_95_percent(q: float, record_property: Record) -> None:
    rng, runs = np.random.default_rng(61), 4000
    truth = -math.log(1 - q)
    hits = np.zeros(2, int)
    for _ in range(runs):
        found = quantile(rng.exponential(size=120), q)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth, truth <= found.high
    record_property('coverage', (hits / runs).tolist())
    assert np.all(hits / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs))


@pytest.mark.slow
@pytest.mark.parametrize(('n', 'least'), [(20, 0.88), (100, 0.93)])
def test_the_intervals_of_censored_times_cover(
        n: int, least: float, record_property: Record) -> None:
    # exponential times censored at 1.5: 22 % of the runs never get there
    rng, runs, horizon = np.random.default_rng(62), 2000, 1.5
    truths = math.log(2), 1 - math.exp(-horizon)
    hits = np.zeros(2, int)
    for _ in range(runs):
        times = rng.exponential(size=n)
        curve = kaplan_meier(np.minimum(times, horizon), times < horizon)
        for at, found in enumerate((median(curve), restricted_mean(curve, horizon))):
            if found.low is not None and found.high is not None:
                hits[at] += found.low <= truths[at] <= found.high
    record_property('coverage', (hits / runs).tolist())
    assert np.all(hits / runs >= least)
