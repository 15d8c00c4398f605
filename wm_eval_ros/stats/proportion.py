"""Share of successes among trials that are independent, or that come in clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_eval_ros.stats.samples import Floats, Ints
from wm_eval_ros.stats.special import beta_quantile, student_quantile


class Proportion(NamedTuple):
    """An estimated probability and its interval."""

    value: float
    low: float
    high: float


def _counts(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f'{successes} successes in {trials} trials: needs 0 <= k <= n, n > 0')


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Proportion:
    """
    Exact interval of a proportion: its coverage is never below the confidence.

    Clopper and Pearson, Biometrika 26 (1934).

    :param successes: k, 0 <= k <= n
    :param trials: n > 0
    :raises ValueError: no trials, or k outside [0, n]

    >>> [round(x, 4) for x in clopper_pearson(20, 20)]
    [1.0, 0.8316, 1.0]
    """
    _counts(successes, trials)
    k, n, tail = successes, trials, (1 - confidence) / 2
    low = 0.0 if k == 0 else beta_quantile(k, n - k + 1, tail)
    high = 1.0 if k == n else beta_quantile(k + 1, n - k, 1 - tail)
    return Proportion(k / n, low, high)


def beta_posterior(successes: int, trials: int, confidence: float = 0.95) -> Proportion:
    """
    Posterior mean and equal-tailed credible interval under a uniform prior.

    The posterior is Beta(k + 1, n - k + 1).

    :raises ValueError: no trials, or k outside [0, n]

    >>> round(beta_posterior(9, 10).value, 4)
    0.8333
    """
    _counts(successes, trials)
    a, b, tail = successes + 1, trials - successes + 1, (1 - confidence) / 2
    return Proportion(a / (a + b), beta_quantile(a, b, tail), beta_quantile(a, b, 1 - tail))


def effective_trials(successes: Floats | Ints, trials: Floats | Ints, level: float) -> float:
    """
    Return how many independent trials those of clusters are worth.

    ``n / max(1, deff)``, with the design effect from the variance between clusters of a ratio,
    times ``(t_(n-1) / t_(C-1))^2`` for few clusters (Korn and Graubard, Survey Methodology 24,
    1998). Without a success, or with nothing else, no variance is seen: deff is 1 by convention.

    :param successes: of each cluster, shape (C,)
    :param trials: of each cluster, > 0, shape (C,)
    :param level: one-sided confidence of the limits that are to be made, in (0.5, 1)
    :returns: <= n; 0 for a single cluster that has both, of which nothing can be said
    """
    n, k, count = float(np.sum(trials)), float(np.sum(successes)), len(trials)
    if k in (0, n):
        return n
    if count < 2:
        return 0.0
    p = k / n
    # sorted: the same to the bit for clusters in any order
    spread = float(np.sum(np.sort((successes - p * trials)**2)))
    variance = count / (count - 1) * spread / n**2
    effect = max(1.0, variance * n / (p * (1 - p)))
    few = student_quantile(n - 1, level) / student_quantile(count - 1, level)
    return n / effect * min(1.0, few**2)


def korn_graubard(successes: Floats | Ints, trials: Floats | Ints,
                  confidence: float = 0.95) -> Proportion:
    """
    Interval of a share whose trials come in clusters: Clopper-Pearson of the effective size.

    Korn and Graubard, Survey Methodology 24 (1998). Without a success, or with nothing else, it is
    that of :func:`clopper_pearson`, which then takes the trials as independent.

    :param successes: of each cluster, shape (C,)
    :param trials: of each cluster, > 0, shape (C,)
    :returns: [0, 1] for a single cluster that has both
    :raises ValueError: no trials, or successes outside [0, trials]

    >>> [round(x, 4) for x in korn_graubard(np.array([10, 0, 0, 0]), np.array([10, 10, 10, 10]))]
    [0.25, 0.0, 0.9868]
    """
    n, k = np.sum(trials), np.sum(successes)
    if len(trials) == 0 or np.any(successes < 0) or np.any(successes > trials) or n == 0:
        raise ValueError(f'{k} successes in {n} trials: needs 0 <= k <= n, n > 0 of each cluster')
    tail, share = (1 - confidence) / 2, float(k / n)
    size = effective_trials(successes, trials, 1 - tail)
    hits = share * size
    low = 0.0 if hits == 0 else beta_quantile(hits, size - hits + 1, tail)
    high = 1.0 if hits == size else beta_quantile(hits + 1, size - hits, 1 - tail)
    return Proportion(share, low, high)
