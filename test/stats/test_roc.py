"""Areas under ROC and precision-recall curves against definitions and other libraries."""

from __future__ import annotations

from collections.abc import Callable
import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest
from scipy import integrate, stats

from wm_eval_ros.stats.delong import area_variance, blocks, placements
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.stats.roc import (
    auroc,
    average_precision,
    paired_auroc_difference,
    roc_curve,
    tpr_at_fpr,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]

Floats = NDArray[np.float64]
#: few distinct values, so that there are ties
SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=25)


def kernel(positive: Floats, negative: Floats) -> Floats:
    """Return 1, 1/2 or 0 for each pair, by definition."""
    gap = positive[:, None] - negative[None, :]
    return (gap > 0) + 0.5 * (gap == 0)


def drawn(seed: int, m: int = 30, n: int = 50, shift: float = 1.0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(shift, 1, m), 1), np.round(rng.normal(0, 1, n), 1)


@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_won(positive: list[int], negative: list[int]) -> None:
    want = kernel(np.array(positive, float), np.array(negative, float)).mean()
    found = auroc(positive, negative)
    assert found.value == pytest.approx(want, abs=1e-12)
    assert found == auroc(positive[::-1], negative[::-1])
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1


@given(SCORES, SCORES)
def test_exchanging_the_classes_mirrors_area_and_interval(positive: list[int],
                                                          negative: list[int]) -> None:
    one, other = auroc(positive, negative), auroc(negative, positive)
    assert one.value == pytest.approx(1 - other.value, abs=1e-12)
    assert one.why == other.why
    if one.low is not None:
        assert one.low == pytest.approx(1 - other.high, abs=1e-9)


@given(SCORES, SCORES)
def test_any_rising_map_of_the_scores_leaves_the_area(positive: list[int],
                                                      negative: list[int]) -> None:
    assert auroc(positive, negative) == auroc(np.exp(positive), np.exp(negative))


