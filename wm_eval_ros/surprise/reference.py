"""What is known of nominal runs: where their latents lie, and how the model errs in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.stats.distance import shrunk_covariance, Singles, whitening
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.effect import Driven, Effect, fit_effect

#: latents kept to look for neighbours among, and entries of all of them together, at most: what
#: keeps the search below a tenth of a millisecond
MOST_NEIGHBOURS = 512
MOST_ENTRIES = 1 << 15
#: the distance is that to this nearest of them: the very nearest may be an odd one
NEIGHBOUR = 5
#: larger latents have no reference: its covariances would have more entries than samples
MOST_DIMENSIONS = 256
#: a spread below this, in units of the latent, is none
_STILL = 1e-6


@dataclass(frozen=True, slots=True)
class Cloud:
    """Mean and covariance of some vectors, made ready for Mahalanobis' distance."""

    #: shape (D,)
    mean: Floats
    #: W with W' W the inverse of the covariance, shape (D, D)
    whitening: Floats

    def distance(self, vector: Floats) -> float:
        """
        Return Mahalanobis' distance from the mean, per root of the dimension: about 1 within.

        :param vector: shape (D,)
        """
        with np.errstate(over='ignore', invalid='ignore'):
            turned = np.sum(self.whitening * (vector - self.mean), axis=1)
            return float(np.sqrt(np.mean(turned * turned)))


@dataclass(frozen=True, slots=True)
class Reference:
    """The nominal latents and one-step errors that new ones are held against."""

    latents: Cloud
    residuals: Cloud
    #: running means of the errors in predicted spreads
    biases: Cloud
    #: some of the latents, shape (N, D)
    neighbours: Singles
    #: what commands do; None: not known
    effect: Effect | None = None

    def nearest(self, latent: Singles) -> float:
        """Return the root mean square distance to the NEIGHBOUR-th nearest nominal latent."""
        with np.errstate(over='ignore', invalid='ignore'):
            gap = self.neighbours.astype(np.float64) - latent
            squares = np.mean(gap * gap, axis=1)
        if not np.isfinite(squares).all():
            return float('inf')
        at = min(NEIGHBOUR, len(squares)) - 1
        return float(np.sqrt(np.partition(squares, at)[at]))


def fit_cloud(vectors: Floats) -> Cloud:
    """
    Fit a mean and a shrunk covariance.

    Each entry is scaled to its own spread first, so that the shrinkage is towards uncorrelated
    entries and not towards equal ones; an entry that never varied keeps its unit.

    :param vectors: shape (N, D), N >= 2
    """
    scale = vectors.std(axis=0)
    scale = np.where(scale > _STILL, scale, 1.0)
    mean, covariance, _ = shrunk_covariance(vectors / scale)
    return Cloud(mean * scale, whitening(covariance) / scale)


def fit_reference(latents: Singles, residuals: Singles, biases: Floats,
                  driven: Sequence[Driven] = ()) -> Reference:
    """
    Fit what nominal runs look like.

    :param latents: of the slots of nominal episodes, in order, shape (N, D), N >= 2
    :param residuals: latent less the one foreseen a slot earlier, shape (M, D), M >= 2
    :param biases: their running means in predicted spreads, shape (M, D)
    :param driven: the errors by the commands that they followed
    """
    size = latents.shape[1]
    keep = max(NEIGHBOUR, min(len(latents), MOST_NEIGHBOURS, MOST_ENTRIES // size))
    picked = np.unique(np.linspace(0, len(latents) - 1, keep).round().astype(np.int64))
    return Reference(fit_cloud(latents.astype(np.float64)),
                     fit_cloud(residuals.astype(np.float64)), fit_cloud(biases),
                     latents[picked], fit_effect(driven))
