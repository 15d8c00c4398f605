"""A score as a detector: ROC curve, areas, operating point."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_eval_ros.stats.bootstrap import Grouping
from wm_eval_ros.stats.delong import area, area_variance, blocks, placements
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.stats.samples import Floats, ranked
from wm_eval_ros.stats.special import logit_limits, normal_cdf, normal_quantile

#: labels of the clusters of the positives and of the negatives, shapes (M,) and (N,)
Groups = tuple[ArrayLike, ArrayLike]
_ONE = 'a class lies in one sample or cluster: its spread is unknown'
_FLAT = 'the placements do not vary: their spread is unknown'


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
    tpr: Estimate
    fpr: Estimate


class AreaDifference(NamedTuple):
    """A difference of areas, its interval and the p-value of no difference."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    #: why there is no value, or no interval
    why: str = ''


def _classes(positive: ArrayLike, negative: ArrayLike) -> tuple[Floats, Floats, str]:
    """Return both classes, and which of them is missing."""
    high, low = ranked(positive, 'positive'), ranked(negative, 'negative')
    missing = 'positive' if not len(high) else '' if len(low) else 'negative'
    return high, low, missing and f'no {missing} samples'


def _both(positive: ArrayLike, negative: ArrayLike, what: str) -> tuple[Floats, Floats]:
    """Return both classes sorted; neither may be empty."""
    high, low, why = _classes(positive, negative)
    if why:
        raise ValueError(f'{what}: {why}')
    return np.sort(high), np.sort(low)


def auroc(positive: ArrayLike, negative: ArrayLike, confidence: float = 0.95,
          groups: Groups | None = None) -> Estimate:
    """
    Area under the ROC curve: P(positive > negative) + P(equal) / 2, with a logit-DeLong interval.

    The interval is symmetric on the logit scale, which keeps it in [0, 1] (Qin and Hotilovac,
    Stat. Methods Med. Res. 17, 2008), with the variance of DeLong, or of Obuchowski for samples
    in clusters. Where the classes are separated (area 0 or 1) that variance is zero. There the
    limit is exact: p disjoint pairs are independent trials that were all won, so it is Clopper
    and Pearson's for p of p, with p = min(M, N), or the pairs that disjoint clusters give.

    :param positive: scores of the anomalous samples, shape (M,); infinite scores allowed
    :param negative: scores of the nominal samples, shape (N,)
    :param groups: episodes of the samples of both classes; None takes samples as independent
    :returns: None where a class is empty; no interval where a class lies in one sample or
        cluster, or the placements do not vary
    :raises ValueError: NaN among the scores, labels that are not one a sample

    >>> auroc([2, 3, 4], [1, 2]).value
    0.9166666666666666
    """
    high, low, why = _classes(positive, negative)
    if why:
        return Estimate(None, why=why)
    value, parts = area(high, low), blocks(len(high), len(low), groups)
    if value in (0, 1):
        return _separated(value, parts.independent_pairs(), confidence)
    above, below = placements(high, low)
    variance = area_variance(above - value, below - value, parts)
    if variance is None or variance <= 0:
        return Estimate(value, why=_ONE if variance is None else _FLAT)
    return Estimate(value, *logit_limits(value, variance**0.5, confidence))


def _separated(value: float, pairs: int, confidence: float) -> Estimate:
    if pairs == 0:
        return Estimate(value, why='one cluster holds both classes: its spread is unknown')
    limit = ((1 - confidence) / 2) ** (1 / pairs)
    return Estimate(value, limit, 1.0) if value == 1 else Estimate(value, 0.0, 1 - limit)


def paired_auroc_difference(positive_a: ArrayLike, negative_a: ArrayLike, positive_b: ArrayLike,
                            negative_b: ArrayLike, confidence: float = 0.95,
                            groups: Groups | None = None) -> AreaDifference:
    """
    Difference of the areas of two scores of the same samples, with DeLong's covariance.

    :param positive_a: score A of each positive, shape (M,)
    :param negative_a: score A of each negative, shape (N,)
    :param positive_b: score B of the same positives, shape (M,)
    :param negative_b: score B of the same negatives, shape (N,)
    :param groups: as for :func:`auroc`
    :returns: A - B with a normal interval cut to [-1, 1]; none where its variance is not known
    :raises ValueError: different numbers of samples, NaN among the scores
    """
    high_a, low_a, why = _classes(positive_a, negative_a)
    high_b, low_b, _ = _classes(positive_b, negative_b)
    if (len(high_a), len(low_a)) != (len(high_b), len(low_b)):
        raise ValueError(f'two scores of the same samples: {len(high_a)} and {len(low_a)} against '
                         f'{len(high_b)} and {len(low_b)}')
    if why:
        return AreaDifference(None, why=why)
    value = area(high_a, low_a) - area(high_b, low_b)
    of_a, of_b = placements(high_a, low_a), placements(high_b, low_b)
    variance = area_variance(of_a[0] - of_b[0] - value, of_a[1] - of_b[1] - value,
                             blocks(len(high_a), len(low_a), groups))
    # equal placements differ by rounding alone
    if variance is None or variance <= 1e-24:
        return AreaDifference(value, why=_ONE if variance is None else _FLAT)
    error = variance**0.5
    half = normal_quantile((1 + confidence) / 2) * error
    return AreaDifference(value, max(-1.0, value - half), min(1.0, value + half),
                          2 * normal_cdf(-abs(value) / error))


