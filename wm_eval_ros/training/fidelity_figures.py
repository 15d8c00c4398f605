"""Figures of samples that come in episodes, with intervals by a bootstrap over episodes."""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import mean_value, missing
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.stats.bootstrap import cluster_draws, grouping, MIN_CLUSTERS, percentile_limits
from wm_eval_ros.stats.correlation import midranks
from wm_eval_ros.stats.mean import cluster_ratio, Mean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHOD = 'bootstrap over episodes'
#: steps at which a figure is given, and the last step besides
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SEED = 0


def reported(horizon: int) -> tuple[int, ...]:
    """
    Return the steps at which figures are given.

    >>> reported(12)
    (1, 2, 5, 10, 12)
    """
    return tuple(sorted({*(h for h in STEPS if h <= horizon), horizon}))


def ratio(name: str, unit: str, top: Floats, bottom: Floats, episodes: Ints,
          why: str = 'nothing to divide by') -> MetricValue:
    """
    Sum over sum.

    :param top: numerator of each sample, (N,)
    :param bottom: denominator, (N,), not negative
    :param why: the reason if the denominators sum to zero
    """
    if not len(top) or not float(np.sum(bottom)) > 0:
        return missing(name, unit, why, len(top))
    parts = grouping(episodes)
    return mean_value(name, unit, len(top), cluster_ratio(parts.sums(top), parts.sums(bottom)),
                      METHOD)


def mean(name: str, unit: str, samples: Floats, episodes: Ints,
         why: str = 'no sample') -> MetricValue:
    """Return the mean of samples, (N,)."""
    return ratio(name, unit, samples, np.ones(len(samples)), episodes, why)


def rms(name: str, unit: str, squares: Floats, episodes: Ints) -> MetricValue:
    """Return the root of the mean of squares, (N,); never a mean of roots."""
    found = mean(name, unit, squares, episodes)
    return _mapped(found, lambda v: math.sqrt(max(0.0, v)))


def r_squared(name: str, residual: Floats, spread: Floats, episodes: Ints) -> MetricValue:
    """
    Return one less the ratio of squared errors to squared distances from the mean.

    :param residual: squared error of each sample, (N,)
    :param spread: squared distance from the training mean, (N,)
    """
    found = ratio(name, '1', residual, spread, episodes, 'what is to be explained does not vary')
    return _mapped(found, lambda v: 1.0 - v)


def correlation(name: str, x: Floats, y: Floats, episodes: Ints) -> MetricValue:
    """
    Spearman correlation of samples that come in episodes.

    Ranks are those of the whole sample; resampled are whole episodes.

    :param x: (N,)
    :param y: (N,)
    :returns: None where one does not vary; no interval below 5 episodes
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return missing(name, '1', 'one of the two does not vary', len(x))
    a, b = (midranks(v) - (len(x) + 1) / 2 for v in (x, y))
    parts = grouping(episodes)
    sums = parts.sums(np.stack([np.ones(len(a)), a, b, a * a, b * b, a * b], axis=1))
    value = float(_product_moment(sums.sum(0)[None])[0])
    if parts.count < MIN_CLUSTERS:
        return mean_value(name, '1', len(x), Mean(value), METHOD)
    drawn = _product_moment(np.einsum('rc,ck->rk', cluster_draws(parts.count, _SEED), sums))
    low, high = percentile_limits(drawn[np.isfinite(drawn)], 0.95, parts.count)
    return mean_value(name, '1', len(x), Mean(value, low, high), METHOD)


def _product_moment(sums: Floats) -> Floats:
    """(R, 6) sums of 1, a, b, aa, bb, ab -> (R,); NaN where one does not vary."""
    n, a, b, aa, bb, ab = sums.T
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.asarray((ab - a * b / n) / np.sqrt((aa - a * a / n) * (bb - b * b / n)))


def _mapped(found: MetricValue, change: Callable[[float], float]) -> MetricValue:
    if found.value is None:
        return found
    interval = found.interval
    if interval is not None:
        ends = sorted((change(interval.low), change(interval.high)))
        interval = Interval(ends[0], ends[1], interval.confidence, interval.method)
    return MetricValue(found.name, change(found.value), found.unit, found.n, interval, found.why)


def with_why(found: MetricValue, why: str) -> MetricValue:
    """Return a figure with something to hold against it."""
    text = '; '.join(part for part in (found.why, why) if part)
    return MetricValue(found.name, found.value, found.unit, found.n, found.interval, text)
