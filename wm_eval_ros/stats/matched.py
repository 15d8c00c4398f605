"""Area under the ROC curve where each pair is compared on terms of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.delong import area_variance, blocks
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.stats.special import logit_limits


def matched_auroc(wins: ArrayLike, confidence: float = 0.95) -> Estimate:
    """
    Share of comparable pairs that the positive wins, with a logit-DeLong interval.

    Where the samples are scores taken over windows of unequal length, a longer window has the
    larger maximum by chance, and the area is no longer one half without an effect. Comparing each
    pair over the window both have is fair. The share is still a two-sample U-statistic, so its
    variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), from the sums over
    rows and columns, linearised for pairs that cannot be compared. With equal windows it is
    :func:`wm_eval_ros.stats.roc.auroc`.

    :param wins: 1 where positive i is above negative j, 1/2 where they are equal, 0 below, NaN
        where they cannot be compared; shape (M, N)
    :returns: None where no pair can be compared; at 0 and 1 the exact limit from pairs that share
        no sample
    :raises ValueError: not a matrix
    """
    table = np.asarray(wins, dtype=float)
    if table.ndim != 2:
        raise ValueError(f'comparisons of shape {table.shape}: needs (M, N)')
    known = ~np.isnan(table)
    table = table[known.any(axis=1)][:, known.any(axis=0)]
    if not table.size:
        return Estimate(None, why='no pair of samples can be compared')
    known = ~np.isnan(table)
    count = int(known.sum())
    value = float(np.sum(table[known])) / count
    if value in (0, 1):
        limit = ((1 - confidence) / 2) ** (1 / _disjoint(known))
        return Estimate(value, limit, 1.0) if value == 1 else Estimate(value, 0.0, 1 - limit)
    m, n = table.shape
    apart: Floats = np.where(known, table - value, 0.0)
    variance = area_variance(apart.sum(axis=1) * m / count, apart.sum(axis=0) * n / count,
                             blocks(m, n, None))
    if variance is None or variance <= 0:
        return Estimate(value, why='one sample in a class, or all alike: its spread is unknown')
    return Estimate(value, *logit_limits(value, variance**0.5, confidence))


def _disjoint(known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """Return a number of comparable pairs without a common sample, least choice first."""
    free, count = np.ones(known.shape[1], bool), 0
    for row in known[np.argsort(known.sum(axis=1), kind='stable')]:
        choice = np.flatnonzero(row & free)
        if len(choice):
            free[choice[np.argmin(known[:, choice].sum(axis=0))]] = False
            count += 1
    return count
