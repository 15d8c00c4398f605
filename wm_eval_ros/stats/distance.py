"""Distances between vectors, summed in one order on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.stats.dense import product, symmetric_eigen
from wm_eval_ros.stats.samples import Floats

Singles = NDArray[np.float32]


def squared_error(predicted: Singles, seen: Singles) -> Floats:
    """
    Mean squared error over the latent's dimensions.

    :param predicted: shape (..., D)
    :param seen: of the same shape
    :returns: ||z - zhat||^2 / d, shape (...); not finite where an entry is not

    >>> squared_error(np.array([[1, 2]], np.float32), np.array([[1, 4]], np.float32)).tolist()
    [2.0]
    """
    with np.errstate(over='ignore', invalid='ignore'):
        gap = predicted.astype(np.float64) - seen
        return np.asarray(np.mean(gap * gap, axis=-1))


def shrunk_covariance(samples: Floats) -> tuple[Floats, Floats, float]:
    """
    Estimate a covariance that can be inverted, however few the samples.

    A mix of the sample covariance and a multiple of the identity; the mix that is nearest to the
    true covariance, as far as the samples tell (Ledoit and Wolf, A well-conditioned estimator for
    large-dimensional covariance matrices, J. Multivariate Analysis 88, 2004, section 3.2).

    :param samples: shape (N, D), N >= 2
    :returns: mean (D,), covariance (D, D), and the weight of the identity in [0, 1]

    >>> mean, covariance, weight = shrunk_covariance(np.array([[0., 0.], [2., 2.], [2., 0.],
    ...                                                        [0., 2.]]))
    >>> mean.tolist(), covariance.tolist(), weight
    ([1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]], 0.0)
    """
    n, size = samples.shape
    mean = samples.mean(axis=0)
    centred = samples - mean
    found = product(centred.T, centred) / n
    level = float(np.trace(found)) / size
    target = level * np.eye(size)
    spread = float(np.sum((found - target)**2)) / size
    fourth = float(np.sum(np.sum(centred**2, axis=1)**2))
    # b^2: mean over the samples of ||x x' - S||^2, divided by n once more
    noise = (fourth / n - float(np.sum(found**2))) / (n * size)
    weight = 0.0 if spread <= 0 else min(1.0, max(0.0, noise) / spread)
    return mean, weight * target + (1 - weight) * found, weight


def whitening(covariance: Floats) -> Floats:
    """
    Return W with W' W the inverse of a covariance: ||W (x - m)|| is Mahalanobis' distance.

    Directions that never varied count as if they had varied by the rounding of the others: what
    moves along them is far away, and still a number.

    :param covariance: symmetric, shape (D, D)
    :returns: shape (D, D)
    """
    values, vectors = symmetric_eigen(covariance)
    floor = max(float(values.max(initial=0.0)) * len(values) * np.finfo(np.float32).eps,
                np.finfo(np.float32).tiny)
    return np.asarray((vectors / np.sqrt(np.maximum(values, floor))).T)
