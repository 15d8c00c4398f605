"""How many episodes a question needs."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import NamedTuple

import numpy as np

from wm_eval_ros.stats.quantile import samples_needed
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.stats.sequential import log_sign_e_value, log_sign_e_value_two_sided
from wm_eval_ros.stats.special import beta_quantiles, binomial_cdfs, binomial_pmf

#: more episodes than this nobody runs; the answer is then "not reached"
LIMIT = 20_000


class Pairs(NamedTuple):
    """Chances of one pair of episodes of the same seed."""

    both: float
    only_a: float
    only_b: float
    neither: float


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


def _share(p: float, what: str) -> None:
    if not 0 < p < 1:
        raise ValueError(f'{what} {p}: needs 0 < {what} < 1')


def paired_chances(p1: float, p2: float, correlation: float) -> Pairs:
    """
    Chances of the four outcomes of a pair with the given success rates and correlation.

    :param p1: success rate of A, in (0, 1)
    :param p2: success rate of B, in (0, 1)
    :param correlation: of the two successes (phi)
    :raises ValueError: a correlation that these rates cannot have
    """
    _share(p1, 'p1')
    _share(p2, 'p2')
    scale = math.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    both = p1 * p2 + correlation * scale
    low, high = max(0.0, p1 + p2 - 1), min(p1, p2)
    if not low - 1e-12 <= both <= high + 1e-12:
        raise ValueError(f'correlation {correlation}: rates {p1} and {p2} allow '
                         f'[{(low - p1 * p2) / scale:.3f}, {(high - p1 * p2) / scale:.3f}]')
    both = min(high, max(low, both))
    return Pairs(both, p1 - both, p2 - both, max(0.0, 1 - p1 - p2 + both))


def _smallest(enough: Callable[[int], bool], limit: int = LIMIT) -> int | None:
    """Smallest n that is enough, of a question whose answer changes about once."""
    high = 1
    while not enough(high):
        if high >= limit:
            return None
        high = min(limit, 2 * high)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def expected_half_width(p: float, n: int, confidence: float = 0.95) -> float:
    """Half the width of the Clopper-Pearson interval, in expectation over the outcomes."""
    tail, k = (1 - confidence) / 2, np.arange(n + 1.0)
    low = np.where(k == 0, 0.0, beta_quantiles(np.maximum(k, 1), n - k + 1, tail))
    high = np.where(k == n, 1.0, beta_quantiles(k + 1, np.maximum(n - k, 1), 1 - tail))
    return float(np.sum(binomial_pmf(n, p) * (high - low)) / 2)


def episodes_for_half_width(p: float, half_width: float, confidence: float = 0.95) -> int | None:
    """
    Episodes until the Clopper-Pearson interval is expected to be that narrow.

    :param p: success rate supposed, in [0, 1]
    :param half_width: half the width wanted, in (0, 1/2]
    :returns: None beyond 20,000
    """
    if not 0 <= p <= 1 or half_width <= 0:
        raise ValueError(f'p {p}, half-width {half_width}: needs p in [0, 1], half-width > 0')
    return _smallest(lambda n: expected_half_width(p, n, confidence) <= half_width)


def lower_bound_power(p: float, bound: float, n: int, confidence: float = 0.95) -> float:
    """Chance that the lower Clopper-Pearson limit of n episodes reaches the bound."""
    k = np.arange(n + 1.0)
    low = np.where(k == 0, 0.0,
                   beta_quantiles(np.maximum(k, 1), n - k + 1, (1 - confidence) / 2))
    return float(np.sum(binomial_pmf(n, p)[low >= bound]))


def episodes_for_lower_bound(p_true: float, bound: float, power: float = 0.8,
                             confidence: float = 0.95) -> int | None:
    """
    Episodes until the lower Clopper-Pearson limit reaches the bound with the power wanted.

    :param p_true: success rate supposed, above the bound
    :param bound: what the lower limit is to reach
    :returns: None beyond 20,000
    """
    if not 0 < bound < p_true <= 1:
        raise ValueError(f'bound {bound}, rate {p_true}: needs 0 < bound < rate <= 1')
    return _smallest(lambda n: lower_bound_power(p_true, bound, n, confidence) >= power)


def episodes_for_quantile(q: float, confidence: float = 0.95) -> int:
    """Return the samples a quantile with both limits needs; see :func:`samples_needed`."""
    return samples_needed(q, confidence)


def paired_power(pairs: Pairs, n: int, alpha: float = 0.05) -> float:
    """Chance that the exact McNemar test finds A better in n pairs."""
    discordant = pairs.only_a + pairs.only_b
    if discordant <= 0:
        return 0.0
    m = np.arange(n + 1)
    # most losses of A that still reject among m: the two-sided p-value is twice their tail
    losses = np.full(n + 1, -1)
    for at in range(1, n + 1):
        c = losses[at - 1]
        while 2 * float(binomial_cdfs(c + 1, at, 0.5)) <= alpha:
            c += 1
        losses[at] = c
    reject = binomial_cdfs(losses, np.maximum(m, 1), pairs.only_b / discordant)
    return float(np.sum(binomial_pmf(n, discordant) * np.where(losses >= 0, reject, 0.0)))


def episodes_for_gap(p1: float, p2: float, power: float = 0.8, alpha: float = 0.05,
                     correlation: float | None = None) -> int | None:
    """
    Episodes of each policy until a gap is found with the power wanted.

    :param p1: success rate of the one supposed better
    :param p2: success rate of the other
    :param correlation: of the successes on the same seeds, tested by McNemar's exact test
    """
    pairs = paired_chances(p1, p2, correlation or 0.0)
    return _smallest(lambda n: paired_power(pairs, n, alpha) >= power)


def _boundary(limit: int, alpha: float, two_sided: bool) -> Floats:
    """Wins from which the test stops, for each number of discordant pairs, shape (limit + 1,)."""
    form = log_sign_e_value_two_sided if two_sided else log_sign_e_value
    found = np.empty(limit + 1)
    for m in range(limit + 1):
        s = np.arange((m + 1) // 2, m + 1)
        stop = s[form(s, m) >= -math.log(alpha) - 1e-12]
        found[m] = stop[0] if len(stop) else m + 1
    return found


def expected_episodes_sequential(p1: float, p2: float, correlation: float = 0.0,
                                 alpha: float = 0.05, limit: int = 500,
                                 two_sided: bool = True) -> SequentialPlan:
    """
    Pairs the sequential sign test takes, exactly.

    The walk over discordant pairs is followed state by state; how many pairs it takes to see
    that many discordant ones is negative binomial and independent of who won them.

    :param correlation: of the two successes of a seed
    :param limit: pairs after which the comparison is given up
    """
    pairs = paired_chances(p1, p2, correlation)
    discordant = pairs.only_a + pairs.only_b
    if discordant <= 0:
        return SequentialPlan(float(limit), 0.0, 0.0, None, None)
    theta, stops = pairs.only_a / discordant, _boundary(limit, alpha, two_sided)
    for_a, for_b = np.zeros(limit + 1), np.zeros(limit + 1)
    alive = np.array([1.0])
    for m in range(1, limit + 1):
        alive = np.append(alive * (1 - theta), 0.0) + np.append(0.0, alive * theta)
        s = np.arange(m + 1)
        up, down = s >= stops[m], (m - s >= stops[m]) & two_sided
        for_a[m], for_b[m] = alive[up].sum(), alive[down].sum()
        alive[up | down] = 0.0
    # P(at least j discordant among t pairs), for the stop at j; row t
    j = np.arange(limit + 1)
    decided = np.array([np.sum((for_a + for_b)[1:] * (1 - binomial_cdfs(j[1:] - 1, t, discordant)))
                        for t in range(limit + 1)])
    reach = 1 - binomial_cdfs(j[1:] - 1, limit, discordant)
    when = [int(np.argmax(decided >= q)) if decided[-1] >= q else None for q in (0.5, 0.9)]
    return SequentialPlan(float(np.sum(1 - decided[:-1])), float(np.sum(for_a[1:] * reach)),
                          float(np.sum(for_b[1:] * reach)), when[0], when[1])