@given(SCORES, SCORES)
def test_areas_and_curve_are_scikit_learns(sklearn: SimpleNamespace, positive: list[int],
                                           negative: list[int]) -> None:
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    scores = np.array(positive + negative, float)
    assert auroc(positive, negative).value == pytest.approx(
        sklearn.metrics.roc_auc_score(truth, scores), abs=1e-9)
    assert average_precision(positive, negative).value == pytest.approx(
        sklearn.metrics.average_precision_score(truth, scores), abs=1e-9)
    fpr, tpr, thresholds = sklearn.metrics.roc_curve(truth, scores, drop_intermediate=False)
    found = roc_curve(positive, negative)
    assert found.fpr == pytest.approx(fpr, abs=1e-9)
    assert found.tpr == pytest.approx(tpr, abs=1e-9)
    assert found.thresholds.tolist() == thresholds.tolist()
    assert integrate.trapezoid(found.tpr, found.fpr) == pytest.approx(
        auroc(positive, negative).value, abs=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_the_variance_is_that_of_brunner_and_munzel(seed: int) -> None:
    # their statistic is (area - 1/2) over DeLong's standard error
    positive, negative = drawn(seed)
    value = float(kernel(positive, negative).mean())
    above, below = placements(positive, negative)
    variance = area_variance(above - value, below - value, blocks(30, 50, None))
    assert variance is not None
    statistic = stats.brunnermunzel(negative, positive).statistic
    assert abs(value - 0.5) / variance**0.5 == pytest.approx(abs(statistic), rel=1e-9)
    found = auroc(positive, negative)
    half = 1.959963984540054 * variance**0.5 / (value * (1 - value))
    odds = math.log(value / (1 - value))
    assert found.low == pytest.approx(1 / (1 + math.exp(half - odds)), abs=1e-9)
    assert found.high == pytest.approx(1 / (1 + math.exp(-half - odds)), abs=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_the_clustered_variance_is_obuchowskis_sum_by_sum(seed: int) -> None:
    positive, negative = drawn(seed)
    rng = np.random.default_rng(seed)
    of_positive, of_negative = rng.integers(0, 8, 30), rng.integers(2, 12, 50)
    won = kernel(positive, negative)
    theta = won.mean()
    clusters = sorted({*of_positive.tolist(), *of_negative.tolist()})
    x = [float(np.sum(won.mean(axis=1)[of_positive == c] - theta)) for c in clusters]
    y = [float(np.sum(won.mean(axis=0)[of_negative == c] - theta)) for c in clusters]
    i10, i01, i = len(set(of_positive)), len(set(of_negative)), len(clusters)
    want = (i10 / (i10 - 1) * sum(a * a for a in x) / 30**2
            + i01 / (i01 - 1) * sum(b * b for b in y) / 50**2
            + 2 * i / (i - 1) * sum(a * b for a, b in zip(x, y, strict=True)) / (30 * 50))
    above, below = placements(positive, negative)
    found = area_variance(above - theta, below - theta, blocks(30, 50, (of_positive, of_negative)))
    assert found == pytest.approx(want, rel=1e-9)


def test_each_sample_its_own_cluster_is_no_clusters() -> None:
    positive, negative = drawn(3)
    own = (np.arange(30), np.arange(30, 80))
    assert auroc(positive, negative) == auroc(positive, negative, groups=own)


def test_copies_in_one_episode_tell_nothing_new() -> None:
    positive, negative = drawn(4)
    own = (np.arange(30), np.arange(30, 80))
    once = auroc(positive, negative, groups=own)
    thrice = auroc(np.repeat(positive, 3), np.repeat(negative, 3),
                   groups=(np.repeat(own[0], 3), np.repeat(own[1], 3)))
    assert thrice[:3] == pytest.approx(once[:3], abs=1e-12)
    naive = auroc(np.repeat(positive, 3), np.repeat(negative, 3))
    assert once.low is not None and naive.low is not None
    assert naive.low > once.low


def test_separated_classes_have_an_exact_lower_limit() -> None:
    # 5 pairs won out of 5, as if tossed: 0.025^(1/5)
    found = auroc([5, 6, 7, 8, 9], [1, 2, 3, 4, 4, 4, 4])
    assert found == (1.0, pytest.approx(0.025**0.2), 1.0, '')
    assert found.low == pytest.approx(clopper_pearson(5, 5).low)
    below = auroc([1, 2], [3, 4, 5])
    assert (below.value, below.low, below.high) == (0.0, 0.0, pytest.approx(1 - 0.025**0.5))


def test_separated_slots_of_two_episodes_are_one_pair() -> None:
    found = auroc([5, 6, 7, 8], [1, 2, 3, 4], groups=([1, 1, 2, 2], [1, 1, 2, 2]))
    assert found.low == pytest.approx(0.025)
    alone = auroc([5, 6], [1, 2], groups=([1, 1], [1, 1]))
    assert (alone.value, alone.low) == (1.0, None)
    assert 'one cluster' in alone.why


@pytest.mark.parametrize(('positive', 'negative', 'why'), [
    pytest.param([], [1, 2], 'no positive samples', id='no-positives'),
    pytest.param([1, 2], [], 'no negative samples', id='no-negatives'),
])
def test_an_empty_class_is_no_evidence(positive: list[int], negative: list[int],
                                       why: str) -> None:
    assert auroc(positive, negative) == (None, None, None, why)
    assert average_precision(positive, negative) == (None, None, None, why)
    assert paired_auroc_difference(positive, negative, positive, negative).why == why
    with pytest.raises(ValueError, match=why):
        roc_curve(positive, negative)
    with pytest.raises(ValueError, match=why):
        tpr_at_fpr(positive, negative, 0.05)


def test_one_sample_of_a_class_or_all_equal_gives_no_interval() -> None:
    one = auroc([2], [1, 3])
    assert (one.value, one.low) == (0.5, None)
    assert 'one sample' in one.why
    equal = auroc([1, 1, 1], [1, 1])
    assert (equal.value, equal.low) == (0.5, None)
    assert 'do not vary' in equal.why


def test_nan_is_refused_and_infinity_ranks_highest() -> None:
    with pytest.raises(ValueError, match='positive: 1 of 2 are NaN'):
        auroc([1, math.nan], [0, 1])
    with pytest.raises(ValueError, match='groups of the positives'):
        auroc([1, 2], [0, 1], groups=([1], [1, 2]))
    assert auroc([math.inf, 2], [1, 0]).value == 1.0


@pytest.mark.parametrize('seed', range(3))
def test_the_paired_difference_has_delongs_covariance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=80)
    a, b = (np.round(truth + rng.normal(size=80), 1) for _ in range(2))
    won = [kernel(s[:30] + 1, s[30:]) for s in (a, b)]
    rows = np.cov([w.mean(axis=1) for w in won])
    columns = np.cov([w.mean(axis=0) for w in won])
    total = rows / 30 + columns / 50
    error = math.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1])
    gap = won[0].mean() - won[1].mean()
    found = paired_auroc_difference(a[:30] + 1, a[30:], b[:30] + 1, b[30:])
    assert found.value == pytest.approx(gap, abs=1e-9)
    assert found.low == pytest.approx(gap - 1.959963984540054 * error, abs=1e-9)
    assert found.high == pytest.approx(gap + 1.959963984540054 * error, abs=1e-9)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(gap) / error), abs=1e-9)


