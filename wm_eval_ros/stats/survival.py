"""Time to an event that some runs were stopped too early to see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.special import normal_quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """Kaplan-Meier estimate: the share that still waits for the event just after each time."""

    #: distinct times at which events happened, ascending, shape (M,)
    times: Floats
    #: at risk just before, and events at, each of those times, shape (M,)
    at_risk: Floats
    events: Floats
    #: product-limit estimate after each of those times, shape (M,)
    survival: Floats


def kaplan_meier(times: Floats, observed: NDArray[np.bool_]) -> SurvivalCurve:
    """
    Product-limit estimate of a survival curve.

    Kaplan and Meier, JASA 53 (1958). A run censored at t was at risk at t.

    :param times: time of the event or of censoring, shape (N,), N > 0
    :param observed: whether the event was seen, shape (N,)
    """
    at = np.unique(times[observed])
    events = np.array([np.sum(observed & (times == t)) for t in at], dtype=float)
    at_risk = np.array([np.sum(times >= t) for t in at], dtype=float)
    steps = 1 - events / at_risk if len(at) else np.zeros(0)
    return SurvivalCurve(at, at_risk, events, np.cumprod(steps))


def _greenwood(curve: SurvivalCurve) -> Floats:
    """Greenwood's sum of d / (n (n - d)); infinite where nobody is left."""
    left = curve.at_risk * (curve.at_risk - curve.events)
    with np.errstate(divide='ignore'):
        return np.cumsum(curve.events / left)


def band(curve: SurvivalCurve, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """
    Pointwise limits of the curve on the log-log scale, which stays inside [0, 1].

    Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data (1980).

    :returns: lower and upper limit after each time, shape (M,); 0 both where nobody is left
    """
    z = normal_quantile((1 + confidence) / 2)
    with np.errstate(divide='ignore', invalid='ignore'):
        log = np.log(curve.survival)
        shift = np.exp(z * np.sqrt(_greenwood(curve)) / np.abs(log))
        low, high = np.exp(log * shift), np.exp(log / shift)
    gone = curve.survival <= 0
    return np.where(gone, 0.0, low), np.where(gone, 0.0, high)


def _first_at_half(times: Floats, survival: Floats) -> float | None:
    hit = np.flatnonzero(survival <= 0.5)
    return float(times[hit[0]]) if len(hit) else None


def median(curve: SurvivalCurve, confidence: float = 0.95) -> Estimate:
    """
    Median time to the event, with the interval of Brookmeyer and Crowley (Biometrics 38, 1982).

    :returns: None where the curve never falls to one half; an upper limit the data does not
        reach is infinite
    """
    middle = _first_at_half(curve.times, curve.survival)
    if middle is None:
        return Estimate(None, why='fewer than half reached it before the horizon')
    low, high = (_first_at_half(curve.times, end) for end in band(curve, confidence))
    return Estimate(middle, low, float('inf') if high is None else high)


def restricted_mean(curve: SurvivalCurve, horizon: float, confidence: float = 0.95) -> Estimate:
    """
    Mean time to the event or to the horizon, whichever comes first: the area under the curve.

    :param horizon: upper end of the area, > 0
    :returns: interval from Greenwood's variance, cut to [0, horizon]; none without an event
    """
    inside = curve.times < horizon
    edges = np.concatenate([[0.0], curve.times[inside], [horizon]])
    heights = np.concatenate([[1.0], curve.survival[inside]])
    areas = heights * np.diff(edges)
    value = float(np.sum(areas))
    if not np.any(inside):
        return Estimate(value, why='no event before the horizon: its spread is unknown')
    # as shares of the horizon: the square of a time may be beyond what a float holds
    after = np.cumsum(areas[::-1])[::-1][1:] / horizon
    left = (curve.at_risk * (curve.at_risk - curve.events))[inside]
    terms = np.where(left > 0, curve.events[inside] / np.maximum(left, 1), 0.0) * after**2
    half = normal_quantile((1 + confidence) / 2) * float(np.sqrt(np.sum(terms))) * horizon
    return Estimate(value, max(0.0, value - half), min(horizon, value + half))
