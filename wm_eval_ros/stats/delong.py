"""Variance of the area under the ROC curve, also of samples that come in clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wm_eval_ros.stats.bootstrap import Grouping, grouping
from wm_eval_ros.stats.samples import Floats, same_length


class Blocks(NamedTuple):
    """Which cluster each sample of the two classes belongs to; clusters may hold both."""

    positive: Grouping
    negative: Grouping

    def independent_pairs(self) -> int:
        """Return how many (positive, negative) pairs can be drawn from disjoint clusters."""
        first, second = set(self.positive.cluster), set(self.negative.cluster)
        return min(len(first), len(second), len(first | second) // 2)


def blocks(m: int, n: int, groups: tuple[ArrayLike, ArrayLike] | None) -> Blocks:
    """
    Return the clusters of M positives and N negatives; without groups each is its own.

    :raises ValueError: labels that are not one a sample
    """
    if groups is None:
        whole = grouping(np.arange(m + n))
    else:
        labels = [np.asarray(one) for one in groups]
        same_length('groups of the positives', labels[0], np.empty(m))
        same_length('groups of the negatives', labels[1], np.empty(n))
        whole = grouping(np.concatenate(labels))
    return Blocks(Grouping(whole.cluster[:m], whole.count),
                  Grouping(whole.cluster[m:], whole.count))


def placements(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """
    Share of the other class that each sample beats, ties counted half.

    :returns: for each positive the share of negatives below it, shape (M,); for each negative the
        share of positives above it, shape (N,). Both average to the area under the ROC curve.
    """
    m, n = len(positive), len(negative)
    low, high = np.sort(negative), np.sort(positive)
    below = np.searchsorted(low, positive, 'left') + np.searchsorted(low, positive, 'right')
    not_above = np.searchsorted(high, negative, 'left') + np.searchsorted(high, negative, 'right')
    return below / (2 * n), 1 - not_above / (2 * m)


def area(positive: Floats, negative: Floats) -> float:
    """Area under the ROC curve by whole numbers: the same for samples in any order."""
    low = np.sort(negative)
    twice = np.searchsorted(low, positive, 'left') + np.searchsorted(low, positive, 'right')
    return int(twice.sum()) / (2 * len(positive) * len(negative))


def _spread(sums: Floats, members: int) -> float:
    """Return n / (n - 1) * sum of squares over the n clusters that hold members of the class."""
    return members / (members - 1) * float(np.sum(np.sort(sums**2)))


def area_variance(of_positive: Floats, of_negative: Floats, parts: Blocks) -> float | None:
    """
    Variance of an area, or of a difference of areas, from centred placements.

    Obuchowski, Biometrics 53 (1997), with sums over clusters; where each sample is its own cluster
    it is the variance of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).

    :param of_positive: placement less the area, shape (M,)
    :param of_negative: the same of the negatives, shape (N,)
    :returns: None where a class lies in a single cluster
    """
    first, second = parts.positive.sums(of_positive), parts.negative.sums(of_negative)
    members = [len(np.unique(one.cluster)) for one in parts]
    if min(members) < 2:
        return None
    shared = parts.positive.count / (parts.positive.count - 1)
    m, n = len(of_positive), len(of_negative)
    return (_spread(first, members[0]) / m**2 + _spread(second, members[1]) / n**2
            + 2 * shared * float(np.sum(np.sort(first * second))) / (m * n))
