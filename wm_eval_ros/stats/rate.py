"""Events per exposure."""

from __future__ import annotations

from typing import NamedTuple

from wm_eval_ros.stats.special import gamma_quantile


class Rate(NamedTuple):
    """Events per unit of exposure and the exact interval."""

    value: float
    low: float
    high: float


def poisson_rate(count: int, exposure: float, confidence: float = 0.95) -> Rate:
    """
    Exact interval of a Poisson rate (Garwood, Biometrika 28, 1936).

    :param count: events seen, >= 0
    :param exposure: time or distance watched, > 0
    :raises ValueError: no exposure is no evidence

    >>> [round(x, 3) for x in poisson_rate(0, 1.0)]
    [0.0, 0.0, 3.689]
    """
    if count < 0 or exposure <= 0:
        raise ValueError(f'{count} events in an exposure of {exposure}: needs >= 0 in > 0')
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else gamma_quantile(count, tail)
    return Rate(count / exposure, low / exposure,
                gamma_quantile(count + 1, 1 - tail) / exposure)
