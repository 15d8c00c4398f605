"""The cross-entropy method for the cheapest point that meets a condition; free of ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.perturb.protocol import Floats

#: points of a generation, and how many of all the distribution is refitted to
POPULATION, ELITES = 6, 3
#: share of the old distribution kept at each refit
_SMOOTHING = 0.2
#: the refitted standard deviation never shrinks below this, of an edge of the cube
_FLOOR = 0.03


@dataclass(frozen=True, slots=True)
class Judged:
    """A point of the unit cube, and what was found there."""

    point: Floats
    #: what is to be small
    cost: float
    #: how far the condition is missed; 0: it is met
    violation: float

    @property
    def rank(self) -> tuple[float, float]:
        """
        Sort key: what meets the condition first, the cheapest of it first.

        Where it is missed, the nearest comes first, and of equally near ones the dearest: it is
        the stronger one, and so nearer to what does meet it (Deb 2000, but for this last rule).
        """
        return (0.0, self.cost) if self.violation <= 0.0 else (self.violation, -self.cost)


def generations(
    rng: np.random.Generator, strongest: Floats, judge: Callable[[list[Floats]], list[Judged]],
    budget: int,
) -> Iterator[list[Judged]]:
    """
    Search; yields what each generation found.

    The first point is the strongest: where that does not meet the condition, hardly anything
    will. The rest of the first generation is spread over the cube (Latin hypercube), the later
    ones are drawn from a Gaussian fitted to the best of all so far (Rubinstein 1999), reflected
    into the cube.

    :param strongest: corner of the cube, shape (D,)
    :param judge: judges points, in order
    :param budget: points judged at most
    """
    size = len(strongest)
    points = [strongest, *_spread(rng, min(POPULATION, budget) - 1, size)]
    mean, deviation = np.full(size, 0.5), np.full(size, 0.3)
    archive: list[Judged] = []
    while points:
        found = judge(points)
        yield found
        archive += found
        elites = np.stack([j.point for j in _elites(archive)])                  # (E, D)
        mean = _SMOOTHING * mean + (1.0 - _SMOOTHING) * elites.mean(0)
        deviation = np.maximum(
            _FLOOR, _SMOOTHING * deviation + (1.0 - _SMOOTHING) * elites.std(0))
        budget -= len(points)
        points = [_reflected(mean + deviation * rng.standard_normal(size))
                  for _ in range(min(POPULATION, budget))]


def _elites(archive: list[Judged]) -> list[Judged]:
    """
    Return what the distribution is refitted to.

    Where all of the best meet the condition, the nearest that does not is one of them: between
    both lies the edge, and their distance is a measure of how well it is known.
    """
    ranked = sorted(archive, key=lambda j: j.rank)
    best = ranked[:ELITES]
    beyond = [j for j in ranked[ELITES:] if j.violation > 0.0]
    return [*best, *beyond[:1]] if best[-1].violation <= 0.0 else best


def _spread(rng: np.random.Generator, count: int, size: int) -> list[Floats]:
    """Return points of which each has a share of every axis to itself."""
    if count <= 0:
        return []
    cells = np.stack([rng.permutation(count) for _ in range(size)], axis=1)     # (N, D)
    return list((cells + rng.random((count, size))) / count)


def _reflected(point: Floats) -> Floats:
    """Fold a point at the faces of the unit cube."""
    return np.asarray(1.0 - np.abs(1.0 - np.mod(np.abs(point), 2.0)))
