"""What success costs: which settings no other beats in success and computing time at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wm_eval_ros.metrics.base import missing
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.scoring.curves import ALPHA
from wm_eval_ros.stats.proportion import clopper_pearson

#: settings on which the computing time of a decision depends
COMPUTE = frozenset(f'planner.{name}' for name in (
    'action_repeat', 'bins', 'engine', 'gradient_steps', 'horizon', 'iterations', 'planner',
    'precision', 'samples'))
#: figure of a run that is the cost
COST = 'cpu_time.mean'
_ROUNDING = 1e-9


class Spent(NamedTuple):
    """Success of one setting, and what a decision costs under it."""

    #: CPU time of a decision [ms]
    cpu_ms: float
    won: int
    #: decided episodes, > 0
    n: int


def efficient(points: Sequence[tuple[float, float]]) -> tuple[bool, ...]:
    """
    Say which points are Pareto-efficient: no other costs no more and succeeds as often, or more.

    Of two equal points both are.

    :param points: cost, and success, of each

    >>> efficient([(1.0, 0.5), (2.0, 0.9), (3.0, 0.9), (4.0, 1.0)])
    (True, True, False, True)
    """
    return tuple(not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)
                 for p in points)


def compute_at_bound(points: Sequence[Spent], bound: float) -> MetricValue:
    """
    Least CPU time of a decision, of the settings tried, at which success is at a bound.

    The interval holds the least of those whose success is truly there with 95 %, CPU times taken
    as known: limits of Clopper and Pearson of all points at once (Bonferroni). Its lower end is
    the least of the settings that are not shown to be below, its upper end the least of those
    that are shown to be there, infinite where none is.

    :returns: None where no setting tried gets there
    """
    name, unit = 'compute_at_bound', 'ms'
    if not points:
        return missing(name, unit, 'no setting with decided episodes and a known CPU time')
    level = 1 - ALPHA / len(points)
    limits = [(p.cpu_ms, clopper_pearson(p.won, p.n, level)) for p in points]
    low = min((cpu for cpu, each in limits if each.high >= bound), default=float('inf'))
    high = min((cpu for cpu, each in limits if each.low >= bound), default=float('inf'))
    n = min(p.n for p in points)
    interval = Interval(low, high, 1 - ALPHA, 'Clopper-Pearson of each setting, Bonferroni')
    there = [p.cpu_ms for p in points if p.won / p.n >= bound - _ROUNDING]
    if there:
        return MetricValue(name, min(there), unit, n, interval)
    return MetricValue(name, None, unit, n, interval,
                       f'success is below {bound:g} at every setting tried')
