"""Quantiles by nearest rank, with intervals that assume nothing about the distribution."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.bootstrap import Grouping
from wm_eval_ros.stats.proportion import effective_trials
from wm_eval_ros.stats.special import binomial_cdf

#: slack against the rounding of q * (n - 1), far below one rank
_SLACK = 1e-9
#: end of a reason that more of the same evidence would remove
RECORD_MORE = 'record more'


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile with one-sided limits, or the reason why either is missing."""

    value: float | None
    #: each limit alone holds with the stated confidence; None where the data is too little
    low: float | None
    high: float | None
    n: int
    why: str = ''


def samples_needed(q: float, confidence: float = 0.95) -> int:
    """
    Smallest n for which the sample holds an upper and a lower limit of the quantile.

    The largest of n samples lies above the q-quantile with probability 1 - q^n, the smallest
    below it with 1 - (1 - q)^n; both must reach the confidence.

    :param q: in (0, 1)

    >>> [samples_needed(q) for q in (0.5, 0.95, 0.99, 0.999)]
    [5, 59, 299, 2995]
    """
    return math.ceil(math.log(1 - confidence) / math.log(max(q, 1 - q)) - _SLACK)


def nearest_rank(n: int, q: float) -> int:
    """Return the zero-based rank of the q-quantile of n samples, as ``method='higher'`` has it."""
    return min(n - 1, math.ceil(q * (n - 1) - _SLACK))


def _limit_rank(n: int, q: float, level: float) -> int:
    """Smallest r >= 1 with P(Binomial(n, q) <= r - 1) >= level, found by bisection."""
    below, rank = 0, n
    while rank - below > 1:
        middle = (below + rank) // 2
        if binomial_cdf(middle - 1, n, q) >= level:
            rank = middle
        else:
            below = middle
    return rank


def limit_ranks(n: int, q: float, confidence: float = 0.95) -> tuple[int, int]:
    """
    One-based ranks of the order statistics that bound the q-quantile from below and above.

    :param n: at least :func:`samples_needed`
    :returns: largest l with P(X_(l) <= x_q) and smallest u with P(X_(u) >= x_q) >= confidence

    >>> limit_ranks(299, 0.99)[1]
    299
    """
    low = n + 1 - _limit_rank(n, 1 - q, confidence)
    return low, _limit_rank(n, q, confidence)


def quantile(samples: NDArray[np.float64], q: float, confidence: float = 0.95) -> Quantile:
    """
    Quantile of independent samples by nearest rank, never interpolated, with its limits.

    :param samples: finite, shape (N,), in any order
    :param q: in (0, 1)
    :returns: None with a reason where N is below :func:`samples_needed`
    """
    n = len(samples)
    need = samples_needed(q, confidence)
    if n < need:
        return Quantile(None, None, None, n, f'n too small: needs n >= {need}, has {n}')
    ordered = np.sort(samples)
    low, high = limit_ranks(n, q, confidence)
    value, below, above = (float(ordered[r]) for r in (nearest_rank(n, q), low - 1, high - 1))
    return Quantile(value, below, above, n)


def clustered_quantile(samples: NDArray[np.float64], clusters: Grouping, q: float,
                       confidence: float = 0.95, what: str = 'samples') -> Quantile:
    """
    Quantile by nearest rank of samples that come in clusters; the value is that of `quantile`.

    As Woodruff (J. Amer. Statist. Assoc. 47, 1952) has it, the limits are those of the share of
    samples below: the ranks that :func:`limit_ranks` gives for the effective size of that share
    (:func:`wm_eval_ros.stats.proportion.effective_trials`), stretched to the size of the sample.
    Where samples tie, the smaller of the effective sizes of `x <= value` and `x < value` stands.

    :param samples: no NaN, shape (N,), in any order
    :param clusters: of the samples
    :param q: in (0, 1)
    :param what: name of the samples, for the reason
    :returns: no value where N, no limits where the effective size is below :func:`samples_needed`
    """
    n = len(samples)
    need = samples_needed(q, confidence)
    if n < need:
        return Quantile(None, None, None, n, f'n too small: needs n >= {need}, has {n}')
    ordered = np.sort(samples)
    at = nearest_rank(n, q)
    value = float(ordered[at])
    sizes = np.bincount(clusters.cluster, minlength=clusters.count)
    size = math.floor(_SLACK + min(
        effective_trials(np.bincount(clusters.cluster[below], minlength=clusters.count), sizes,
                         confidence) for below in (samples <= value, samples < value)))
    if size < need:
        why = (f'n = {n} {what} are worth {size} independent ones, its limits need {need}: '
               f'{RECORD_MORE}')
        return Quantile(value, None, None, n, why)
    low, high = limit_ranks(size, q, confidence)
    above = max(at + 1, math.ceil(high * n / size - _SLACK))
    below = min(at + 1, n + 1 - math.ceil((size + 1 - low) * n / size - _SLACK))
    return Quantile(value, float(ordered[below - 1]), float(ordered[above - 1]), n)
