"""What every function here asks of its samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranked(samples: ArrayLike, what: str) -> Floats:
    """
    Return samples that can be ranked: a flat array, infinite values allowed.

    :param what: name of the samples, for the message
    :raises ValueError: NaN among them, or more than one dimension
    """
    found = np.asarray(samples, dtype=float)
    if found.ndim != 1:
        raise ValueError(f'{what}: shape {found.shape}, needs one dimension')
    if np.isnan(found).any():
        raise ValueError(f'{what}: {int(np.isnan(found).sum())} of {found.size} are NaN')
    return found


def finite(samples: ArrayLike, what: str) -> Floats:
    """
    Return finite samples of any shape.

    :param what: name of the samples, for the message
    :raises ValueError: NaN or infinite values among them
    """
    found = np.asarray(samples, dtype=float)
    bad = int(found.size - np.isfinite(found).sum())
    if bad:
        raise ValueError(f'{what}: {bad} of {found.size} are not finite')
    return found


def same_length(what: str, *samples: NDArray[np.generic]) -> int:
    """
    Return the common length of several samples.

    :raises ValueError: their lengths differ
    """
    lengths = [len(one) for one in samples]
    if len(set(lengths)) > 1:
        raise ValueError(f'{what}: lengths {lengths} differ')
    return lengths[0]
