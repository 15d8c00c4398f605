"""Mean of bounded scores by betting: valid at every n, whatever the distribution."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import finite, Floats

#: a bet is at most this share of the one that could lose everything
_CAP = 0.5
_STEPS = 50


class Sequence(NamedTuple):
    """Limits after each sample that hold at all times at once, shape (N,)."""

    low: Floats
    high: Floats


def _unit(scores: ArrayLike, low: float, high: float) -> Floats:
    """Scores on [0, 1]."""
    found = finite(scores, 'scores')
    if found.ndim != 1 or not low < high:
        raise ValueError(f'scores: shape {found.shape} in [{low}, {high}]: needs one dimension '
                         'and low < high')
    if np.any((found < low) | (found > high)):
        raise ValueError(f'scores: {int(np.sum((found < low) | (found > high)))} outside '
                         f'[{low}, {high}]')
    return (found - low) / (high - low)


def _past_variance(unit: Floats) -> Floats:
    """Regularised variance of the samples before each one, shape (N,)."""
    n = np.arange(1, len(unit) + 1)
    means = (0.5 + np.cumsum(unit)) / (n + 1)
    after = (0.25 + np.cumsum((unit - means) ** 2)) / (n + 1)
    return np.concatenate([[0.25], after[:-1]])


def _fixed_bets(unit: Floats, alpha: float) -> Floats:
    """Bets that make the interval after all N samples short."""
    return np.sqrt(2 * math.log(2 / alpha) / (len(unit) * _past_variance(unit)))


def _growing_bets(unit: Floats, alpha: float) -> Floats:
    """Bets for limits at every time."""
    n = np.arange(1, len(unit) + 1)
    return np.sqrt(2 * math.log(2 / alpha) / (n * np.log1p(n) * _past_variance(unit)))


def _capital(unit: Floats, bets: Floats, mean: Floats) -> Floats:
    """
    Log capital after each sample of betting that the mean is above each candidate.

    :param mean: candidates in (0, 1), shape (G,)
    :returns: shape (G, N); falls as the candidate grows
    """
    stake = np.minimum(bets, _CAP / mean[:, None])
    return np.cumsum(np.log1p(stake * (unit - mean[:, None])), axis=1)


def _lower(unit: Floats, bets: Floats, wealth: float) -> float:
    """Largest candidate below which the capital has at some time reached the wealth."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if np.max(_capital(unit, bets, np.array([middle]))) >= wealth:
            low = middle
        else:
            high = middle
    return low


def betting_interval(scores: ArrayLike, low: float = 0.0, high: float = 1.0,
                     confidence: float = 0.95) -> Estimate:
    """
    Mean of independent bounded scores with the hedged-capital betting interval.

    Waudby-Smith and Ramdas, J. R. Statist. Soc. B 86 (2024), with their predictable plug-in bets.
    The coverage holds for every n and every distribution on [low, high]; the narrower the scores
    the shorter it is. The limits are found by bisection: the capital that bets on more falls with
    the candidate mean, so no grid is needed.

    :param scores: in the order they were taken, which must not depend on their values, shape (N,)
    :param low: smallest score possible
    :param high: largest score possible
    :returns: the sample mean; None without scores
    :raises ValueError: scores outside [low, high], or not finite
    """
    unit = _unit(scores, low, high)
    if not len(unit):
        return Estimate(None, why='no scores')
    alpha = 1 - confidence
    bets, wealth = _fixed_bets(unit, alpha), math.log(2 / alpha)
    below, above = _lower(unit, bets, wealth), 1 - _lower(1 - unit, bets, wealth)
    value, scale = math.fsum(unit) / len(unit), high - low
    return Estimate(low + scale * value, low + scale * min(below, value),
                    low + scale * max(above, value))


def _lower_sequence(unit: Floats, bets: Floats, wealth: float, grid: Floats) -> Floats:
    """First candidate at each time that the capital has not ruled out, one step outwards."""
    reached = np.full(len(unit), -1)
    for start in range(0, len(grid), 64):
        part = grid[start:start + 64]
        peak = np.maximum.accumulate(_capital(unit, bets, part), axis=1)
        reached += np.sum(peak >= wealth, axis=0)
    return np.where(reached >= 0, grid[np.maximum(reached, 0)], 0.0)


def betting_sequence(scores: ArrayLike, low: float = 0.0, high: float = 1.0,
                     confidence: float = 0.95, grid: int = 1000) -> Sequence:
    """
    Limits of the mean of bounded scores after each of them, valid at all times at once.

    As :func:`betting_interval`, with bets that do not know when the sampling ends.

    :param grid: candidates tried; limits are rounded outwards to one of them
    :returns: each limit never loosens
    """
    unit = _unit(scores, low, high)
    wealth = math.log(2 / (1 - confidence))
    bets = _growing_bets(unit, 1 - confidence) if len(unit) else unit
    tried = np.arange(1, grid) / grid
    below = _lower_sequence(unit, bets, wealth, tried)
    above = 1 - _lower_sequence(1 - unit, bets, wealth, tried)
    return Sequence(low + (high - low) * below, low + (high - low) * above)
