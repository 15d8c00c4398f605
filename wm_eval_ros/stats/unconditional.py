"""
Exact tests of two independent proportions, without conditioning on the total of successes.

The p-value is the chance of all tables at least as extreme, at the common success rate that makes
it largest. The search is a grid that is narrowed twice around its best point, which finds the
largest chance to some 1e-9 of itself and is the same on every call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.stats.special import binomial_pmfs, log_factorials

#: more tables than this take too long; Fisher's test then answers
MOST_TABLES = 1_000_000
#: statistics closer than this share of each other are equal up to rounding
TIE = 1e-9
_GRID = np.sin(np.linspace(0, np.pi / 2, 401)) ** 2
_ZOOM = 41

Tables = NDArray[np.bool_]


def fisher_p_values(n1: int, n2: int) -> Floats:
    """
    One-sided p-values of Fisher's exact test for every table.

    :returns: shape (n1 + 1, n2 + 1); cell (k1, k2) holds P(K1 >= k1 | k1 + k2) at equal rates
    """
    log, n = log_factorials(n1 + n2), n1 + n2
    first = log[n1] - log[:n1 + 1] - log[n1::-1]
    second = log[n2] - log[:n2 + 1] - log[n2::-1]
    found = np.empty((n1 + 1, n2 + 1))
    for total in range(n + 1):
        k1 = np.arange(max(0, total - n2), min(n1, total) + 1)
        whole = log[n] - log[total] - log[n - total]
        chances = np.exp(first[k1] + second[total - k1] - whole)
        found[k1, total - k1] = np.cumsum(chances[::-1])[::-1]
    return found


def fisher_p_value(k1: int, n1: int, k2: int, n2: int) -> float:
    """Two-sided p-value of Fisher's exact test: twice the smaller tail."""
    log, n, total = log_factorials(n1 + n2), n1 + n2, k1 + k2
    k = np.arange(max(0, total - n2), min(n1, total) + 1)
    chances = np.exp(log[n1] - log[k] - log[n1 - k] + log[n2] - log[total - k]
                     - log[n2 - total + k] - log[n] + log[total] + log[n - total])
    tails = float(np.sum(chances[k >= k1])), float(np.sum(chances[k <= k1]))
    return min(1.0, 2 * min(tails))


def _sizes(tables: Tables, rates: Floats) -> Floats:
    """Chance of the tables at each common success rate, shape (R,)."""
    first, second = (binomial_pmfs(n - 1, rates) for n in tables.shape)
    return np.asarray(np.sum(first * np.einsum('ab,br->ar', tables.astype(float), second), axis=0))


def largest_size(tables: Tables) -> float:
    """
    Chance of a set of tables at the common success rate that makes it largest.

    :param tables: whether each belongs to the set, shape (n1 + 1, n2 + 1)
    """
    rates = _GRID
    for _ in range(3):
        sizes = _sizes(tables, rates)
        best = int(np.argmax(sizes))
        around = rates[max(0, best - 1)], rates[min(len(rates) - 1, best + 1)]
        rates = np.linspace(*around, _ZOOM)
    return float(sizes[best])


def boschloo_p_value(k1: int, n1: int, k2: int, n2: int) -> float:
    """Two-sided p-value: twice the smaller of both one-sided ones, Fisher's as the statistic."""
    if (n1 + 1) * (n2 + 1) > MOST_TABLES:
        return fisher_p_value(k1, n1, k2, n2)
    tails = []
    for n, m, k, j in ((n1, n2, k1, k2), (n2, n1, k2, k1)):
        fisher = fisher_p_values(n, m)
        tails.append(largest_size(fisher <= fisher[k, j] * (1 + TIE)))
    return min(1.0, 2 * min(tails))


def barnard_p_value(k1: int, n1: int, k2: int, n2: int) -> float:
    """Two-sided p-value with the pooled score, whatever its sign, as the statistic."""
    if (n1 + 1) * (n2 + 1) > MOST_TABLES:
        return fisher_p_value(k1, n1, k2, n2)
    a, b = np.arange(n1 + 1)[:, None], np.arange(n2 + 1)[None, :]
    pooled = (a + b) * (n1 + n2 - a - b)
    # squared, up to a constant
    gap = (a * n2 - b * n1).astype(float) ** 2
    score = np.divide(gap, pooled, out=np.zeros_like(gap), where=pooled > 0)
    return min(1.0, largest_size(score >= score[k1, k2] * (1 - TIE)))
