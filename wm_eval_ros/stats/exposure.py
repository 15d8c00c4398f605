"""How long to watch for events until their rate is shown to lie on one side of a bound."""

from __future__ import annotations

from typing import NamedTuple

from scipy import special

from wm_eval_ros.stats.special import gamma_quantile

#: events after which the search is given up: the rate lies too near the bound
MOST_EVENTS = 5000


class Exposure(NamedTuple):
    """A plan: how long to watch, and the number of events up to (or from) which it is shown."""

    exposure: float
    events: int


def _poisson_cdf(k: int, mean: float) -> float:
    """Return P(X <= k) for X ~ Poisson(mean); 0 below 0."""
    return float(special.pdtr(k, mean)) if k >= 0 else 0.0


def exposure_for_bound(rate: float, bound: float, power: float = 0.8,
                       confidence: float = 0.95) -> Exposure | None:
    """
    Shortest exposure in which the exact interval comes to lie on one side of a bound.

    With c events the upper limit reaches down to the bound from an exposure of
    ``gamma(c + 1) / bound`` on; the smallest c is taken for which c events or fewer come with the
    power wanted. For a rate above the bound the same with the lower limit. The interval is that
    of :func:`wm_eval_ros.stats.rate.poisson_rate`.

    :param rate: events per unit of exposure supposed, >= 0, not the bound itself
    :param bound: what is to be shown to lie above (or below) the rate, > 0
    :returns: None beyond MOST_EVENTS events
    :raises ValueError: bounds or powers that do not fit

    >>> exposure_for_bound(0.0, 1.0).events
    0
    """
    if rate < 0 or bound <= 0 or rate == bound or not 0 < power < 1:
        raise ValueError(f'rate {rate}, bound {bound}, power {power}: needs rate >= 0, bound > 0, '
                         'the two to differ, and 0 < power < 1')
    tail = (1 - confidence) / 2
    for count in range(MOST_EVENTS + 1):
        if rate < bound:
            exposure = gamma_quantile(count + 1, 1 - tail) / bound
            chance = _poisson_cdf(count, rate * exposure)
        else:
            exposure = gamma_quantile(count + 1, tail) / bound
            chance = 1 - _poisson_cdf(count, rate * exposure)
        if chance >= power:
            return Exposure(exposure, count if rate < bound else count + 1)
    return None
