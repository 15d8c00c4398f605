"""How many episodes a question needs."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import NamedTuple

import numpy as np

from wm_eval_ros.stats.exact_power import (
    expected_half_width,
    lower_bound_power,
    no_loss_power,
    paired_chances,
    paired_power,
    unpaired_power,
)
from wm_eval_ros.stats.quantile import samples_needed
from wm_eval_ros.stats.samples import Floats, Ints
from wm_eval_ros.stats.sequential import log_sign_e_value, log_sign_e_value_two_sided, reached
from wm_eval_ros.stats.special import normal_quantile

#: more episodes than this are not searched; the answer is then None
LIMIT = 20_000
#: above this Boschloo's test takes too long to enumerate and the normal formula answers
EXACT_UNPAIRED = 500


class SequentialPlan(NamedTuple):
    """What to expect of the sequential sign test."""

    #: mean number of pairs until it is decided or the limit is reached
    expected: float
    #: chance that A is found better, and that B is, within the limit
    power: float
    wrong: float
    #: pairs by which half, and nine in ten, of all comparisons are decided; None beyond the limit
    median: int | None
    ninety: int | None


def _check(power: float, alpha: float) -> None:
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f'power {power}, alpha {alpha}: needs each in (0, 1)')


def _crossing(enough: Callable[[int], bool]) -> int | None:
    """Return an n that is enough while n - 1 is not, None beyond the limit."""
    low, high = 0, 1
    while not enough(high):
        if high >= LIMIT:
            return None
        low, high = high, min(LIMIT, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _from_there_on(enough: Callable[[int], bool], reach: float) -> int | None:
    """
    Return the smallest n from which on every n is enough, of a saw-toothed question.

    Whole numbers of successes make power fall back now and then as n grows.

    :param reach: how far above a crossing of the power wanted teeth may still touch it: their
        height falls, and the power rises, such that it is some multiple of 1 / gap
    """
    found = _crossing(enough)
    if found is None:
        return None
    above = range(found, found + math.ceil(reach) + 1)
    return max((n for n in above if not enough(n)), default=found - 1) + 1


def episodes_for_half_width(p: float, half_width: float, confidence: float = 0.95) -> int | None:
    """
    Episodes until half the Clopper-Pearson interval's width is expected to be within a figure.

    :param p: success rate supposed, in [0, 1]
    :param half_width: in (0, 1/2)
    :returns: None beyond 20,000
    :raises ValueError: figures out of range

    >>> episodes_for_half_width(0.5, 0.1)
    103
    """
    if not (0 <= p <= 1 and 0 < half_width < 0.5 and 0 < confidence < 1):
        raise ValueError(f'success rate {p}, half-width {half_width}, confidence {confidence}: '
                         'needs [0, 1], (0, 0.5), (0, 1)')
    return _crossing(lambda n: expected_half_width(p, n, confidence) <= half_width)


def episodes_for_lower_bound(p_true: float, bound: float, power: float = 0.8,
                             confidence: float = 0.95) -> int | None:
    """
    Episodes until the lower Clopper-Pearson limit reaches a bound with the power wanted.

    :param p_true: success rate supposed, above the bound
    :param bound: what the lower end of the two-sided interval is to reach
    :returns: smallest n from which on it does; None beyond 20,000
    :raises ValueError: figures out of range

    >>> episodes_for_lower_bound(1.0, 0.9)
    36
    """
    _check(power, 1 - confidence)
    if not 0 < bound < p_true <= 1:
        raise ValueError(f'bound {bound}, success rate {p_true}: needs 0 < bound < rate <= 1')
    return _from_there_on(lambda n: lower_bound_power(p_true, bound, n, confidence) >= power,
                          12 / (p_true - bound))


def episodes_for_quantile(q: float, confidence: float = 0.95) -> int:
    """
    Return the samples that a quantile with both of its limits needs.

    :param q: in (0, 1)
    :raises ValueError: q outside (0, 1)

    >>> episodes_for_quantile(0.99), episodes_for_quantile(0.999)
    (299, 2995)
    """
    if not 0 < q < 1:
        raise ValueError(f'quantile {q}: needs 0 < q < 1')
    return samples_needed(q, confidence)


def _normal_gap(p1: float, p2: float, power: float, alpha: float) -> int:
    """Episodes of each of two independent groups by the normal formula, corrected for counts."""
    mean, gap = (p1 + p2) / 2, abs(p1 - p2)
    null = normal_quantile(1 - alpha / 2) * math.sqrt(2 * mean * (1 - mean))
    other = normal_quantile(power) * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return math.ceil(((null + other) / gap) ** 2)


def episodes_for_gap(p1: float, p2: float, power: float = 0.8, alpha: float = 0.05,
                     correlation: float | None = None) -> int | None:
    """
    Episodes of each policy until a two-sided test finds the gap with the power wanted.

    With a correlation the episodes are paired by seed and tested by McNemar's exact test, without
    one they are independent and tested by Boschloo's. Both are exact sums over all outcomes; for
    independent episodes only up to 500 of each, above that by the normal formula.

    :param p1: success rate of one policy, in (0, 1)
    :param p2: success rate of the other, in (0, 1), different
    :param correlation: phi of the successes of one seed; see :func:`paired_chances`
    :returns: smallest n from which on it is found; None beyond 20,000
    :raises ValueError: figures out of range, or a correlation these rates cannot have
    """
    _check(power, alpha)
    better, worse = max(p1, p2), min(p1, p2)
    pairs = paired_chances(better, worse, correlation or 0.0)
    if better == worse:
        raise ValueError(f'no gap between success rates {p1} and {p2}')
    if correlation is not None:
        edge = (better - worse) / (pairs.only_a + pairs.only_b)
        return _from_there_on(lambda n: paired_power(pairs, n, alpha) >= power,
                              min(12 / edge, 240))
    about = _normal_gap(better, worse, power, alpha)
    if about > EXACT_UNPAIRED:
        return about if about <= LIMIT else None
    return _from_there_on(lambda n: unpaired_power(better, worse, n, alpha) >= power,
                          min(3 / (better - worse), 60))


def episodes_for_no_loss(only_a: float, only_b: float, margin: float, power: float = 0.8,
                         alpha: float = 0.05) -> int | None:
    """
    Pairs until a loss of a margin is ruled out with the power wanted, by Tango's interval.

    :param only_a: chance supposed that only the system asked about succeeds in a pair
    :param only_b: chance supposed that only the other does; their difference is above -margin
    :param margin: loss that is accepted
    :returns: smallest n from which on it is; None beyond 20,000
    :raises ValueError: figures out of range

    >>> episodes_for_no_loss(0.0, 0.0, 0.1), episodes_for_no_loss(0.0, 0.01, 0.1)
    (35, 53)
    """
    _check(power, alpha)
    if min(only_a, only_b) < 0 or only_a + only_b >= 1 or not only_b - only_a < margin <= 1:
        raise ValueError(f'chances {only_a}, {only_b}, margin {margin}: needs chances >= 0 whose '
                         'sum is below 1, and a loss below the margin')
    return _from_there_on(lambda n: no_loss_power(only_a, only_b, n, margin, alpha) >= power,
                          12 / (margin + only_a - only_b))


def _boundary(limit: int, alpha: float, two_sided: bool) -> Ints:
    """Wins from which the test stops, for each number of discordant pairs, shape (limit + 1,)."""
    form = log_sign_e_value_two_sided if two_sided else log_sign_e_value
    m = np.arange(limit + 1)
    # the e-value grows from s = m / 2 on
    low, high = (m - 1) // 2, m + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        stop = reached(form(np.clip(middle, 0, m), m), alpha)
        low, high = np.where(stop, low, middle), np.where(stop, middle, high)
    return high


def _stops(theta: float, limit: int, alpha: float, two_sided: bool) -> tuple[Floats, Floats]:
    """Chance to stop for A, and for B, at each number of discordant pairs, shape (limit + 1,)."""
    bounds = _boundary(limit, alpha, two_sided)
    for_a, for_b = np.zeros(limit + 1), np.zeros(limit + 1)
    alive = np.array([1.0])
    for m in range(1, limit + 1):
        alive = np.append(alive * (1 - theta), 0.0) + np.append(0.0, alive * theta)
        s = np.arange(m + 1)
        up, down = s >= bounds[m], (m - s >= bounds[m]) & two_sided
        for_a[m], for_b[m] = alive[up].sum(), alive[down].sum()
        alive[up | down] = 0.0
    return for_a, for_b


def expected_episodes_sequential(p1: float, p2: float, correlation: float = 0.0,
                                 alpha: float = 0.05, limit: int = 500,
                                 two_sided: bool = True) -> SequentialPlan:
    """
    Pairs that the sequential sign test takes, exactly.

    The walk over discordant pairs is followed state by state; how many pairs it takes to see that
    many discordant ones is negative binomial, and independent of who won them.

    :param p1: success rate of A, in (0, 1)
    :param p2: success rate of B, in (0, 1)
    :param correlation: phi of the successes of one seed; see :func:`paired_chances`
    :param limit: pairs after which the comparison is given up, > 0
    :param two_sided: as for :class:`wm_eval_ros.stats.sequential.SignTest`
    :raises ValueError: figures out of range, or a correlation these rates cannot have
    """
    _check(0.5, alpha)
    pairs = paired_chances(p1, p2, correlation)
    discordant = pairs.only_a + pairs.only_b
    if limit < 1:
        raise ValueError(f'limit {limit}: needs at least one pair')
    if discordant <= 0:
        return SequentialPlan(float(limit), 0.0, 0.0, None, None)
    for_a, for_b = _stops(pairs.only_a / discordant, limit, alpha, two_sided)
    by_a, by_b = np.cumsum(for_a), np.cumsum(for_b)
    seen, decided = np.zeros(limit + 1), np.zeros(limit + 1)
    seen[0] = 1.0
    for pair in range(1, limit + 1):
        # chance of each number of discordant pairs among so many
        seen[1:], seen[0] = seen[1:] * (1 - discordant) + seen[:-1] * discordant, (
            seen[0] * (1 - discordant))
        decided[pair] = np.sum(seen * (by_a + by_b))
    when = [int(np.argmax(decided >= q)) if decided[-1] >= q else None for q in (0.5, 0.9)]
    return SequentialPlan(float(np.sum(1 - decided[:-1])), float(np.sum(seen * by_a)),
                          float(np.sum(seen * by_b)), when[0], when[1])
