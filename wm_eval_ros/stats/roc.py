"""A score as a detector: ROC curve, area, operating point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.proportion import clopper_pearson, Proportion
from wm_eval_ros.stats.samples import Floats, ranked
from wm_eval_ros.stats.special import logit_limits, normal_cdf, normal_quantile


class RocCurve(NamedTuple):
    """Alarm rates where the alarm is raised at scores >= threshold, by falling threshold."""

    #: shape (T + 1,), ascending from 0 to 1
    fpr: Floats
    tpr: Floats
    #: distinct scores from the largest to the smallest, after inf; shape (T + 1,)
    thresholds: Floats


class OperatingPoint(NamedTuple):
    """The most sensitive threshold whose false-positive rate in the sample is allowed."""

    #: alarm where score > threshold
    threshold: float
    tpr: Proportion
    fpr: Proportion


class AreaDifference(NamedTuple):
    """A difference, its interval and the p-value of no difference."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    #: why there is no value, or no interval
    why: str = ''


def _missing(positive: Floats, negative: Floats) -> str:
    if not len(positive):
        return 'no positive samples'
    return '' if len(negative) else 'no negative samples'


def placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """
    Share of the other class that each sample beats, ties counted half.

    :returns: for each positive the share of negatives below it, shape (M,); for each negative the
        share of positives above it, shape (N,). Both average to the area under the ROC curve.
    """
    m, n = len(positive), len(negative)
    low, high = np.sort(negative), np.sort(positive)
    below = np.searchsorted(low, positive, 'left') + np.searchsorted(low, positive, 'right')
    not_above = np.searchsorted(high, negative, 'left') + np.searchsorted(high, negative, 'right')
    return below / (2 * n), 1 - not_above / (2 * m)


def _area(positive: Floats, negative: Floats) -> float:
    """Area by whole numbers: the same for samples in any order."""
    low = np.sort(negative)
    twice = np.searchsorted(low, positive, 'left') + np.searchsorted(low, positive, 'right')
    return int(twice.sum()) / (2 * len(positive) * len(negative))


def _separated(value: float, m: int, n: int, confidence: float) -> Estimate:
    """
    Interval where every positive is above every negative, or the reverse.

    min(m, n) disjoint pairs are independent trials that were all won, so the limit of Clopper and
    Pearson for that many trials holds; a score that is constant in the larger class attains it.
    """
    limit = ((1 - confidence) / 2) ** (1 / min(m, n))
    return Estimate(value, limit, 1.0) if value == 1 else Estimate(value, 0.0, 1 - limit)


def auroc(positive: ArrayLike, negative: ArrayLike, confidence: float = 0.95) -> Estimate:
    """
    Area under the ROC curve: P(positive > negative) + P(equal) / 2, with a logit-DeLong interval.

    Variance of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); the interval is symmetric
    on the logit scale, which keeps it in [0, 1] and its coverage near 1 (Qin and Hotilovac, Stat.
    Methods Med. Res. 17, 2008). Where the classes are separated (area 0 or 1) that variance is
    zero; there the interval is exact, from min(M, N) disjoint pairs. Samples are taken as
    independent; see :func:`clustered_auroc` for slots of the same episodes.

    :param positive: scores of the anomalous samples, shape (M,); infinite scores allowed
    :param negative: scores of the nominal samples, shape (N,)
    :returns: None where a class is empty; no interval where a class has one sample or the
        placements do not vary
    :raises ValueError: NaN among the scores

    >>> auroc([2, 3, 4], [1, 2]).value
    0.9166666666666666
    """
    high, low = np.sort(ranked(positive, 'positive')), np.sort(ranked(negative, 'negative'))
    if why := _missing(high, low):
        return Estimate(None, why=why)
    value = _area(high, low)
    m, n = len(high), len(low)
    if value in (0, 1):
        return _separated(value, m, n, confidence)
    if min(m, n) < 2:
        return Estimate(value, why='one sample in a class: its spread is unknown')
    of_high, of_low = placements(high, low)
    variance = float(np.var(of_high, ddof=1) / m + np.var(of_low, ddof=1) / n)
    if variance <= 0:
        return Estimate(value, why='the placements do not vary: their spread is unknown')
    return Estimate(value, *logit_limits(value, variance**0.5, confidence))


