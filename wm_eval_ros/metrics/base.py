"""What a metric is, and how figures are put together."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import Interval, MetricValue, Record
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.mean import Mean
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.stats.quantile import Quantile, quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Values = tuple[MetricValue, ...]

#: the quantiles every distribution is reported by, under the names of the figures
QUANTILES = {'p50': 0.5, 'p95': 0.95, 'p99': 0.99, 'p99_9': 0.999}
NS_PER_MS = 1e6
NS_PER_S = 1e9
#: reason of a figure whose samples are finite and whose sums are not
OVERFLOW = 'the samples are beyond what a double can sum'
_INFINITE = 'the sample that stands there is infinite'


class Metric(Protocol):
    """
    A fold over the records of a run; its result does not depend on their order.

    A class attribute ``identity = False`` marks figures of the host or of the listener: they
    stand in the scorecard, and apart from what two equal runs must agree on.
    """

    def update(self, record: Record) -> None:
        """Take one record of any kind in."""

    def compute(self) -> Values:
        """Return the figures over all records so far."""


def missing(name: str, unit: str, why: str, n: int = 0) -> MetricValue:
    """Return a figure without a value, with the reason."""
    return MetricValue(name, None, unit, n, why=why)


def count_value(name: str, count: int, n: int, unit: str = '1') -> MetricValue:
    """Return a complete count of this run: nothing was sampled, so there is no interval."""
    return MetricValue(name, float(count), unit, n, why='complete count of this run')


def share(name: str, count: int, n: int, why: str) -> MetricValue:
    """Return a share with its exact interval, or none of nothing for the given reason."""
    if n == 0:
        return missing(name, '1', why)
    found = clopper_pearson(count, n)
    interval = Interval(found.low, found.high, 0.95, 'Clopper-Pearson')
    return MetricValue(name, found.value, '1', n, interval)


def mean_value(name: str, unit: str, n: int, found: Mean, method: str) -> MetricValue:
    """Return a mean, ratio or slope with its interval, or the reason why it has none."""
    if not math.isfinite(found.value):
        return missing(name, unit, OVERFLOW, n)
    if found.low is None or found.high is None:
        return MetricValue(name, found.value, unit, n, why='too few to give an interval')
    return MetricValue(name, found.value, unit, n, Interval(found.low, found.high, 0.95, method))


def estimated(name: str, unit: str, n: int, found: Estimate, method: str) -> MetricValue:
    """Return an estimate with its interval, or the reasons why it has none."""
    if found.value is not None and not math.isfinite(found.value):
        return missing(name, unit, OVERFLOW, n)
    if found.low is None or found.high is None:
        return MetricValue(name, found.value, unit, n, why=found.why or 'no interval')
    interval = Interval(found.low, found.high, 0.95, method)
    return MetricValue(name, found.value, unit, n, interval, found.why)


def distribution(name: str, unit: str, samples: Floats, why: str) -> Values:
    """
    Return the quantiles and the largest of a sample of independent ones.

    :param samples: no NaN, shape (N,)
    :param why: the reason that stands in every figure where N = 0
    """
    return quantiles_and_largest(name, unit, samples, why, lambda q: quantile(samples, q))


def quantiles_and_largest(name: str, unit: str, samples: Floats, why: str,
                          take: Callable[[float], Quantile]) -> Values:
    """
    Return the quantiles that a function takes, and the largest sample.

    :param samples: no NaN, shape (N,)
    :param why: the reason that stands in every figure where N = 0
    """
    names = [f'{name}.{suffix}' for suffix in (*QUANTILES, 'max')]
    if len(samples) == 0:
        return tuple(missing(n, unit, why) for n in names)
    tops = (_quantile(f'{name}.{suffix}', unit, take(q)) for suffix, q in QUANTILES.items())
    most = float(np.max(samples))
    if not math.isfinite(most):
        return (*tops, missing(names[-1], unit, _INFINITE, len(samples)))
    largest = MetricValue(names[-1], most, unit, len(samples),
                          why='the largest seen bounds nothing beyond this run')
    return (*tops, largest)


def quantile_value(name: str, unit: str, samples: Floats, q: float) -> MetricValue:
    """Return one quantile of independent samples, or the reason why n is too small for it."""
    return _quantile(name, unit, quantile(samples, q))


def _quantile(name: str, unit: str, found: Quantile) -> MetricValue:
    if found.value is not None and not math.isfinite(found.value):
        return missing(name, unit, _INFINITE, found.n)
    if found.value is None or found.low is None or found.high is None:
        return MetricValue(name, found.value, unit, found.n, why=found.why)
    interval = Interval(found.low, found.high, 0.9, 'order statistics, 95 % each side')
    return MetricValue(name, found.value, unit, found.n, interval)
