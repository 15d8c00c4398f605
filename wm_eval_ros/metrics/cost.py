"""What an hour of operation costs, at declared prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wm_eval_ros.metrics.base import missing, NS_PER_S, Values
from wm_eval_ros.metrics.effort import called, energy
from wm_eval_ros.metrics.handover import hours
from wm_eval_ros.metrics.spells import INTERVENTION
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.stats.rate import poisson_rate

_NAME = 'cost_per_hour'
_W_PER_KW = 1000.0
_S_PER_MIN = 60.0
_S_PER_H = 3600.0
#: no price is larger
_MOST = 1e15


@dataclass(frozen=True, slots=True)
class Prices:
    """Declared prices of operation, in one currency."""

    currency: str
    #: of an hour of the computer
    compute_per_hour: float
    energy_per_kwh: float
    operator_per_minute: float
    #: power taken where no energy was measured [W]; 0: none declared
    assumed_power_w: float


def prices(run: Run) -> Prices | None:
    """Return the prices the manifest declares; None without a currency, or where one is none."""
    settings = run.info.settings if run.info is not None else {}
    declared = settings.get('prices')
    if not isinstance(declared, Mapping) or not declared.get('currency'):
        return None
    numbers = [_price(declared, name) for name in (
        'compute_per_hour', 'energy_per_kwh', 'operator_per_minute', 'assumed_power_w')]
    known = [number for number in numbers if number is not None]
    return Prices(str(declared['currency']), *known) if len(known) == len(numbers) else None


def _price(declared: Mapping[str, Any], name: str) -> float | None:
    """Return a price, 0 where it is not declared; None where it is no finite number from 0 on."""
    value = declared.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < _MOST else None


def power_w(run: Run, declared: Prices, exposure_h: float) -> float | None:
    """
    Return the mean power of the decisions as measured, else the declared one [W].

    A decision whose energy was not measured counts with the mean of those that were.

    :returns: None where neither is known
    """
    measured = energy(run.slots)
    if len(measured):
        decisions = len(called(run.slots, 'energy')[0])
        return float(np.mean(measured)) * decisions / (exposure_h * _S_PER_H)
    return declared.assumed_power_w or None


def cost_per_hour(run: Run) -> MetricValue:
    """
    Return computer, energy and operator's minutes of an hour of operation, at declared prices.

    The interval is that of the number of interventions, each taking as long as those seen.
    """
    declared, exposure = prices(run), hours(run)
    if declared is None:
        return missing(_NAME, '1/h', 'no prices are declared, or not as numbers: see the section '
                       'prices of the scenario')
    unit = f'{declared.currency}/h'
    if exposure <= 0:
        return missing(_NAME, unit, 'nothing was recorded over time')
    power = power_w(run, declared, exposure)
    if power is None and declared.energy_per_kwh > 0:
        why = 'no energy was measured and no power is declared: set prices.assumed_power_w'
        return missing(_NAME, unit, why)
    fixed = declared.compute_per_hour + declared.energy_per_kwh * (power or 0.0) / _W_PER_KW
    return _with_operator(unit, fixed, declared.operator_per_minute, run, exposure)


def _with_operator(unit: str, fixed: float, price: float, run: Run,
                   exposure: float) -> MetricValue:
    helped = run.spells(INTERVENTION)
    minutes = sum(end - begin for begin, end in helped) / NS_PER_S / _S_PER_MIN
    value = fixed + price * minutes / exposure
    if price <= 0:
        return MetricValue(_NAME, value, unit, len(helped),
                           why='declared or summed over this run: nothing was sampled')
    if not helped:
        why = "without an intervention, as in this run; what an operator's help takes is not known"
        return MetricValue(_NAME, value, unit, 0, why=why)
    rate, each = poisson_rate(len(helped), exposure), price * minutes / len(helped)
    interval = Interval(fixed + rate.low * each, fixed + rate.high * each, 0.95,
                        'exact Poisson of the interventions')
    return MetricValue(_NAME, value, unit, len(helped), interval)


class Cost(TableMetric):
    """Cost of an hour of operation; its energy is measured on this host."""

    identity = False

    def values(self, run: Run) -> Values:
        """Return the one figure."""
        return (cost_per_hour(run),)
