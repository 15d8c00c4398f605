"""Means, slopes and ratios with intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.bootstrap import cluster_draws, MIN_CLUSTERS, percentile_limits
from wm_eval_ros.stats.special import student_quantile

Floats = NDArray[np.float64]


class Mean(NamedTuple):
    """A figure and its interval; no limits where the data gives none."""

    value: float
    low: float | None = None
    high: float | None = None


def mean_t(samples: Floats, confidence: float = 0.95) -> Mean:
    """
    Mean of independent samples with Student's interval.

    :param samples: shape (N,), N > 0
    :returns: no interval for N = 1
    :raises ValueError: N = 0
    """
    n = len(samples)
    if n == 0:
        raise ValueError('the mean of no samples')
    value = float(np.mean(samples))
    if n == 1:
        return Mean(value)
    half = student_quantile(n - 1, (1 + confidence) / 2) * float(np.std(samples, ddof=1) / n**0.5)
    return Mean(value, value - half, value + half)


def slope(x: Floats, y: Floats, confidence: float = 0.95) -> Mean:
    """
    Least-squares slope of y over x with Student's interval.

    :param x: shape (N,), N >= 3, not all equal
    :raises ValueError: too few points, or no spread in x
    """
    n = len(x)
    centred = x - np.mean(x)
    spread = float(np.sum(centred**2))
    if n < 3 or spread == 0:
        raise ValueError(f'a slope through {n} points without spread')
    value = float(np.sum(centred * y)) / spread
    rest = y - np.mean(y) - value * centred
    error = np.sqrt(float(np.sum(rest**2)) / (n - 2) / spread)
    half = student_quantile(n - 2, (1 + confidence) / 2) * float(error)
    return Mean(value, value - half, value + half)


def cluster_ratio(top: Floats, bottom: Floats, confidence: float = 0.95, seed: int = 0) -> Mean:
    """
    Ratio of two sums with a percentile bootstrap over clusters, widened for few of them.

    Samples within a cluster (an episode) depend on each other, so whole clusters are drawn. A mean
    is the ratio with the clusters' sizes below.

    :param top: sum of the numerator in each cluster, shape (C,)
    :param bottom: sum of the denominator in each cluster, shape (C,), of positive total
    :param seed: of the generator made here; the same data gives the same interval
    :returns: no interval below MIN_CLUSTERS clusters
    :raises ValueError: the denominator sums to zero
    """
    total = float(np.sum(bottom))
    if total <= 0:
        raise ValueError('a ratio over nothing')
    value = float(np.sum(top)) / total
    count = len(top)
    if count < MIN_CLUSTERS:
        return Mean(value)
    sums = np.einsum('rc,kc->kr', cluster_draws(count, seed), np.stack([top, bottom]))
    ratios = sums[0][sums[1] > 0] / sums[1][sums[1] > 0]
    return Mean(value, *percentile_limits(ratios, confidence, count))
