"""Risk against coverage: what abstaining on the least confident decisions would buy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.samples import finite, Floats, ranked, same_length


class RiskCoverage(NamedTuple):
    """Mean loss of the k most confident decisions, for k = 1 to N."""

    #: k / N, shape (N,)
    coverage: Floats
    #: shape (N,)
    risk: Floats
    #: mean of the risk over all k
    area: float
    #: area less that of the best order, which sorts by the loss itself; >= 0
    excess: float


def _curve(order: Floats, loss: Floats) -> Floats:
    """Risk at each k, in expectation over the orders of equally confident decisions."""
    _, tie, size = np.unique(order, return_inverse=True, return_counts=True)
    # sorted within ties too, so that sums do not depend on the order of the input
    at = np.lexsort((loss, tie))
    sums = np.bincount(tie[at], weights=loss[at])
    expected = np.repeat(sums / size, size)
    return np.asarray(np.cumsum(expected) / np.arange(1, len(loss) + 1))


def aurc(confidence: ArrayLike, loss: ArrayLike) -> RiskCoverage:
    """
    Area under the risk-coverage curve and its excess over the best possible order.

    Decisions are accepted from the most to the least confident. Equally confident ones are taken
    in expectation over their orders, so that no order of the input is favoured. Geifman and
    El-Yaniv (NeurIPS 2017); excess: Geifman, Uziel and El-Yaniv (ICLR 2019).

    :param confidence: higher is surer, shape (N,), N > 0; may be infinite
    :param loss: realised loss, lower is better, finite, shape (N,)
    :raises ValueError: no samples, different lengths, NaN

    >>> aurc([3, 2, 1], [0, 0, 1]).area
    0.1111111111111111
    """
    sure, lost = ranked(confidence, 'confidence'), finite(loss, 'loss')
    n = same_length('risk against coverage', sure, lost)
    if n == 0:
        raise ValueError('risk against coverage of no samples')
    risk, best = _curve(-sure, lost), _curve(lost, lost)
    area = float(np.mean(risk))
    return RiskCoverage(np.arange(1, n + 1) / n, risk, area,
                        max(0.0, area - float(np.mean(best))))