def test_a_score_against_itself_does_not_differ() -> None:
    positive, negative = drawn(1)
    found = paired_auroc_difference(positive, negative, 3 * positive, 3 * negative)
    assert (found.value, found.low, found.p_value) == (0.0, None, None)
    with pytest.raises(ValueError, match='30 and 50 against 29 and 50'):
        paired_auroc_difference(positive, negative, positive[1:], negative)


def test_average_precision_by_hand() -> None:
    # scores 4+ 3- 2+ 1-: precision 1 at recall 1/2, 2/3 at recall 1
    found = average_precision([4, 2], [3, 1])
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    # logit(5/6) -+ 1.96 / sqrt(2 * 5/36)
    half = 1.959963984540054 / math.sqrt(2 * 5 / 36)
    assert found.low == pytest.approx(1 / (1 + math.exp(half - math.log(5))))
    assert found.high == pytest.approx(1 / (1 + math.exp(-half - math.log(5))))
    assert average_precision([4, 3], [2, 1]).low is None
    # two positives of one episode count as one trial
    one = average_precision([4, 2], [3, 1], groups=([7, 7], [1, 2]))
    assert one.low is not None and found.low is not None
    assert one.low < found.low


@given(SCORES, SCORES, st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.5, 1.0]))
def test_the_operating_point_is_the_most_sensitive_one_allowed(
        positive: list[int], negative: list[int], alpha: float) -> None:
    found = tpr_at_fpr(positive, negative, alpha)
    curve = roc_curve(positive, negative)
    want = curve.tpr[curve.fpr <= alpha + 1e-12].max()
    assert found.tpr.value == pytest.approx(want, abs=1e-12)
    assert found.fpr.value <= alpha + 1e-12
    hits = int(np.sum(np.array(positive) > found.threshold))
    assert found.tpr[:3] == clopper_pearson(hits, len(positive))


