"""
Figures of samples that come in clusters, and the difference of two figures.

The samples of one episode depend on each other, so whole episodes are drawn again, never samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.bootstrap import cluster_draws, percentile_limits
from wm_eval_ros.stats.mean import Mean
from wm_eval_ros.stats.quantile import nearest_rank
from wm_eval_ros.stats.samples import Floats, Ints

#: fewer clusters than this on a side give no interval of a difference
LEAST_CLUSTERS = 10
#: more undefined resamples than this share give no interval
_MOST_UNDEFINED = 0.05


class Figure(Protocol):
    """A figure of C clusters that can be taken again with each cluster counted several times."""

    @property
    def clusters(self) -> int:
        """Return C."""

    def of(self, weights: Floats) -> Floats:
        """
        Return the figure for each row of weights.

        :param weights: how often each cluster counts, shape (R, C)
        :returns: shape (R,), NaN where it is not defined
        """


@dataclass(frozen=True)
class Ratio:
    """Sum over sum: a mean, a rate or a ratio of errors."""

    #: numerator and denominator of each cluster, shape (C,)
    top: Floats
    bottom: Floats

    @property
    def clusters(self) -> int:
        """Return C."""
        return len(self.top)

    def of(self, weights: Floats) -> Floats:
        """Return the ratio for each row of weights."""
        # not BLAS, whose sums depend on the number of threads
        above, below = (np.einsum('rc,c->r', weights, side) for side in (self.top, self.bottom))
        with np.errstate(divide='ignore', invalid='ignore'):
            return np.where(below > 0, above / below, np.nan)


class ClusteredQuantile:
    """
    Quantile by nearest rank over the samples of all clusters.

    Prefix counts at every sqrt(N)-th sample make one resample cost O(C sqrt(N)) and not O(N).

    :param groups: samples of each cluster, C arrays
    :param q: in (0, 1)
    """

    def __init__(self, groups: Sequence[Floats], q: float) -> None:
        self.clusters = len(groups)
        self._q = q
        values = np.concatenate(groups) if groups else np.zeros(0)
        owners = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        ranks = np.argsort(values, kind='stable')
        self._values, self._owners = values[ranks], owners[ranks]
        self._block = max(1, math.isqrt(len(values)))
        self._before = self._prefix_counts()

    def _prefix_counts(self) -> Floats:
        """How many samples of each cluster stand before each block, shape (P, C)."""
        blocks = np.arange(len(self._owners)) // self._block
        count = int(blocks[-1]) + 1 if len(blocks) else 0
        cells = np.bincount(blocks * self.clusters + self._owners,
                            minlength=count * self.clusters).reshape(count, self.clusters)
        return np.asarray(np.cumsum(cells, axis=0) - cells, float)

    def of(self, weights: Floats) -> Floats:
        """Return the quantile for each row of weights."""
        found = np.full(len(weights), np.nan)
        sizes = (weights @ np.bincount(self._owners, minlength=self.clusters)).astype(int)
        known = np.flatnonzero(sizes > 0)
        ranks = np.array([nearest_rank(n, self._q) for n in sizes[known].tolist()])
        if len(known):
            found[known] = self._values[self._at(weights[known], ranks)]
        return found

    def _at(self, weights: Floats, ranks: Ints) -> Ints:
        """Return where in the sorted samples each row's counted samples first exceed its rank."""
        before = weights @ self._before.T
        block = np.sum(before <= ranks[:, None], axis=1) - 1
        inside = block[:, None] * self._block + np.arange(self._block)
        owners = self._owners[np.minimum(inside, len(self._owners) - 1)]
        counts = np.take_along_axis(weights, owners, axis=1)
        counts[inside >= len(self._owners)] = 0
        rows = np.arange(len(ranks))
        reached = before[rows, block][:, None] + np.cumsum(counts, axis=1)
        return np.asarray(inside[rows, np.argmax(reached > ranks[:, None], axis=1)])


@dataclass(frozen=True)
class RestrictedMean:
    """
    Area under the Kaplan-Meier curve up to a horizon; each cluster is one waiting time.

    The same figure as :func:`wm_eval_ros.stats.survival.restricted_mean`.
    """

    #: time of the event or of censoring, and whether the event was seen, shape (C,)
    times: Floats
    observed: NDArray[np.bool_]
    horizon: float

    @property
    def clusters(self) -> int:
        """Return C."""
        return len(self.times)

    def of(self, weights: Floats) -> Floats:
        """Return the area for each row of weights."""
        at = np.unique(self.times[self.observed & (self.times < self.horizon)])
        events = weights @ ((self.times == at[:, None]) & self.observed).T.astype(float)
        at_risk = weights @ (self.times >= at[:, None]).T.astype(float)
        falls = np.where(at_risk > 0, events / np.maximum(at_risk, 1), 0.0)
        heights = np.cumprod(np.hstack([np.ones((len(weights), 1)), 1 - falls]), axis=1)
        widths = np.diff(np.concatenate([[0.0], at, [self.horizon]]))
        return np.asarray(np.einsum('rm,m->r', heights, widths))


def estimate(figure: Figure) -> float:
    """Return the figure with every cluster counted once; NaN where it is not defined."""
    return float(figure.of(np.ones((1, figure.clusters)))[0])


def difference(first: Figure, second: Figure, *, paired: bool, confidence: float = 0.95,
               seed: int = 0) -> Mean:
    """
    Difference first - second with a bootstrap over clusters.

    Paired clusters are drawn together, so that what both share cancels. The percentiles are
    widened as Hesterberg (The American Statistician 69, 2015) has it, without which intervals of
    few clusters are too narrow.

    :param paired: cluster c of both is one pair; needs equal numbers
    :param seed: of the generators made here; the same data gives the same interval
    :returns: NaN where a figure is not defined; no interval below LEAST_CLUSTERS clusters, where
        a figure is undefined in many resamples, or where all resamples agree: clusters without
        any spread (not one miss on either side) do not show that there is none
    :raises ValueError: paired, and the numbers of clusters differ
    """
    counts = first.clusters, second.clusters
    if paired and counts[0] != counts[1]:
        raise ValueError(f'{counts[0]} and {counts[1]} clusters cannot be paired')
    if min(counts) == 0:
        return Mean(math.nan)
    value = estimate(first) - estimate(second)
    if min(counts) < LEAST_CLUSTERS or not math.isfinite(value):
        return Mean(value)
    drawn = first.of(cluster_draws(counts[0], seed)) - second.of(
        cluster_draws(counts[1], seed if paired else seed + 1))
    known = drawn[np.isfinite(drawn)]
    if len(known) < (1 - _MOST_UNDEFINED) * len(drawn):
        return Mean(value)
    low, high = percentile_limits(known, confidence, min(counts))
    return Mean(value, low, high) if low < high else Mean(value)
