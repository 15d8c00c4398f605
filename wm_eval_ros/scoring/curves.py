"""
What is read off a curve of success: where it stops to gain, where it falls, how much is under it.

Pure functions of success counts; which point belongs to which run is the caller's knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import missing, share
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.scoring.pairs import worth_pairing
from wm_eval_ros.stats.betting import betting_interval
from wm_eval_ros.stats.paired import agresti_caffo, paired_difference
from wm_eval_ros.stats.proportion import clopper_pearson

#: a longer horizon must gain more than this in success to count
GAIN = 0.01
#: error shared by both ends of an interval
ALPHA = 0.05
#: share of the asymptote that a learner must reach
TARGET_SHARE = 0.8

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Success:
    """Success at one place of the axis."""

    #: place on the axis
    x: float
    #: outcome of each decided episode by its seed; equal seeds are equal starts; of several
    #: models on one start the mean of theirs
    outcomes: Mapping[int, float]
    #: outcomes of decided episodes of unknown seed, which are nobody's pair
    seedless: tuple[bool, ...] = ()

    @property
    def won(self) -> float:
        """Return the number of successes; of several models a start it may be broken."""
        return sum(self.outcomes.values()) + sum(self.seedless)

    @property
    def n(self) -> int:
        """Return the number of decided episodes."""
        return len(self.outcomes) + len(self.seedless)

    @property
    def rate(self) -> float:
        """Return the share of successes; needs n > 0."""
        return self.won / self.n

    @property
    def bounds(self) -> tuple[float, float]:
        """
        Return the 95 % limits of Clopper and Pearson over starts; needs n > 0.

        A broken number of successes is rounded outwards: the mean of several models on a start
        varies no more than one outcome does, so that the limits stay on the safe side.
        """
        return (clopper_pearson(math.floor(self.won + _ROUNDING), self.n).low,
                clopper_pearson(math.ceil(self.won - _ROUNDING), self.n).high)


class _Gain(NamedTuple):
    """What a point has more than another, in success."""

    value: float
    low: float
    high: float


def gain(longer: Success, shorter: Success, confidence: float) -> _Gain:
    """
    Difference of two success rates: Tango's interval over common seeds, else Agresti-Caffo.

    Pairs are used where :func:`~.pairs.worth_pairing` says so, as by ``wm-eval compare``.

    :param longer: the one whose surplus is asked for
    """
    common = sorted(longer.outcomes.keys() & shorter.outcomes.keys())
    if worth_pairing(len(common), longer.n, shorter.n):
        pairs = [(longer.outcomes[s], shorter.outcomes[s]) for s in common]
        b, c = (sum(p == kind for p in pairs) for kind in ((True, False), (False, True)))
        return _Gain(*paired_difference(b, c, len(common), confidence))
    return _Gain(*agresti_caffo(round(longer.won), longer.n, round(shorter.won), shorter.n,
                                confidence))


def holds(point: Success, bound: float, strict: bool) -> bool | None:
    """Say whether success is at a bound; strictly: whether either is shown, None where neither."""
    if point.n == 0:
        return None
    if not strict:
        return point.rate >= bound - _ROUNDING
    low, high = point.bounds
    return True if low >= bound else False if high < bound else None


def change(point: Success, first: Success) -> MetricValue:
    """Return success less that at the smallest latency: Tango over pairs, else Agresti-Caffo."""
    name = 'success_change'
    if point.n == 0 or first.n == 0:
        return missing(name, '1', 'no episode was decided')
    found = gain(point, first, 0.95)
    common = len(point.outcomes.keys() & first.outcomes.keys())
    paired = worth_pairing(common, point.n, first.n)
    method = 'Tango, pairs of one seed' if paired else 'Agresti-Caffo'
    n = common if paired else min(point.n, first.n)
    return MetricValue(name, found.value, '1', n, Interval(found.low, found.high, 0.95, method))


def planning_horizon(points: Sequence[Success]) -> MetricValue:
    """
    Smallest horizon H* such that no longer one gains more than :data:`GAIN` in success.

    The interval holds the true H* of the horizons tried with 95 %. Its lower end: horizons are
    tested upwards, each against all longer ones (Bonferroni), until one is not shown to lose by
    more than the gain. Its upper end: horizons are tested downwards from the second longest,
    until one is not shown to be within the gain of every longer one; a bound that is not reached
    is infinite, since nothing longer than the longest was tried. Each end is a sequence of tests
    in a fixed order, so that 2.5 % each suffice.

    :param points: in ascending order of the horizon, with episodes
    :returns: None where fewer than two horizons were tried, or the longest still gains
    """
    name, unit = 'planning_horizon', 'steps'
    n = min((p.n for p in points), default=0)
    if len(points) < 2 or n == 0:
        return missing(name, unit, f'{len(points)} horizons tried, {n} episodes each: needs two '
                                   'or more, with episodes', n)
    interval = Interval(_lowest(points), _highest(points), 1 - ALPHA,
                        'fixed-sequence tests of paired differences')
    best = next(i for i, p in enumerate(points)
                if all(gain(q, p, 0.95).value <= GAIN + _ROUNDING for q in points[i + 1:]))
    if best == len(points) - 1:
        return MetricValue(name, None, unit, n, interval,
                           f'success still rises up to the longest horizon tried, '
                           f'{points[-1].x:g}: try longer ones')
    return MetricValue(name, points[best].x, unit, n, interval, _undecided(interval, n))


def _lowest(points: Sequence[Success]) -> float:
    """Smallest horizon that is not shown to lose to a longer one."""
    for i, point in enumerate(points[:-1]):
        longer = points[i + 1:]
        level = 1 - ALPHA / len(longer)
        if not any(gain(q, point, level).low > GAIN for q in longer):
            return point.x
    return points[-1].x


def _highest(points: Sequence[Success]) -> float:
    """Smallest horizon shown to be within the gain of all longer ones, going down."""
    found = math.inf
    for i in range(len(points) - 2, -1, -1):
        if any(gain(q, points[i], 1 - ALPHA).high > GAIN for q in points[i + 1:]):
            break
        found = points[i].x
    return found


def _undecided(interval: Interval, n: int) -> str:
    if interval.low == interval.high:
        return ''
    high = 'the longest tried and beyond' if math.isinf(interval.high) else f'{interval.high:g}'
    return (f'INCONCLUSIVE: {n} episodes a point leave everything from {interval.low:g} to '
            f'{high} possible')


def falls_below(name: str, unit: str, points: Sequence[Success], bound: float) -> MetricValue:
    """
    Smallest value tried at which success is below a bound.

    Interval, of the values tried: success is shown to be at or above the bound up to its lower
    end (values taken upwards while the lower Clopper-Pearson limit is there), and below it at its
    upper end (taken downwards from the largest). A bound of the interval that no value tried
    shows is infinite.

    :param points: in ascending order of the value, with episodes
    :param bound: success, in (0, 1)
    :returns: None where success is nowhere below the bound
    """
    n = min((p.n for p in points), default=0)
    if n == 0:
        return missing(name, unit, 'no value with decided episodes', n)
    interval = Interval(_held_up_to(points, bound), _lost_from(points, bound), 1 - ALPHA,
                        'Clopper-Pearson of each value, in a fixed sequence')
    below = [p.x for p in points if p.rate < bound - _ROUNDING]
    if below:
        return MetricValue(name, below[0], unit, n, interval)
    return MetricValue(name, None, unit, n, interval, f'success is {bound:g} or above at every '
                       f'value tried, up to {points[-1].x:g}')


def _held_up_to(points: Sequence[Success], bound: float) -> float:
    found = -math.inf
    for point in points:
        if _low(point) < bound:
            break
        found = point.x
    return found


def _lost_from(points: Sequence[Success], bound: float) -> float:
    found = math.inf
    for point in reversed(points):
        if point.bounds[1] >= bound:
            break
        found = point.x
    return found


def area(name: str, points: Sequence[Success]) -> MetricValue:
    """
    Area under success by the trapezoidal rule, over the range of the values: a mean success.

    Each seed has a curve of its own, whose area is a number in [0, 1]; the figure is their mean,
    with a betting interval that is valid at every number of seeds.

    :param points: in ascending order of the value
    :returns: None for fewer than two values, or where no seed was decided at all of them
    """
    seeds = sorted(set.intersection(*(set(p.outcomes) for p in points))) if points else []
    x = np.array([p.x for p in points])
    if len(points) < 2 or x[-1] <= x[0]:
        return missing(name, '1', f'{len(points)} values tried: an area needs two', len(seeds))
    if not seeds:
        return missing(name, '1', 'no seed has a decided episode at every value tried')
    table = np.array([[p.outcomes[s] for s in seeds] for p in points], float)     # (P, S)
    scores = np.clip(_weights(x) @ table, 0.0, 1.0)
    found = betting_interval(scores)
    interval = None if found.low is None or found.high is None else Interval(
        found.low, found.high, 0.95, 'betting, over seeds')
    return MetricValue(name, float(np.mean(scores)), '1', len(seeds), interval, found.why)


def _weights(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the trapezoidal area that belongs to each point, (P,); they sum to 1."""
    half = np.diff(x) / 2 / (x[-1] - x[0])
    return np.asarray(np.concatenate([half, [0.0]]) + np.concatenate([[0.0], half]))


