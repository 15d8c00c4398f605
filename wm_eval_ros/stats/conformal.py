"""Which of the largest scores of nominal runs a threshold is, so that alarms keep their rate."""

from __future__ import annotations

import math

from wm_eval_ros.stats.quantile import samples_needed
from wm_eval_ros.stats.special import binomial_cdf

#: slack against the rounding of (n + 1)(1 - alpha), far below one rank
_SLACK = 1e-9


def marginal_rank(n: int, alpha: float) -> int | None:
    """
    Rank whose score a further exchangeable run exceeds with probability alpha at most.

    ceil((n + 1)(1 - alpha)) of n scores in ascending order, counted from 1 (Vovk, Gammerman and
    Shafer, Algorithmic Learning in a Random World, 2005). The probability is over the calibrating
    runs too: one calibration may well do worse.

    :param alpha: in (0, 1)
    :returns: None where n scores are too few

    >>> marginal_rank(19, 0.05), marginal_rank(18, 0.05), marginal_rank(100, 0.05)
    (19, None, 96)
    """
    rank = math.ceil((n + 1) * (1 - alpha) - _SLACK)
    return rank if 1 <= rank <= n else None


def tolerance_rank(n: int, alpha: float, confidence: float = 0.95) -> int | None:
    """
    Smallest rank whose score runs exceed at a rate of alpha at most, with that confidence.

    The share of runs below the k-th of n scores is Beta(k, n + 1 - k) or larger; that it reaches
    1 - alpha has the probability P(Binomial(n, 1 - alpha) <= k - 1) (Wilks, 1941; as tolerance
    region: Vovk, Conditional validity of inductive conformal predictors, 2012, proposition 2b).

    :param alpha: in (0, 1)
    :param confidence: over the draw of the calibrating runs
    :returns: None where n scores are too few

    >>> tolerance_rank(59, 0.05), tolerance_rank(58, 0.05), tolerance_rank(299, 0.01)
    (59, None, 299)
    """
    if n < runs_needed(alpha, confidence):
        return None
    below, rank = 0, n
    while rank - below > 1:
        middle = (below + rank) // 2
        if binomial_cdf(middle - 1, n, 1 - alpha) >= confidence:
            rank = middle
        else:
            below = middle
    return rank


def runs_needed(alpha: float, confidence: float | None = 0.95) -> int:
    """
    Smallest number of runs that has a rank at all.

    :param confidence: of the tolerance rank; None: of the marginal rank

    >>> runs_needed(0.05), runs_needed(0.01), runs_needed(0.05, None)
    (59, 299, 19)
    """
    if confidence is None:
        return math.ceil(1 / alpha - 1 - _SLACK)
    if alpha > 0.5:
        return math.ceil(math.log(1 - confidence) / math.log(1 - alpha) - _SLACK)
    return samples_needed(1 - alpha, confidence)
