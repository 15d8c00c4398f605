"""Whether predicted spreads are as wide as the errors that come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.bootstrap import cluster_draws, grouping, MIN_CLUSTERS
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import finite, Floats, same_length
from wm_eval_ros.stats.special import normal_quantile, student_quantile

#: nominal coverages of the central intervals
LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))


class Calibration(NamedTuple):
    """Coverage of central intervals of Gaussian predictions, nominal against found."""

    #: nominal, shape (P,)
    levels: Floats
    #: found, shape (P,)
    coverage: Floats
    #: mean over the levels of |found - nominal|
    expected_error: Estimate
    #: largest of them
    maximum_error: Estimate


def _inside(error: Floats, std: Floats, levels: Floats) -> Floats:
    """Share of each sample's dimensions inside its central interval, shape (N, P)."""
    score = np.abs(error / std).reshape(len(error), -1)
    reach = np.array([normal_quantile((1 + level) / 2) for level in levels])
    return np.stack([np.mean(score <= limit, axis=1) for limit in reach], axis=1)


def _ball(value: float, moved: Floats, confidence: float, clusters: int) -> Estimate:
    """
    Interval value +- the quantile of how far the resampled curve moved in the same norm.

    Resampled curves move as if the variance were divided by n and known: the quantile is widened
    by as much as makes a normal interval of few clusters Student's, as percentiles are elsewhere.
    """
    upper = (1 + confidence) / 2
    widened = (clusters / (clusters - 1)) ** 0.5 * student_quantile(clusters - 1, upper)
    reach = float(np.quantile(moved, confidence)) * widened / normal_quantile(upper)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def expected_calibration_error(error: ArrayLike, std: ArrayLike, groups: ArrayLike,
                               levels: ArrayLike = LEVELS, confidence: float = 0.95,
                               seed: int = 0) -> Calibration:
    """
    Return expected and maximum calibration error of Gaussian predictions.

    At nominal level p the central interval of a prediction is mean +- z((1+p)/2) std; coverage(p)
    is the share of errors inside. The expected error (ECE) is the mean over the levels of
    |coverage(p) - p|, the maximum error (MCE) their largest: the calibration of Kuleshov, Fenner
    and Ermon (ICML 2018) for central intervals. Too wide and too narrow count alike.

    Both are norms of the curve coverage - p, and by the triangle inequality a norm cannot move
    further than the curve itself. The interval is therefore value +- q, q the quantile of the
    norm of (resampled - found) coverage over resamples of whole groups. A percentile interval
    would sit above zero also for perfect predictions, since noise only adds to a norm.

    :param error: realised - predicted mean, shape (N,) or (N, D)
    :param std: predicted standard deviation, > 0, same shape
    :param groups: episode of each sample, shape (N,); samples of one depend on each other
    :param levels: nominal coverages in (0, 1), shape (P,)
    :param seed: of the generator made here
    :returns: no intervals below 5 groups
    :raises ValueError: no samples, shapes that differ, a spread that is not positive
    """
    errors, spread = finite(error, 'error'), finite(std, 'std')
    nominal = finite(levels, 'levels')
    if errors.shape != spread.shape or not errors.size:
        raise ValueError(f'calibration: error {errors.shape}, std {spread.shape}: needs equal '
                         'shapes with samples')
    if np.any(spread <= 0):
        raise ValueError(f'calibration: {int(np.sum(spread <= 0))} of {spread.size} standard '
                         'deviations are not positive')
    same_length('calibration', errors, np.asarray(groups))
    parts = grouping(groups)
    inside = parts.sums(_inside(errors, spread, nominal))
    sizes = parts.sums(np.ones(len(errors)))
    coverage = inside.sum(axis=0) / sizes.sum()
    gap = np.abs(coverage - nominal)
    mean, largest = float(np.mean(gap)), float(np.max(gap))
    if parts.count < MIN_CLUSTERS:
        why = f'n too small: an interval needs {MIN_CLUSTERS} episodes, has {parts.count}'
        return Calibration(nominal, coverage, Estimate(mean, why=why), Estimate(largest, why=why))
    drawn = cluster_draws(parts.count, seed)
    moved = np.abs(np.einsum('rc,cp->rp', drawn, inside)
                   / np.einsum('rc,c->r', drawn, sizes)[:, None] - coverage)
    return Calibration(nominal, coverage, _ball(mean, moved.mean(axis=1), confidence, parts.count),
                       _ball(largest, moved.max(axis=1), confidence, parts.count))
