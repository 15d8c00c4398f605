"""What a gap is, the interval it is measured by, and how far two clocks are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

#: a gap is longer than this many median intervals
GAP_FACTOR = 5.0
#: and at least this long [ns]
GAP_MIN_NS = 100_000_000


def median_interval_ns(times_ns: Times) -> int | None:
    """Return the median interval of ascending times [ns]; None for fewer than two."""
    return int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else None


def increments(values: Times, before: int) -> Times:
    """
    Return how much each value is above the one before it, shape (N,).

    :param before: the value before the first

    >>> increments(np.array([3, 7, 6]), 1).tolist()
    [2, 4, -1]
    """
    found = np.empty_like(values)
    found[:1] = values[:1] - before
    np.subtract(values[1:], values[:-1], out=found[1:])
    return found


def offset_ns(stamps_ns: Times, log_ns: Times) -> int | None:
    """
    Return the median of header stamp minus log time [ns]: clock offset less transport.

    Zero stamps say nothing and are left out; None where no other is there.
    """
    valid = stamps_ns != 0
    if not valid.any():
        return None
    return int(np.median(stamps_ns[valid] - log_ns[valid]))