def roc_curve(positive: ArrayLike, negative: ArrayLike) -> RocCurve:
    """
    Return false and true positive rates at every distinct score.

    :param positive: shape (M,), M > 0
    :param negative: shape (N,), N > 0
    :raises ValueError: an empty class, or NaN among the scores
    """
    high, low = np.sort(ranked(positive, 'positive')), np.sort(ranked(negative, 'negative'))
    if why := _missing(high, low):
        raise ValueError(f'a ROC curve: {why}')
    at = np.unique(np.concatenate([high, low]))[::-1]
    tpr = 1 - np.searchsorted(high, at, 'left') / len(high)
    fpr = 1 - np.searchsorted(low, at, 'left') / len(low)
    return RocCurve(np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr]),
                    np.concatenate([[np.inf], at]))


def average_precision(positive: ArrayLike, negative: ArrayLike) -> Estimate:
    """
    Area under the precision-recall curve: precision averaged over the steps of recall.

    Equal scores are one step, nothing is interpolated.

    :param positive: shape (M,)
    :param negative: shape (N,)
    :returns: None where a class is empty
    """
    high, low = np.sort(ranked(positive, 'positive')), np.sort(ranked(negative, 'negative'))
    if why := _missing(high, low):
        return Estimate(None, why=why)
    at, hits = np.unique(high, return_counts=True)
    true = len(high) - np.searchsorted(high, at, 'left')
    false = len(low) - np.searchsorted(low, at, 'left')
    return Estimate(float(np.sum(hits * true / (true + false)) / len(high)))


def tpr_at_fpr(positive: ArrayLike, negative: ArrayLike, alpha: float,
               confidence: float = 0.95) -> OperatingPoint:
    """
    Sensitivity at the lowest threshold that at most a share alpha of the negatives exceeds.

    The interval of the sensitivity is Clopper and Pearson's given that threshold; the threshold's
    own uncertainty shows in the interval of the false-positive rate.

    :param positive: shape (M,), M > 0
    :param negative: shape (N,), N > 0
    :param alpha: allowed false-positive rate, in [0, 1]
    :raises ValueError: an empty class, alpha outside [0, 1], NaN among the scores
    """
    high, low = ranked(positive, 'positive'), np.sort(ranked(negative, 'negative'))
    if why := _missing(high, low):
        raise ValueError(f'an operating point: {why}')
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha {alpha}: needs 0 <= alpha <= 1')
    # the slack keeps 0.29 * 100 from becoming 28
    allowed = int(np.floor(alpha * len(low) + 1e-9))
    threshold = float(low[len(low) - 1 - allowed]) if allowed < len(low) else -np.inf
    hits, alarms = int(np.sum(high > threshold)), int(np.sum(low > threshold))
    return OperatingPoint(threshold, clopper_pearson(hits, len(high), confidence),
                          clopper_pearson(alarms, len(low), confidence))


def paired_auroc_difference(positive_a: ArrayLike, negative_a: ArrayLike, positive_b: ArrayLike,
                            negative_b: ArrayLike, confidence: float = 0.95) -> AreaDifference:
    """
    Difference of the areas of two scores of the same samples (DeLong, 1988).

    :param positive_a: score A of each positive, shape (M,)
    :param negative_a: score A of each negative, shape (N,)
    :param positive_b: score B of the same positives, shape (M,)
    :param negative_b: score B of the same negatives, shape (N,)
    :returns: A - B; no interval where its variance is zero or a class has one sample
    :raises ValueError: different numbers of samples, NaN among the scores
    """
    high = np.stack([ranked(positive_a, 'positive_a'), ranked(positive_b, 'positive_b')])
    low = np.stack([ranked(negative_a, 'negative_a'), ranked(negative_b, 'negative_b')])
    if why := _missing(high[0], low[0]):
        return AreaDifference(None, why=why)
    value = _area(high[0], low[0]) - _area(high[1], low[1])
    if min(high.shape[1], low.shape[1]) < 2:
        return AreaDifference(value, why='one sample in a class: its spread is unknown')
    (high_a, low_a), (high_b, low_b) = (placements(high[i], low[i]) for i in (0, 1))
    variance = sum(float(np.var(np.sort(a - b), ddof=1)) / len(a)
                   for a, b in ((high_a, high_b), (low_a, low_b)))
    if variance <= 0:
        return AreaDifference(value, why='the placements do not vary: their spread is unknown')
    error = variance**0.5
    half = normal_quantile((1 + confidence) / 2) * error
    return AreaDifference(value, max(-1.0, value - half), min(1.0, value + half),
                      2 * normal_cdf(-abs(value) / error))