def test_the_operating_point_of_clustered_samples_is_resampled_by_cluster() -> None:
    positive, negative = drawn(2)
    groups = (np.arange(30) // 3, np.arange(50) // 5)
    found = tpr_at_fpr(positive, negative, 0.1, groups=groups)
    plain = tpr_at_fpr(positive, negative, 0.1)
    assert found.tpr.value == plain.tpr.value
    assert found.tpr.low is not None and found.tpr.high is not None
    assert found.tpr.low <= found.tpr.value <= found.tpr.high
    assert found.tpr.low != plain.tpr.low
    few = tpr_at_fpr(positive, negative, 0.1, groups=(np.zeros(30), np.zeros(50)))
    assert few.tpr.low is None and 'too few' in few.tpr.why
    with pytest.raises(ValueError, match='alpha 2'):
        tpr_at_fpr(positive, negative, 2)


#: area, positives, negatives, standard deviation of the positives, least coverage
BINORMAL = [(0.55, 20, 20, 1.0, 0.93), (0.7, 20, 80, 1.0, 0.93), (0.8, 50, 50, 2.0, 0.93),
            (0.8, 50, 200, 0.5, 0.93), (0.9, 50, 50, 1.0, 0.93), (0.9, 200, 200, 1.0, 0.93),
            (0.95, 50, 50, 1.0, 0.93), (0.95, 200, 200, 2.0, 0.93),
            # two or three positives below a negative decide: too few for a variance
            (0.98, 50, 50, 2.0, 0.88)]


@pytest.mark.slow
@pytest.mark.parametrize(('area', 'm', 'n', 'spread', 'least'), BINORMAL)
def test_the_interval_of_the_area_covers_95_percent(
        area: float, m: int, n: int, spread: float, least: float,
        record_property: Record) -> None:
    rng = np.random.default_rng(11)
    shift = stats.norm.ppf(area) * math.hypot(1, spread)
    hits, runs = 0, 4000
    for _ in range(runs):
        found = auroc(rng.normal(shift, spread, m), rng.normal(0, 1, n))
        assert found.low is not None and found.high is not None
        hits += found.low <= area <= found.high
    record_property('coverage', hits / runs)
    assert least <= hits / runs <= 0.97


@pytest.mark.slow
def test_the_interval_of_clustered_samples_covers_where_the_plain_one_does_not(
        record_property: Record) -> None:
    # 30 episodes of 10 nominal and 10 anomalous slots; half of the variance is the episode's
    rng, area, runs = np.random.default_rng(12), 0.8, 1000
    shift = stats.norm.ppf(area) * math.sqrt(2)
    labels = np.repeat(np.arange(30), 10)
    hits = plain = 0
    for _ in range(runs):
        easy = np.repeat(rng.normal(0, 0.5**0.5, (2, 30)), 10, axis=1)
        scores = easy + rng.normal(0, 0.5**0.5, (2, 300))
        found = auroc(scores[0] + shift, scores[1], groups=(labels, labels))
        naive = auroc(scores[0] + shift, scores[1])
        assert found.low is not None and found.high is not None
        assert naive.low is not None and naive.high is not None
        hits += found.low <= area <= found.high
        plain += naive.low <= area <= naive.high
    record_property('coverage', (hits / runs, plain / runs))
    assert hits / runs >= 0.92
    assert plain / runs <= 0.75


@pytest.mark.slow
def test_the_paired_difference_covers_95_percent_and_its_test_keeps_its_level(
        record_property: Record) -> None:
    rng, runs = np.random.default_rng(13), 3000
    hits = rejected = 0
    for _ in range(runs):
        shared = rng.normal(size=130)
        a, b = (shared + rng.normal(size=130) for _ in range(2))
        found = paired_auroc_difference(a[:50] + 1.5, a[50:], b[:50] + 1.5, b[50:])
        assert found.low is not None and found.high is not None and found.p_value is not None
        hits += found.low <= 0 <= found.high
        rejected += found.p_value <= 0.05
    record_property('coverage and rejections', (hits / runs, rejected / runs))
    assert 0.93 <= hits / runs <= 0.97
    assert rejected / runs <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize(('shift', 'm', 'n'), [(0.5, 20, 200), (1.0, 100, 100), (2.0, 50, 500)])
def test_the_interval_of_average_precision_covers(
        shift: float, m: int, n: int, record_property: Record) -> None:
    rng, runs = np.random.default_rng(14), 2000
    at = np.linspace(-8, 12, 200_001)
    recall, alarms = stats.norm.sf(at - shift), stats.norm.sf(at)
    precision = m * recall / (m * recall + n * alarms)
    truth = float(integrate.trapezoid(precision * stats.norm.pdf(at - shift), at))
    hits = 0
    for _ in range(runs):
        found = average_precision(rng.normal(shift, 1, m), rng.normal(0, 1, n))
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    record_property('coverage', hits / runs)
    assert hits / runs >= 0.94
