"""Risk against coverage: what abstaining from the least certain decisions would buy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.bootstrap import cluster_draws, grouping, MIN_CLUSTERS, percentile_limits
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.samples import finite, Floats, Ints, ranked, same_length

#: cells of the resampled weights held at a time
_CELLS = 250_000


class RiskCoverage(NamedTuple):
    """Mean loss of the k most certain decisions, for k = 1 to N."""

    #: k / N, shape (N,)
    coverage: Floats
    #: shape (N,)
    risk: Floats
    #: mean of the risk over all k (AURC)
    area: Estimate
    #: area less that of the best order, which sorts by the loss itself; >= 0
    excess: Estimate


class _Order:
    """
    Decisions in the order they are accepted, equal scores as one step.

    :param score: higher is accepted earlier, shape (N,)
    :param loss: shape (N,)
    """

    def __init__(self, score: Floats, loss: Floats) -> None:
        _, tie = np.unique(-score, return_inverse=True)
        # sorted within ties too, so that sums do not depend on the order of the input
        self._order = np.lexsort((loss, tie))
        self._loss = loss[self._order]
        self._starts = np.flatnonzero(np.diff(tie[self._order], prepend=-1))

    def risk(self) -> Floats:
        """Risk at each k, in expectation over the orders of equal scores."""
        n = len(self._loss)
        sizes = np.diff(self._starts, append=n)
        expected = np.repeat(np.add.reduceat(self._loss, self._starts) / sizes, sizes)
        return np.asarray(np.cumsum(expected) / np.arange(1, n + 1))

    def areas(self, draws: Floats, cluster: Ints) -> Floats:
        """
        Area with the decisions of each cluster counted several times.

        Within a step of w decisions of mean loss a, after W of summed loss S, the risks are
        (S + j a) / (W + j), j = 1 to w; their sum is w a + (S - W a) (H(W + w) - H(W)) with the
        harmonic numbers H.

        :param draws: how often each cluster counts, shape (R, C)
        :param cluster: of each decision in the order of the input, shape (N,)
        :returns: shape (R,)
        """
        counts = draws[:, cluster[self._order]]
        sizes = np.add.reduceat(counts, self._starts, axis=1)
        sums = np.add.reduceat(counts * self._loss, self._starts, axis=1)
        after, total = np.cumsum(sizes, axis=1), np.cumsum(sums, axis=1)
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, after[:, -1].max() + 1))])
        steps = harmonic[after.astype(int)] - harmonic[(after - sizes).astype(int)]
        means = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
        risks = sums + (total - sums - (after - sizes) * means) * steps
        return np.asarray(risks.sum(axis=1) / after[:, -1])


def _resampled(orders: tuple[_Order, _Order], cluster: Ints, draws: Floats) -> Floats:
    """Areas of both orders for each resample, shape (2, R)."""
    rows = max(1, _CELLS // len(cluster))
    parts = [[one.areas(draws[at:at + rows], cluster) for one in orders]
             for at in range(0, len(draws), rows)]
    return np.concatenate(parts, axis=1)


def aurc(score: ArrayLike, loss: ArrayLike, groups: ArrayLike | None = None,
         confidence: float = 0.95, seed: int = 0) -> RiskCoverage:
    """
    Area under the risk-coverage curve and its excess over the best possible order.

    Decisions are accepted from the most to the least certain. Equally certain ones are taken in
    expectation over their orders, so that no order of the input is favoured. Geifman and El-Yaniv
    (NeurIPS 2017); excess: Geifman, Uziel and El-Yaniv (ICLR 2019).

    :param score: certainty, higher is surer, shape (N,), N > 0; may be infinite
    :param loss: realised loss, lower is better, finite, shape (N,)
    :param groups: episode of each decision, shape (N,), for a percentile bootstrap over episodes;
        None gives no intervals
    :param seed: of the generator made here
    :raises ValueError: no samples, different lengths, NaN

    >>> aurc([3, 2, 1], [0, 0, 1]).area.value
    0.1111111111111111
    """
    sure, lost = ranked(score, 'score'), finite(loss, 'loss')
    n = same_length('risk against coverage', sure, lost)
    if n == 0:
        raise ValueError('risk against coverage of no samples')
    given, best = _Order(sure, lost), _Order(-lost, lost)
    risk = given.risk()
    area = float(np.mean(risk))
    excess = max(0.0, area - float(np.mean(best.risk())))
    curve = np.arange(1, n + 1) / n, risk
    parts = grouping(np.zeros(n) if groups is None else groups)
    same_length('risk against coverage', lost, parts.cluster)
    if parts.count < MIN_CLUSTERS:
        why = f'an interval needs {MIN_CLUSTERS} episodes, has {parts.count}'
        why = 'no episodes given: its spread is unknown' if groups is None else why
        return RiskCoverage(*curve, Estimate(area, why=why), Estimate(excess, why=why))
    drawn = _resampled((given, best), parts.cluster,
                       cluster_draws(parts.count, seed))
    low, high = percentile_limits(drawn[0] - drawn[1], confidence, parts.count)
    limits = percentile_limits(drawn[0], confidence, parts.count)
    return RiskCoverage(*curve, Estimate(area, *limits),
                        Estimate(excess, max(0.0, low), max(0.0, high)))