def sample_efficiency(points: Sequence[Success]) -> tuple[MetricValue, MetricValue]:
    """
    Environment steps until the lower 95 % bound of success reaches 0.8 of the asymptote.

    The asymptote is success at the most steps tried; the target is taken as known. The bound is
    the lower end of the two-sided Clopper-Pearson interval, and the figure is the first number of
    steps tried at which it reaches the target. Interval, in fixed sequences: its lower end is the
    largest number of steps up to which success is shown to be below the target, 0 where there is
    none; its upper end the smallest from which on it is shown to be there, infinite where none is.

    :param points: in ascending order of the steps; of several training seeds at one amount of
        data the mean of each start, so that n counts starts
    :returns: ``sample_efficiency`` and ``success_asymptote``; None if the bound never gets there
    """
    name, unit = 'sample_efficiency', 'environment steps'
    usable = [p for p in points if p.n]
    if not usable:
        why = 'no checkpoint with known environment steps and decided episodes'
        return missing(name, unit, why), share('success_asymptote', 0, 0, why)
    last, n = usable[-1], min(p.n for p in usable)
    asymptote = MetricValue('success_asymptote', last.rate, '1', last.n, Interval(
        *last.bounds, 0.95, 'Clopper-Pearson'))
    if last.won == 0:
        return missing(name, unit, f'no success at the most steps tried, {last.x:g}: there is no '
                                   'asymptote to reach', n), asymptote
    target = TARGET_SHARE * last.rate
    interval = Interval(_short_up_to(usable, target), _there_from(usable, target), 1 - ALPHA,
                        'Clopper-Pearson of each checkpoint, in a fixed sequence')
    first = next((p.x for p in usable if _low(p) >= target - _ROUNDING), None)
    why = '' if first is not None else (
        f'the lower bound of success reaches {target:.3g}, 0.8 of the asymptote, at no number of '
        f'steps tried, up to {last.x:g}: more steps, or more episodes a point')
    return MetricValue(name, first, unit, n, interval, why), asymptote


def _low(point: Success) -> float:
    return point.bounds[0]


def _short_up_to(points: Sequence[Success], target: float) -> float:
    found = 0.0
    for point in points:
        if point.bounds[1] >= target:
            break
        found = point.x
    return found


def _there_from(points: Sequence[Success], target: float) -> float:
    found = math.inf
    for point in reversed(points):
        if _low(point) < target - _ROUNDING:
            break
        found = point.x
    return found
