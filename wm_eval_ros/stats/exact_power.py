"""Power of the exact tests and intervals, by summing over all outcomes."""

from __future__ import annotations

from functools import lru_cache
import math
from typing import NamedTuple

import numpy as np

from wm_eval_ros.stats.paired import rules_out_loss
from wm_eval_ros.stats.samples import Floats, Ints
from wm_eval_ros.stats.special import (
    beta_quantiles,
    binomial_cdfs,
    binomial_pmf,
    binomial_pmfs,
    binomial_tails,
)
from wm_eval_ros.stats.unconditional import fisher_p_values, TIE

#: common success rates tried for the size of an unpaired test; 1 - p has the size of p
_RATES = np.sin(np.linspace(0, np.pi / 4, 101)[1:]) ** 2


class Pairs(NamedTuple):
    """Chances of one pair of episodes of the same seed."""

    both: float
    only_a: float
    only_b: float
    neither: float


def paired_chances(p1: float, p2: float, correlation: float) -> Pairs:
    """
    Chances of the four outcomes of a pair with the given success rates and correlation.

    Episodes of one seed share what makes them easy or hard, so their outcomes agree more often
    than those of independent ones: a positive phi coefficient, which is the only thing about the
    sharing that the outcomes show. It cannot exceed
    ``sqrt(p2 (1 - p1) / (p1 (1 - p2)))`` for p1 >= p2: there the better one never loses a pair.

    :param p1: success rate of A, in (0, 1)
    :param p2: success rate of B, in (0, 1)
    :param correlation: phi of the two successes
    :raises ValueError: a rate outside (0, 1), or a correlation that these rates cannot have

    >>> [round(p, 3) for p in paired_chances(0.7, 0.5, 0.5)]
    [0.465, 0.235, 0.035, 0.265]
    """
    if not (0 < p1 < 1 and 0 < p2 < 1):
        raise ValueError(f'success rates {p1}, {p2}: needs each in (0, 1)')
    scale = math.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    low, high = max(0.0, p1 + p2 - 1), min(p1, p2)
    both = p1 * p2 + correlation * scale
    if not low - 1e-12 <= both <= high + 1e-12:
        raise ValueError(f'correlation {correlation}: success rates {p1} and {p2} allow '
                         f'{(low - p1 * p2) / scale:.3f} to {(high - p1 * p2) / scale:.3f}')
    both = min(high, max(low, both))
    return Pairs(both, p1 - both, p2 - both, max(0.0, 1 - p1 - p2 + both))


def _lower_limits(n: int, confidence: float) -> Floats:
    """Lower Clopper-Pearson limit for k = 0 to n, shape (n + 1,)."""
    k = np.arange(1.0, n + 1.0)
    return np.concatenate([[0.0], beta_quantiles(k, n - k + 1, (1 - confidence) / 2)])


def expected_half_width(p: float, n: int, confidence: float = 0.95) -> float:
    """Half the width of the Clopper-Pearson interval of n episodes, in expectation."""
    low = _lower_limits(n, confidence)
    return float(np.sum(binomial_pmf(n, p) * (1 - low[::-1] - low)) / 2)


def lower_bound_power(p: float, bound: float, n: int, confidence: float = 0.95) -> float:
    """Chance that the lower Clopper-Pearson limit of n episodes reaches the bound."""
    # the limit reaches it where the bound makes so many successes rare enough
    failures = int(binomial_tails(np.array([n]), 1 - bound, (1 - confidence) / 2)[0])
    return float(binomial_cdfs(failures, n, 1 - p))


@lru_cache(maxsize=32)
def _rejection(size: int, loss: float, alpha: float) -> Floats:
    """Chance that the sign test finds A better in m discordant pairs, m = 0 to size - 1."""
    m = np.arange(size)
    # most losses of A that still reject: the two-sided p-value is twice their tail
    return binomial_cdfs(binomial_tails(m, 0.5, alpha / 2), m, loss)


