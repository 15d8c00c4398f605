"""Share of successes among independent trials."""

from __future__ import annotations

from typing import NamedTuple

from wm_eval_ros.stats.special import beta_quantile


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
