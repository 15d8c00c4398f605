"""Scores of several runs on several tasks as one figure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.bootstrap import percentile_limits, RESAMPLES
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import finite, Floats

#: below this the bootstrap's intervals are too short
ENOUGH_RUNS = 10


def _matrix(scores: ArrayLike, what: str) -> Floats:
    """Scores of shape (runs, tasks); a flat array is one task."""
    found = finite(scores, what)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.size:
        raise ValueError(f'{what}: shape {found.shape}: needs (runs, tasks) with scores')
    return found


def iqm(scores: ArrayLike) -> float:
    """
    Interquartile mean: the mean of the middle half of all scores, runs and tasks pooled.

    Agarwal et al. (NeurIPS 2021). Exactly a quarter of the mass is cut at each end: where N is
    no multiple of 4 the two samples at the cuts count with the share of theirs that lies inside.

    :param scores: finite, shape (runs, tasks) or any other with at least one score
    :raises ValueError: no scores

    >>> iqm([0, 1, 2, 3, 100])
    2.0
    """
    flat = np.sort(finite(scores, 'scores'), axis=None)
    n = len(flat)
    if n == 0:
        raise ValueError('the interquartile mean of no scores')
    # quarters of a sample inside the middle half: whole numbers, so nothing is lost
    edges = np.clip(4 * np.arange(n + 1), n, 3 * n)
    return float(np.sum(np.diff(edges) * flat) / (2 * n))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """
    Chance that a run of X beats a run of Y on a task drawn at random; ties count half.

    Agarwal et al. (NeurIPS 2021): the mean over tasks of the Mann-Whitney statistic.

    :param x: shape (runs of X, tasks)
    :param y: shape (runs of Y, tasks)
    :raises ValueError: different tasks, no scores
    """
    left, right = _matrix(x, 'x'), _matrix(y, 'y')
    if left.shape[1] != right.shape[1]:
        raise ValueError(f'{left.shape[1]} tasks against {right.shape[1]}')
    wins = np.sign(left[:, None, :] - right[None, :, :])
    return float((wins.sum() / wins.size + 1) / 2)


def stratified_bootstrap(statistic: Callable[..., float], *scores: ArrayLike,
                         confidence: float = 0.95, seed: int = 0,
                         resamples: int = RESAMPLES) -> Estimate:
    """
    Return a figure over runs and tasks with a bootstrap that redraws runs within each task.

    :param statistic: takes as many arrays of shape (runs, tasks) as are given, returns a figure
    :param scores: one or more arrays of shape (runs, tasks); each is redrawn on its own
    :param seed: of the generator made here
    :returns: equal-tailed percentiles, with a warning in ``why`` below 10 runs; none for one run
    :raises ValueError: no scores

    >>> stratified_bootstrap(iqm, [[1.0], [2.0]]).why
    '2 runs: an interval of fewer than 10 is too short'
    """
    samples = [_matrix(one, 'scores') for one in scores]
    value = float(statistic(*samples))
    runs = min(len(one) for one in samples)
    if runs < 2:
        return Estimate(value, why='one run: its spread is unknown')
    rng = np.random.default_rng(seed)
    found = np.empty(resamples)
    for at in range(resamples):
        found[at] = statistic(*(np.take_along_axis(one, rng.integers(len(one), size=one.shape), 0)
                                for one in samples))
    why = (f'{runs} runs: an interval of fewer than {ENOUGH_RUNS} is too short'
           if runs < ENOUGH_RUNS else '')
    tasks = samples[0].shape[1]
    return Estimate(value, *percentile_limits(found, confidence, runs, tasks), why)