def paired_power(pairs: Pairs, n: int, alpha: float = 0.05) -> float:
    """Chance that the exact McNemar test at level alpha finds A better in n pairs."""
    discordant = pairs.only_a + pairs.only_b
    if discordant == 0:
        return 0.0
    reject = _rejection(1 << n.bit_length(), pairs.only_b / discordant, alpha)
    return float(np.sum(binomial_pmf(n, discordant) * reject[:n + 1]))


def no_loss_power(only_a: float, only_b: float, n: int, margin: float,
                  alpha: float = 0.05) -> float:
    """
    Chance that n pairs rule out that A lost a margin or more against B, by Tango's interval.

    :param only_a: chance that only A succeeds in a pair
    :param only_b: chance that only B does
    :param margin: loss that is accepted, as for :func:`wm_eval_ros.stats.paired.rules_out_loss`
    """
    lost, chance, wins = binomial_pmf(n, only_b), 0.0, 0
    for losses in range(n):
        # more losses take more wins to make up for them
        while not rules_out_loss(wins, losses, n, margin, 1 - alpha):
            wins += 1
            if wins + losses > n:
                return chance
        fewer = binomial_cdfs(wins - 1, n - losses, only_a / (1 - only_b)) if wins else 0.0
        chance += float(lost[losses] * (1 - fewer))
    return chance


def _widen(fisher: Floats, most: float, level: float) -> tuple[Ints, bool]:
    """
    Return Fisher's boundary moved out as far as the level allows at every common rate.

    :param fisher: p-value of each table, shape (n + 1, n + 1)
    :param most: tables of greater p-value are not tried
    :returns: fewest successes of A for each of B, and whether all that were tried are inside
    """
    # the p-value falls with the successes of A; up to the level itself Fisher's test keeps it
    bounds = np.sum(fisher > level, axis=0)
    k1, k2 = np.nonzero((fisher > level) & (fisher <= most))
    order = np.argsort(fisher[k1, k2], kind='stable')
    k1, k2, ranked = k1[order], k2[order], fisher[k1, k2][order]
    # tables of equal p-value enter together; they are equal up to rounding
    last = np.flatnonzero(np.diff(ranked, append=np.inf) > TIE * ranked)
    allowed = len(last)
    for chances in binomial_pmfs(len(fisher) - 1, _RATES).T:
        above = np.append(np.cumsum(chances[::-1])[::-1], 0.0)
        size = np.sum(chances * above[bounds]) + np.cumsum(chances[k1] * chances[k2])[last]
        allowed = min(allowed, int(np.searchsorted(size, level, 'right')))
    taken = slice(0, last[allowed - 1] + 1 if allowed else 0)
    np.minimum.at(bounds, k2[taken], k1[taken])
    return bounds, allowed == len(last)


def boschloo_boundary(n: int, alpha: float = 0.05) -> Ints:
    """
    Fewest successes of A that reject in Boschloo's test, for each number of successes of B.

    The one-sided test at alpha / 2, as half of the two-sided one: the tables of smallest Fisher
    p-values that together stay within that level whatever the common success rate.

    :param n: episodes of each policy
    :returns: shape (n + 1,); n + 1 where none rejects
    """
    fisher = fisher_p_values(n, n)
    bounds, all_inside = _widen(fisher, 2 * alpha, alpha / 2)
    if all_inside:
        # with a table come those of its total that are more extreme; their chance at the rate
        # total / 2n is at least the p-value / sqrt(pi (n + 1/2)): none beyond this can be in
        bounds, _ = _widen(fisher, alpha / 2 * math.sqrt(math.pi * (n + 0.5)), alpha / 2)
    return bounds


def unpaired_power(p1: float, p2: float, n: int, alpha: float = 0.05) -> float:
    """Chance that Boschloo's test at level alpha finds A better in n episodes of each."""
    reject = 1 - binomial_cdfs(boschloo_boundary(n, alpha) - 1, n, p1)
    return float(np.sum(binomial_pmf(n, p2) * reject))
