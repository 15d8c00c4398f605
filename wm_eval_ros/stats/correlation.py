"""Whether one score orders policies as another does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.bootstrap import cluster_draws, MIN_CLUSTERS, percentile_limits
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import finite, Floats, same_length
from wm_eval_ros.stats.special import normal_quantile

#: rows of the matrix of pairs held at a time
_ROWS = 256


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    left, right = finite(x, 'x'), finite(y, 'y')
    same_length('a correlation', left, right)
    # an order of their own, so that sums do not depend on the input's
    order = np.lexsort((right, left))
    return left[order], right[order]


def _product_moment(x: Floats, y: Floats) -> float | None:
    """Return the correlation, None where one does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    left, right = x - np.mean(x), y - np.mean(y)
    left, right = left / np.max(np.abs(left)), right / np.max(np.abs(right))
    found = float(left @ right) / math.sqrt(float(left @ left) * float(right @ right))
    return min(1.0, max(-1.0, found))


def _fisher(value: float | None, n: int, variance: float | None, need: int,
            confidence: float) -> Estimate:
    """Interval that is symmetric in atanh, with the variance there."""
    if value is None:
        return Estimate(None, why=f'needs two values that differ in both, has n = {n}')
    if variance is None:
        return Estimate(value, why=f'n too small: an interval needs n >= {need}, has {n}')
    if abs(value) >= 1 - 1e-12:
        return Estimate(value, why='perfect: its spread is unknown')
    half = normal_quantile((1 + confidence) / 2) * math.sqrt(variance)
    z = math.atanh(value)
    return Estimate(value, math.tanh(z - half), math.tanh(z + half))


def midranks(samples: Floats) -> Floats:
    """Ranks from 1, ties at their mean, shape (N,)."""
    _, inverse, counts = np.unique(samples, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def pearson(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Estimate:
    """
    Product-moment correlation with Fisher's z interval (Fisher, Metron 1, 1921).

    :param x: finite, shape (N,)
    :param y: finite, shape (N,)
    :returns: None where one does not vary; no interval for N < 4 or a perfect correlation
    :raises ValueError: different lengths, values that are not finite
    """
    left, right = _pair(x, y)
    n = len(left)
    return _fisher(_product_moment(left, right), n, 1 / (n - 3) if n > 3 else None, 4, confidence)


def pearson_resampled(
    x: ArrayLike, y: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """
    Product-moment correlation with a bootstrap over the pairs, widened for few of them.

    Unlike Fisher's it does not suppose normal scores: rates at 0 and 1 are none. Draws in which
    one of the two does not vary have no correlation and are left out.

    :param x: finite, shape (N,)
    :param y: finite, shape (N,)
    :param seed: of the generator made here; the same data gives the same interval
    :returns: None where one does not vary; no interval for N < 5
    """
    left, right = _pair(x, y)
    n, value = len(left), _product_moment(left, right)
    if value is None:
        return Estimate(None, why=f'needs two values that differ in both, has n = {n}')
    if n < MIN_CLUSTERS:
        return Estimate(value, why=f'n too small: an interval needs n >= {MIN_CLUSTERS}, has {n}')
    draws = cluster_draws(n, seed).astype(int)
    found = [_product_moment(left[at], right[at])
             for at in (np.repeat(np.arange(n), row) for row in draws)]
    low, high = percentile_limits(np.array([r for r in found if r is not None]), confidence, n)
    return Estimate(value, low, high)


def spearman(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Estimate:
    """
    Rank correlation, ties at their mean rank, with the interval of Bonett and Wright.

    Fisher's z with variance (1 + r^2 / 2) / (n - 3) (Psychometrika 65, 2000).

    :param x: finite, shape (N,)
    :param y: finite, shape (N,)
    :returns: None where one does not vary; no interval for N < 4 or a perfect correlation
    """
    left, right = _pair(x, y)
    n, value = len(left), _product_moment(midranks(left), midranks(right))
    spread = (1 + (value or 0) ** 2 / 2) / (n - 3) if n > 3 else None
    return _fisher(value, n, spread, 4, confidence)


def kendall(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Estimate:
    """
    Kendall's tau-b, with Fisher's z and variance 0.437 / (n - 4).

    Variance of Fieller, Hartley and Pearson (Biometrika 44, 1957).

    :param x: finite, shape (N,)
    :param y: finite, shape (N,)
    :returns: None where one does not vary; no interval for N < 5 or a perfect correlation
    """
    left, right = _pair(x, y)
    n, balance, untied_x, untied_y = len(left), 0, 0, 0
    for at in range(0, n, _ROWS):
        first, second = (np.sign(one[at:at + _ROWS, None] - one) for one in (left, right))
        balance += int(np.sum(first * second))
        untied_x += int(np.count_nonzero(first))
        untied_y += int(np.count_nonzero(second))
    untied = math.sqrt(untied_x) * math.sqrt(untied_y)
    value = min(1.0, max(-1.0, balance / untied)) if untied else None
    return _fisher(value, n, 0.437 / (n - 4) if n > 4 else None, 5, confidence)


def _violations(real: Floats, predicted: Floats) -> Floats:
    """Return 1 where the prediction reverses a pair, 1/2 where it ties one, shape (N, N)."""
    true = np.sign(real[:, None] - real[None, :])
    told = np.sign(predicted[:, None] - predicted[None, :])
    return np.where(true == 0, 0.0, np.abs(true - told) / 2)


def mmrv(real: ArrayLike, predicted: ArrayLike) -> float | None:
    """
    Mean maximum rank violation: how much success an evaluator's wrong order can cost.

    ``mean over i of max over j of |R_i - R_j| v_ij`` with v_ij = 1 where the prediction orders i
    and j against the real scores R, 1/2 where it ties two that differ, else 0. Li et al. (SIMPLER,
    CoRL 2024), who leave ties open. 0 is best.

    :param real: scores in the world, shape (N,)
    :param predicted: scores of the evaluator, shape (N,)
    :returns: None for fewer than two policies

    >>> round(mmrv([0.1, 0.5, 0.9], [0.2, 0.9, 0.5]), 4)
    0.2667
    """
    left, right = finite(real, 'real'), finite(predicted, 'predicted')
    if same_length('a rank violation', left, right) < 2:
        return None
    cost = np.abs(left[:, None] - left[None, :]) * _violations(left, right)
    return math.fsum(cost.max(axis=1)) / len(left)


def rank_preservation(real: ArrayLike, predicted: ArrayLike) -> float | None:
    """
    Share of the pairs that differ in the world which the evaluator orders alike; ties count half.

    :param real: scores in the world, shape (N,)
    :param predicted: scores of the evaluator, shape (N,)
    :returns: None where no pair differs in the world

    >>> round(rank_preservation([0.1, 0.5, 0.9], [0.2, 0.9, 0.5]), 4)
    0.6667
    """
    left, right = finite(real, 'real'), finite(predicted, 'predicted')
    same_length('rank preservation', left, right)
    differ = int(np.sum(left[:, None] != left[None, :]))
    return 1 - float(np.sum(_violations(left, right))) / differ if differ else None
