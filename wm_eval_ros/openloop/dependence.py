"""Figures of time series whose neighbours depend on each other."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: fewer blocks than this give no interval: below it the coverage falls under nine in ten
MIN_BLOCKS = 10
#: a block is this many autocorrelation times long, so that blocks hardly depend on each other
BLOCK_TIMES = 4.0
_RESAMPLES = 4000
#: more blocks than this are made longer instead: they are no less independent, and cost memory
_MOST_BLOCKS = 400


@dataclass(frozen=True, slots=True)
class ErrorRatio:
    """Root mean square error over root mean square error, with what the series supports."""

    value: float
    #: limits and two-sided p-value of "they are equal"; None where there are too few blocks
    low: float | None
    high: float | None
    p: float | None
    #: samples of a block
    block: int
    #: whole blocks that the series is long
    blocks: int
    #: samples over their autocorrelation time
    effective: float


def autocorrelation_time(series: Floats) -> float:
    """
    Integrated autocorrelation time in samples: N samples say as much as N / this independent ones.

    The sum of autocorrelations ends where the sum of a pair of neighbours is no longer positive,
    and is kept from rising (Geyer, Stat. Sci. 7, 1992: initial monotone sequence).

    :param series: shape (N,)
    :returns: >= 1; 1 for a constant series, which shows no dependence

    >>> round(autocorrelation_time(np.tile([1.0, -1.0], 50)), 6)
    1.0
    """
    count = len(series)
    centred = series - np.mean(series) if count else series
    power = float(centred @ centred)
    if power <= 0:
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * count)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[:count] / power
    pairs = correlation[:count // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[:ends[0] if len(ends) else len(pairs)])
    return max(1.0, 2.0 * float(np.sum(kept)) - 1.0)


def error_ratio(
    model: Floats, still: Floats, least_block: int, seed: int = 0, confidence: float = 0.95,
) -> ErrorRatio:
    """
    Compare two series of squared errors by a moving-block bootstrap.

    The figure is sqrt(sum(model) / sum(still)). Blocks are :data:`BLOCK_TIMES` autocorrelation
    times long, the time of what each sample adds to the figure (the linearised log ratio), and at
    least `least_block`: forecasts h steps ahead share h - 1 steps of noise. Resampled blocks give
    the distribution of the studentised log ratio; the interval is symmetric in the logarithm and
    the p-value its inverse (Kuensch, Ann. Stat. 17, 1989; Goetze and Kuensch, Ann. Stat. 24,
    1996). A percentile interval of the same blocks covers less.

    :param model: squared errors in order of time, shape (N,), N > 0
    :param still: squared errors of persistence, of positive sum, shape (N,)
    :param least_block: shortest block [samples]
    :param seed: of the generator made here: the same series give the same figures
    :returns: limits and p-value are None below :data:`MIN_BLOCKS` blocks
    :raises ValueError: nothing to divide by
    """
    count, below = len(model), float(np.sum(still))
    if below <= 0:
        raise ValueError('a ratio over errors that are all zero')
    value = math.sqrt(float(np.sum(model)) / below)
    effect = influence(model, still)
    time = autocorrelation_time(effect)
    block = min(count, max(least_block, math.ceil(BLOCK_TIMES * time),
                           math.ceil(count / _MOST_BLOCKS)))
    blocks = count // block
    if blocks < MIN_BLOCKS or value == 0.0:
        return ErrorRatio(value, None, None, None, block, blocks, count / time)
    scaled = np.stack([model / np.sum(model), still / below])
    error = _standard_error(effect, block)
    moved = np.abs(_studentised(scaled, block, blocks, seed))
    reach = float(np.quantile(moved, confidence)) * error
    size = abs(math.log(value)) / error if error > 0 else math.inf
    p = (1 + int(np.sum(moved >= size))) / (1 + len(moved))
    return ErrorRatio(value, value * math.exp(-reach), value * math.exp(reach), p, block, blocks,
                      count / time)


def influence(model: Floats, still: Floats) -> Floats:
    """
    Return what each sample adds to the log of the ratio, to first order; its mean is zero.

    :param model: squared errors, shape (N,)
    :param still: squared errors of persistence, of positive sum, shape (N,)
    """
    top, bottom = float(np.mean(model)), float(np.mean(still))
    if top <= 0:
        return 1.0 - still / bottom
    return np.asarray(model / top - still / bottom)


def _standard_error(effect: Floats, block: int) -> float:
    """Return the standard error of the log ratio, from the means of all blocks of the circle."""
    count = len(effect)
    sums = np.cumsum(np.concatenate([[0.0], effect, effect[:block]]))
    means = (sums[block:block + count] - sums[:count]) / block
    blocks = count / block
    return 0.5 * math.sqrt(float(np.mean(means**2)) / (blocks - 1))


def _studentised(scaled: Floats, block: int, blocks: int, seed: int) -> Floats:
    """
    Resample whole blocks of the circle and studentise the log ratio of each resample.

    :param scaled: both series of squared errors, each divided by its sum, shape (2, N)
    :returns: shape (R,), without resamples that have no spread or no error
    """
    count = scaled.shape[1]
    sums = np.cumsum(np.concatenate([np.zeros((2, 1)), scaled, scaled[:, :block]], axis=1), axis=1)
    first = np.random.default_rng(seed).integers(count, size=(_RESAMPLES, blocks))
    drawn = sums[:, first + block] - sums[:, first]
    total = drawn.sum(axis=2)
    whole = (total > 0).all(axis=0)
    drawn, total = drawn[:, whole], total[:, whole]
    shares = drawn / total[:, :, None]
    # the influence of each block, of mean zero within its resample
    spread = np.sum((shares[0] - shares[1])**2, axis=1)
    error = 0.5 * np.sqrt(spread * blocks / (blocks - 1))
    moved = 0.5 * np.log(total[0] / total[1])
    return np.asarray(moved[error > 0] / error[error > 0])
