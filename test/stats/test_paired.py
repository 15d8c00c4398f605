"""Two success rates: exact tests and intervals against other libraries and definitions."""

from __future__ import annotations

from collections.abc import Callable
import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import optimize, stats

from wm_eval_ros.stats.paired import (
    agresti_caffo,
    barnard,
    boschloo,
    mcnemar_exact,
    paired_difference,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]

COUNT = st.integers(0, 40)
Z = 1.959963984540054


@given(COUNT, COUNT)
def test_mcnemar_is_the_sign_test_and_statsmodels(statsmodels: SimpleNamespace, b: int,
                                                  c: int) -> None:
    found = mcnemar_exact(b, c)
    assert found == mcnemar_exact(c, b)
    if b + c:
        assert found == pytest.approx(stats.binomtest(b, b + c).pvalue, abs=1e-9)
    with np.errstate(invalid='ignore'):
        theirs = statsmodels.tables.mcnemar([[3, b], [c, 2]], exact=True).pvalue
    assert found == pytest.approx(theirs, abs=1e-9) or b == c


def test_mcnemar_of_no_discordant_pairs_says_nothing() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(3, 3) == 1.0
    with pytest.raises(ValueError, match='-1'):
        mcnemar_exact(-1, 2)


def score(delta: float, b: int, c: int, n: int) -> float:
    """Tango's statistic, with the constrained maximum of the likelihood found numerically."""
    def loss(p01: float) -> float:
        p10, rest = p01 + delta, 1 - 2 * p01 - delta
        terms = ((b, p10), (c, p01), (n - b - c, rest))
        return -sum(k * math.log(max(p, 1e-300)) for k, p in terms if k)

    low, high = max(0.0, -delta), (1 - delta) / 2
    best = optimize.minimize_scalar(loss, bounds=(low, high), method='bounded',
                                    options={'xatol': 1e-13}).x
    return (b - c - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))


@pytest.mark.parametrize(('b', 'c', 'n'), [(9, 3, 44), (0, 5, 20), (12, 0, 12), (1, 1, 10),
                                           (150, 86, 1144), (0, 0, 30)])
def test_tangos_limits_are_where_the_score_is_z(b: int, c: int, n: int) -> None:
    found = paired_difference(b, c, n)
    assert found.value == (b - c) / n
    if found.low > -1:
        assert score(found.low, b, c, n) == pytest.approx(Z, abs=1e-5)
    if found.high < 1:
        assert score(found.high, b, c, n) == pytest.approx(-Z, abs=1e-5)


def test_tangos_limits_without_discordant_pairs_are_wilsons_kind() -> None:
    # b = c = 0: the score equation becomes n d / (1 - d) = z^2
    found = paired_difference(0, 0, 30)
    want = Z**2 / (30 + Z**2)
    assert (found.value, found.low, found.high) == pytest.approx((0, -want, want), abs=1e-9)


@given(COUNT, COUNT, COUNT)
def test_the_paired_interval_holds_its_estimate_and_mirrors(b: int, c: int, rest: int) -> None:
    n = b + c + rest
    if n == 0:
        with pytest.raises(ValueError, match='n > 0'):
            paired_difference(b, c, n)
        return
    found, mirrored = paired_difference(b, c, n), paired_difference(c, b, n)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
    wider = paired_difference(b, c, n, confidence=0.99)
    assert wider.low <= found.low + 1e-12 and found.high <= wider.high + 1e-12


def test_more_discordant_pairs_than_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match='5 \\+ 6 discordant of 10'):
        paired_difference(5, 6, 10)


def coverage(n: int, p10: float, p01: float) -> float:
    """Exact coverage of the paired interval."""
    cells = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    inside = [found.low <= p10 - p01 <= found.high
              for found in (paired_difference(b, c, n) for b, c in cells)]
    chances = stats.multinomial.pmf([(b, c, n - b - c) for b, c in cells], n,
                                    [p10, p01, 1 - p10 - p01])
    return float(np.sum(chances[np.array(inside)]))


@pytest.mark.slow
@pytest.mark.parametrize(('n', 'least'), [(10, 0.92), (20, 0.935), (50, 0.935)])
def test_the_paired_interval_covers_about_95_percent_of_every_grid_point(
        n: int, least: float, record_property: Record) -> None:
    grid = np.linspace(0.02, 0.9, 12)
    found = [coverage(n, p, q) for p in grid for q in grid if p + q < 1]
    record_property('coverage', (min(found), float(np.mean(found))))
    assert min(found) >= least
    assert 0.945 <= np.mean(found) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize('n', [10, 20, 50])
def test_the_adjusted_wald_interval_is_wider(n: int, record_property: Record) -> None:
    # Bonett and Price (2012): half a pair of each kind more, on average over all outcomes
    wald = tango = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            p10, p01 = (b + 1) / (n + 2), (c + 1) / (n + 2)
            half = Z * math.sqrt((p10 + p01 - (p10 - p01) ** 2) / (n + 2))
            wald += min(1, p10 - p01 + half) - max(-1, p10 - p01 - half)
            found = paired_difference(b, c, n)
            tango += found.high - found.low
    record_property('ratio of widths', wald / tango)
    assert 1.01 <= wald / tango <= 1.04


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_agresti_caffo_is_statsmodels(statsmodels: SimpleNamespace, n1: int, n2: int,
                                      data: st.DataObject) -> None:
    k1, k2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    found = agresti_caffo(k1, n1, k2, n2)
    low, high = statsmodels.proportion.confint_proportions_2indep(
        k1, n1, k2, n2, method='agresti-caffo')
    assert found.low == pytest.approx(max(-1, low), abs=1e-9)
    assert found.high == pytest.approx(min(1, high), abs=1e-9)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(('n', 'least'), [(10, 0.92), (30, 0.93), (100, 0.935)])
