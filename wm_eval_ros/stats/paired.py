"""Two success rates: on the same episodes, or on independent ones."""

from __future__ import annotations

import math
from typing import NamedTuple

from wm_eval_ros.stats.special import binomial_cdf, normal_quantile
from wm_eval_ros.stats.unconditional import barnard_p_value, boschloo_p_value

#: of the root of the score equation, in units of a proportion
_TOLERANCE = 1e-13


class Difference(NamedTuple):
    """A difference of proportions and its interval."""

    value: float
    low: float
    high: float


def _group(k: int, n: int) -> None:
    if not 0 <= k <= n or n == 0:
        raise ValueError(f'{k} successes in {n} trials: needs 0 <= k <= n, n > 0')


def mcnemar_exact(b: int, c: int) -> float:
    """
    Two-sided p-value of equal success rates on the same episodes.

    Given the discordant pairs each kind has probability one half: an exact sign test. Never
    rejects more often than stated. McNemar, Psychometrika 12 (1947).

    :param b: pairs in which only A succeeded
    :param c: pairs in which only B succeeded
    :returns: 1 without discordant pairs
    :raises ValueError: negative counts

    >>> mcnemar_exact(8, 1)
    0.0390625
    """
    if min(b, c) < 0:
        raise ValueError(f'discordant pairs {b}, {c}: needs counts >= 0')
    return min(1.0, 2 * binomial_cdf(min(b, c), b + c, 0.5)) if b + c else 1.0


def _score(delta: float, b: int, c: int, n: int) -> float:
    """Tango's score statistic of the difference being delta; falls as delta grows."""
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    q = max(0.0, (root - linear) / (4 * n))
    variance = n * (2 * q + delta * (1 - delta))
    gap = b - c - n * delta
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def _cross(level: float, b: int, c: int, n: int, low: float, high: float) -> float:
    """Difference in [low, high] at which the falling score passes the level."""
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        if _score(middle, b, c, n) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def paired_difference(b: int, c: int, n: int, confidence: float = 0.95) -> Difference:
    """
    Difference of the success rates of A and B on the same episodes, with Tango's score interval.

    Tango, Statist. Med. 17 (1998). It contains the estimate, stays in [-1, 1] and needs no
    continuity correction.

    :param b: pairs in which only A succeeded
    :param c: pairs in which only B succeeded
    :param n: all pairs, > 0
    :returns: (b - c) / n and its limits
    :raises ValueError: counts that do not fit

    >>> [round(x, 4) for x in paired_difference(9, 3, 44)]
    [0.1364, -0.0201, 0.2948]
    """
    if min(b, c) < 0 or b + c > n or n == 0:
        raise ValueError(f'{b} + {c} discordant of {n} pairs: needs b, c >= 0, b + c <= n, n > 0')
    value, z = (b - c) / n, normal_quantile((1 + confidence) / 2)
    low = -1.0 if c == n else _cross(z, b, c, n, -1.0, value)
    high = 1.0 if b == n else _cross(-z, b, c, n, value, 1.0)
    return Difference(value, low, high)


def rules_out_loss(b: int, c: int, n: int, margin: float, confidence: float = 0.95) -> bool:
    """
    Say whether Tango's whole interval of the difference lies at or above minus a margin.

    That is a test of non-inferiority of A at half of ``1 - confidence``.

    :param b: pairs in which only A succeeded
    :param c: pairs in which only B succeeded
    :param n: all pairs, > 0
    :param margin: loss that is accepted, in [0, 1]

    >>> [rules_out_loss(0, 0, n, 0.1) for n in (34, 35)]
    [False, True]
    """
    return c < n and _score(-margin, b, c, n) >= normal_quantile((1 + confidence) / 2)


def agresti_caffo(k1: int, n1: int, k2: int, n2: int, confidence: float = 0.95) -> Difference:
    """
    Difference of two independent proportions; the interval adds a success and a failure to each.

    Agresti and Caffo, Amer. Statist. 54 (2000).

    :param k1: successes of n1 trials
    :param k2: successes of n2 trials
    :returns: k1 / n1 - k2 / n2 and limits cut to [-1, 1]
    :raises ValueError: counts that do not fit

    >>> [round(x, 4) for x in agresti_caffo(10, 10, 5, 10)]
    [0.5, 0.0934, 0.7399]
    """
    _group(k1, n1)
    _group(k2, n2)
    p1, p2 = (k1 + 1) / (n1 + 2), (k2 + 1) / (n2 + 2)
    half = normal_quantile((1 + confidence) / 2) * math.sqrt(
        p1 * (1 - p1) / (n1 + 2) + p2 * (1 - p2) / (n2 + 2))
    return Difference(k1 / n1 - k2 / n2, max(-1.0, p1 - p2 - half), min(1.0, p1 - p2 + half))


def boschloo(k1: int, n1: int, k2: int, n2: int) -> float:
    """
    Two-sided p-value of equal success rates of independent episodes.

    Boschloo (Statist. Neerlandica 24, 1970): Fisher's one-sided p-value as the statistic, its
    chance maximised over the common rate, the smaller side doubled. Exact, and never weaker than
    Fisher's test, which answers where there are more than a million tables.

    :param k1: successes of n1 trials
    :param k2: successes of n2 trials
    :raises ValueError: counts that do not fit

    >>> round(boschloo(10, 10, 5, 10), 6)
    0.012779
    """
    _group(k1, n1)
    _group(k2, n2)
    return boschloo_p_value(k1, n1, k2, n2)


def barnard(k1: int, n1: int, k2: int, n2: int) -> float:
    """
    Two-sided p-value of equal success rates of independent episodes.

    Barnard (Biometrika 34, 1947) with the pooled score as the statistic, its chance maximised
    over the common rate. Tables whose scores are equal by symmetry count as equally extreme.
    Above a million tables Fisher's test answers.

    :param k1: successes of n1 trials
    :param k2: successes of n2 trials
    :raises ValueError: counts that do not fit

    >>> round(barnard(7, 12, 2, 9), 6)
    0.114738
    """
    _group(k1, n1)
    _group(k2, n2)
    return barnard_p_value(k1, n1, k2, n2)
