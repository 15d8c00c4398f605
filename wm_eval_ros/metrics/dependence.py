"""Figures over slots, whose neighbours depend on each other: intervals by clusters of slots."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np

from wm_eval_ros.metrics.base import (
    Bools,
    Floats,
    Ints,
    mean_value,
    missing,
    OVERFLOW,
    quantiles_and_largest,
    Values,
)
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.stats.bootstrap import Grouping, grouping
from wm_eval_ros.stats.mean import Mean, mean_t, slope
from wm_eval_ros.stats.proportion import clopper_pearson, korn_graubard
from wm_eval_ros.stats.quantile import clustered_quantile, RECORD_MORE

#: from so many episodes on they are the clusters
LEAST_EPISODES = 10
#: slots of a cluster otherwise: 5 s at 20 Hz, longer than stalls of a scheduler or a network
#: last, and short enough that a run of a minute has more than ten
BLOCK_SLOTS = 100
_ONE = ('no interval: a single cluster of slots does not tell how far they depend on each other: '
        f'{RECORD_MORE}')


def clusters(rows: Rows) -> Grouping:
    """
    Return the clusters of slots: their episodes, or blocks of numbers where these are too few.

    :param rows: slots that the figure is made of, with `slot` and `episode`, shape (N,)
    """
    return by_episode_or_block(rows['episode'], rows['slot'])


def by_episode_or_block(episodes: Ints, slots: Ints) -> Grouping:
    """Return the same of the numbers alone, shape (N,) each."""
    found = grouping(episodes)
    if found.count >= LEAST_EPISODES or len(slots) == 0:
        return found
    return grouping((slots - np.min(slots)) // BLOCK_SLOTS)


def known(samples: Floats) -> Floats:
    """Return the samples of the rows that have one."""
    return np.asarray(samples[~np.isnan(samples)])


def _method(rows: Rows) -> str:
    episodes = len(np.unique(rows['episode']))
    return 'episodes' if episodes >= LEAST_EPISODES else f'blocks of {BLOCK_SLOTS} slots'


def slot_share(name: str, count: Ints, trials: Ints, why: str) -> MetricValue:
    """
    Return a share of slots, with an interval that knows that they come in clusters.

    :param count: slots of each cluster that have the property, shape (C,)
    :param trials: slots of each cluster, shape (C,)
    :param why: the reason that stands where there are no slots
    """
    counts = trials > 0
    count, trials = count[counts], trials[counts]
    k, n = int(np.sum(count)), int(np.sum(trials))
    if n == 0:
        return missing(name, '1', why)
    if k in (0, n):
        plain = clopper_pearson(k, n)
        return MetricValue(name, plain.value, '1', n, Interval(
            plain.low, plain.high, 0.95, 'Clopper-Pearson'))
    if len(trials) == 1:
        return MetricValue(name, k / n, '1', n, why=_ONE)
    found = korn_graubard(count, trials)
    return MetricValue(name, found.value, '1', n, Interval(
        found.low, found.high, 0.95, 'Korn-Graubard'))


def share_of_slots(name: str, hit: Bools, rows: Rows, why: str) -> MetricValue:
    """Return the share of rows that are hit, shape (N,)."""
    found = clusters(rows)
    return slot_share(name, np.bincount(found.cluster[hit], minlength=found.count),
                      np.bincount(found.cluster, minlength=found.count), why)


def slot_distribution(name: str, unit: str, samples: Floats, rows: Rows, why: str) -> Values:
    """
    Return the quantiles and the largest of a figure that slots have.

    :param samples: of each row, NaN where it has none, shape (N,)
    :param why: the reason that stands in every figure where no row has one
    """
    on = ~np.isnan(samples)
    return cluster_distribution(name, unit, samples[on], clusters(rows[['slot', 'episode']][on]),
                                why)


def cluster_distribution(name: str, unit: str, samples: Floats, found: Grouping,
                         why: str) -> Values:
    """Return the same of samples that are there, shape (N,), whose clusters are known."""
    return quantiles_and_largest(
        name, unit, samples, why, lambda q: clustered_quantile(samples, found, q, what='slots'))


def slot_mean(name: str, unit: str, samples: Floats, rows: Rows, why: str) -> MetricValue:
    """Return the mean of a figure that slots have; parameters as of `slot_distribution`."""
    on = ~np.isnan(samples)
    if not np.any(on):
        return missing(name, unit, why)
    rows, kept = rows[['slot', 'episode']][on], samples[on]
    found = clusters(rows)
    with np.errstate(over='ignore', invalid='ignore'):
        value = float(np.mean(kept))
        spread = found.sums(kept - value)
    return _ratio(MetricValue(name, value, unit, len(kept)), rows, spread,
                  np.bincount(found.cluster).astype(float))


def slot_slope(name: str, unit: str, x: Floats, y: Floats, rows: Rows) -> MetricValue:
    """
    Return the least-squares slope of y over x, one point a row, N >= 3, x not all equal.

    About its fixed centre a slope is a ratio of sums over clusters.
    """
    found, centred = clusters(rows), x - np.mean(x)
    value = slope(x, y).value
    residual = found.sums(centred * (y - np.mean(y) - value * centred))
    return _ratio(MetricValue(name, value, unit, len(x)), rows, residual, found.sums(centred**2))


def _ratio(figure: MetricValue, rows: Rows, residual: Floats, weight: Floats) -> MetricValue:
    """
    Add the interval of a ratio of sums over clusters, linearised (Cochran, 1977, 6.3).

    :param residual: numerator - ratio x denominator of each cluster, shape (C,)
    :param weight: denominator of each cluster, shape (C,)
    """
    assert figure.value is not None
    if not math.isfinite(figure.value):
        return mean_value(figure.name, figure.unit, figure.n, Mean(figure.value), '')
    if len(residual) < 2:
        return replace(figure, why=_ONE)
    with np.errstate(over='ignore', invalid='ignore'):
        found = mean_t(residual * (len(residual) / np.sum(weight)))
    assert found.high is not None
    half = found.high - found.value
    if not math.isfinite(half):
        return replace(figure, why=OVERFLOW)
    return mean_value(figure.name, figure.unit, figure.n,
                      Mean(figure.value, figure.value - half, figure.value + half),
                      f'Student over {_method(rows)}')