def test_agresti_caffo_covers_about_95_percent_at_every_grid_point(
        n: int, least: float, record_property: Record) -> None:
    k = np.arange(n + 1)
    limits = np.array([[agresti_caffo(a, n, b, n)[1:] for b in k] for a in k])
    grid = np.linspace(0.02, 0.98, 17)
    found = []
    for p in grid:
        for q in grid:
            inside = (limits[..., 0] <= p - q) & (p - q <= limits[..., 1])
            chances = np.outer(stats.binom.pmf(k, n, p), stats.binom.pmf(k, n, q))
            found.append(float(chances[inside].sum()))
    record_property('coverage', (min(found), float(np.mean(found))))
    assert min(found) >= least
    assert np.mean(found) >= 0.95


def largest_size(region: np.ndarray) -> float:
    """Chance of the tables at the common rate that makes it largest."""
    n1, n2 = region.shape[0] - 1, region.shape[1] - 1
    rates = np.linspace(0, 1, 2001)
    one, two = (stats.binom.pmf(np.arange(n + 1)[:, None], n, rates) for n in (n1, n2))
    return float(np.max(np.einsum('ar,br,ab->r', one, two, region.astype(float))))


@pytest.mark.parametrize(('k1', 'n1', 'k2', 'n2'), [(10, 10, 5, 10), (7, 12, 2, 9), (1, 8, 6, 8)])
def test_boschloo_is_the_largest_chance_of_tables_as_extreme_by_fisher(
        k1: int, n1: int, k2: int, n2: int) -> None:
    if k1 / n1 < k2 / n2:
        k1, n1, k2, n2 = k2, n2, k1, n1
    fisher = np.array([[stats.fisher_exact([[a, b], [n1 - a, n2 - b]], alternative='greater')[1]
                        for b in range(n2 + 1)] for a in range(n1 + 1)])
    want = 2 * largest_size(fisher <= fisher[k1, k2] * (1 + 1e-9))
    found = boschloo(k1, n1, k2, n2)
    assert want <= found * (1 + 1e-9)
    assert found == pytest.approx(want, rel=1e-5)
    assert found == pytest.approx(boschloo(k2, n2, k1, n1), rel=1e-9)
    assert found <= 2 * fisher[k1, k2] + 1e-12
    theirs = stats.boschloo_exact([[k1, k2], [n1 - k1, n2 - k2]]).pvalue
    assert found == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(('k1', 'n1', 'k2', 'n2'), [(10, 10, 5, 10), (7, 12, 2, 9), (3, 8, 7, 8)])
def test_barnard_is_the_largest_chance_of_scores_as_large(k1: int, n1: int, k2: int,
                                                          n2: int) -> None:
    a, b = np.arange(n1 + 1)[:, None], np.arange(n2 + 1)[None, :]
    pooled = (a + b) / (n1 + n2)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    scores = np.divide(a / n1 - b / n2, spread, out=np.zeros((n1 + 1, n2 + 1)), where=spread > 0)
    want = largest_size(np.abs(scores) >= abs(scores[k1, k2]) - 1e-9)
    found = barnard(k1, n1, k2, n2)
    assert want <= found * (1 + 1e-9)
    assert found == pytest.approx(want, rel=1e-5)
    # theirs compares scores that are equal by symmetry without slack, and may drop some
    theirs = stats.barnard_exact([[k1, k2], [n1 - k1, n2 - k2]]).pvalue
    assert found >= theirs - 1e-9
    if n1 == n2:
        assert found == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize('test', [boschloo, barnard])
@pytest.mark.parametrize(('n1', 'n2'), [(6, 6), (5, 9)])
def test_the_unpaired_tests_never_reject_more_often_than_stated(test: object, n1: int,
                                                                n2: int) -> None:
    assert callable(test)
    rejects = np.array([[test(a, n1, b, n2) <= 0.05 for b in range(n2 + 1)]
                        for a in range(n1 + 1)])
    assert 0 < largest_size(rejects) <= 0.05


def test_of_very_many_episodes_fishers_test_answers() -> None:
    want = 2 * stats.fisher_exact([[600, 500], [900, 1000]], alternative='greater')[1]
    assert boschloo(600, 1500, 500, 1500) == pytest.approx(want, rel=1e-9)
    assert barnard(500, 1500, 600, 1500) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize('test', [boschloo, barnard])
def test_all_or_none_succeeding_says_nothing(test: object) -> None:
    assert callable(test)
    assert test(0, 5, 0, 7) == 1.0
    assert test(5, 5, 7, 7) == 1.0
    with pytest.raises(ValueError, match='8 successes in 7 trials'):
        test(1, 5, 8, 7)
    with pytest.raises(ValueError, match='0 successes in 0 trials'):
        agresti_caffo(0, 0, 1, 1)
