"""How much evidence would decide a gate that stands undecided."""

from __future__ import annotations

from dataclasses import dataclass
import math
import re

from wm_eval_ros.config.gate import Gate
from wm_eval_ros.metrics.base import QUANTILES
from wm_eval_ros.metrics.definitions import family
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.exact_power import lower_bound_power
from wm_eval_ros.stats.exposure import exposure_for_bound
from wm_eval_ros.stats.power import LIMIT
from wm_eval_ros.stats.quantile import samples_needed

#: figures whose n counts episodes
_BY_EPISODE = re.compile(r'success|recover|handover|(degraded|stopped)_share')
_POWER = 0.8
#: an interval this many times too wide will not become narrow enough
_MOST_TIMES = 100


@dataclass(frozen=True, slots=True)
class Needed:
    """About how much evidence would decide."""

    #: in all, what is there already included; None: no amount, or more than anybody runs
    n: int | None
    #: what n counts: episodes, slots, hours
    of: str
    sentence: str


def needed(gate: Gate, value: MetricValue) -> Needed | None:
    """
    Say about how much evidence would decide an undecided gate.

    A share, with 80 % power if it is as seen; a rate, likewise; of other figures the interval is
    taken to shrink with the root of n.

    :returns: None where nothing can be said
    """
    if value.value is None:
        return _for_quantile(value)
    if value.interval is None:
        return None
    if value.value == gate.limit:
        return Needed(None, _unit(value), 'the value lies on the bound: no amount of evidence '
                      'is sure to decide')
    if value.interval.method == 'Clopper-Pearson':
        return _for_share(value, value.value, gate.limit)
    if value.interval.method == 'exact Poisson':
        return _for_rate(value, value.value, gate.limit)
    return _by_root(value, value.value, gate.limit)


def _unit(value: MetricValue) -> str:
    own = family(value.name)
    by_episode = (_BY_EPISODE.search(own) if own != 'detector'
                  else not value.name.rpartition('.')[2].startswith('slot_'))
    return 'episodes' if by_episode else 'slots'


def _for_quantile(value: MetricValue) -> Needed | None:
    q = QUANTILES.get(value.name.rpartition('.')[2])
    if q is None or not value.n:
        return None
    n = samples_needed(q)
    return _answer(n, value, _unit(value), 'are the fewest that bound it') if n > value.n else None


def _for_share(value: MetricValue, share: float, bound: float) -> Needed:
    if not 0 < bound < 1:
        return Needed(None, _unit(value), f'no interval of a share reaches {bound:g}: hold it '
                      'with `against: value`')
    n = _until(share, bound) if share > bound else _until(1 - share, 1 - bound)
    if n is None:
        return Needed(None, _unit(value), f'more than {LIMIT} {_unit(value)} would be needed')
    return _answer(max(n, value.n + 1), value, _unit(value), 'would decide if the share stays')


def _until(share: float, bound: float) -> int | None:
    """
    Return about how many trials bring the lower Clopper-Pearson limit above a bound.

    Power rises in saw teeth; a place where it crosses is enough for a forecast, where the exact
    answer of :func:`wm_eval_ros.stats.power.episodes_for_lower_bound` looks at every tooth.
    """
    low, high = 0, 1
    while lower_bound_power(share, bound, high) < _POWER:
        if high >= LIMIT:
            return None
        low, high = high, min(LIMIT, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        enough = lower_bound_power(share, bound, middle) >= _POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def _for_rate(value: MetricValue, rate: float, bound: float) -> Needed | None:
    plan = exposure_for_bound(rate, bound, _POWER) if bound > 0 else None
    if plan is None:
        return None
    hours = math.ceil(plan.exposure)
    return Needed(hours, 'hours', f'about {plan.exposure:.2g} h would decide if the rate stays')


def _by_root(value: MetricValue, at: float, bound: float) -> Needed | None:
    if value.interval is None:
        return None
    reach = (value.interval.low if bound < at else value.interval.high) - at
    if not math.isfinite(reach) or value.n == 0:
        return None
    if abs(reach) > _MOST_TIMES * abs(bound - at):
        return Needed(None, _unit(value), 'the value lies too near the bound to be told from it')
    n = math.ceil(value.n * (reach / (bound - at))**2)
    return _answer(max(n, value.n + 1), value, _unit(value), 'would decide if the value stays')


def _answer(n: int, value: MetricValue, of: str, then: str) -> Needed:
    return Needed(n, of, f'about {n} {of}, {n - value.n} more, {then}')