def roc_curve(positive: ArrayLike, negative: ArrayLike) -> RocCurve:
    """
    Return false and true positive rates at every distinct score.

    :param positive: shape (M,), M > 0
    :param negative: shape (N,), N > 0
    :raises ValueError: an empty class, or NaN among the scores
    """
    high, low = _both(positive, negative, 'a ROC curve')
    at = np.unique(np.concatenate([high, low]))[::-1]
    tpr = (len(high) - np.searchsorted(high, at, 'left')) / len(high)
    fpr = (len(low) - np.searchsorted(low, at, 'left')) / len(low)
    return RocCurve(np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr]),
                    np.concatenate([[np.inf], at]))


def average_precision(positive: ArrayLike, negative: ArrayLike, confidence: float = 0.95,
                      groups: Groups | None = None) -> Estimate:
    """
    Area under the precision-recall curve: precision averaged over the steps of recall.

    Equal scores are one step, nothing is interpolated. The interval is that of Boyd, Eng and Page
    (ECML 2013): logit, with the spread of a share among as many trials as there are positives,
    or clusters with positives. It is conservative. The figure depends on how common positives
    are, and so do its limits: they hold for the ratio of classes in the sample.

    :param positive: shape (M,)
    :param negative: shape (N,)
    :param groups: as for :func:`auroc`
    :returns: None where a class is empty; no interval at 1
    """
    high, low, why = _classes(positive, negative)
    if why:
        return Estimate(None, why=why)
    parts = blocks(len(high), len(low), groups)
    high, low = np.sort(high), np.sort(low)
    at, hits = np.unique(high, return_counts=True)
    true = len(high) - np.searchsorted(high, at, 'left')
    false = len(low) - np.searchsorted(low, at, 'left')
    value = float(np.sum(hits * true / (true + false)) / len(high))
    if value >= 1:
        return Estimate(1.0, why='every positive is above every negative: its spread is unknown')
    trials = len(np.unique(parts.positive.cluster))
    return Estimate(value, *logit_limits(value, (value * (1 - value) / trials)**0.5, confidence))


def _rate(alarm: NDArray[np.bool_], part: Grouping, independent: bool,
          confidence: float) -> Estimate:
    """Share of alarms, exact where the samples are independent."""
    if independent:
        return Estimate(*clopper_pearson(int(alarm.sum()), len(alarm), confidence))
    sizes = part.sums(np.ones(len(alarm)))
    held = sizes > 0
    found = cluster_ratio(part.sums(alarm.astype(float))[held], sizes[held], confidence)
    return Estimate(*found, '' if found.low is not None else 'n too small: too few episodes')


def tpr_at_fpr(positive: ArrayLike, negative: ArrayLike, alpha: float, confidence: float = 0.95,
               groups: Groups | None = None) -> OperatingPoint:
    """
    Sensitivity at the lowest threshold that at most a share alpha of the negatives exceeds.

    Its interval is Clopper and Pearson's given that threshold, or a bootstrap over clusters; the
    threshold's own uncertainty shows in the interval of the false-positive rate.

    :param positive: shape (M,), M > 0
    :param negative: shape (N,), N > 0
    :param alpha: allowed false-positive rate, in [0, 1]
    :param groups: as for :func:`auroc`
    :raises ValueError: an empty class, alpha outside [0, 1], NaN among the scores
    """
    _, ordered = _both(positive, negative, 'an operating point')
    if not 0 <= alpha <= 1:
        raise ValueError(f'alpha {alpha}: needs 0 <= alpha <= 1')
    # the slack keeps 0.29 * 100 from becoming 28
    allowed = int(np.floor(alpha * len(ordered) + 1e-9))
    threshold = float(ordered[-1 - allowed]) if allowed < len(ordered) else -np.inf
    high, low, _ = _classes(positive, negative)
    parts = blocks(len(high), len(low), groups)
    return OperatingPoint(threshold,
                          _rate(high > threshold, parts.positive, groups is None, confidence),
                          _rate(low > threshold, parts.negative, groups is None, confidence))
