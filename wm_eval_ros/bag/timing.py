"""What the times of a topic tell: rate, gaps, order, clock offset, lost and repeated messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

#: a gap is longer than this many median intervals
GAP_FACTOR = 5.0
#: and at least this long [ns]
GAP_MIN_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence of a topic."""

    #: last message before it [ns]
    start_ns: int
    duration_ns: int


def median_interval_ns(times_ns: Times) -> int | None:
    """Return the median interval of ascending times [ns]; None for fewer than two."""
    return int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else None


def gaps(times_ns: Times, *, factor: float = GAP_FACTOR, least_ns: int = GAP_MIN_NS) -> list[Gap]:
    """
    Return the silences of a topic, longest first.

    :param times_ns: ascending times [ns], shape (N,)
    :param factor: a gap is longer than this many median intervals
    :param least_ns: and at least this long [ns]
    """
    interval = median_interval_ns(times_ns)
    if interval is None:
        return []
    steps = np.diff(times_ns)
    where = np.flatnonzero((steps > factor * interval) & (steps >= least_ns))
    found = [Gap(int(times_ns[i]), int(steps[i])) for i in where]
    return sorted(found, key=lambda gap: -gap.duration_ns)


def steps_back(times_ns: Times) -> int:
    """
    Count times that are earlier than one before them.

    >>> steps_back(np.array([1, 3, 2, 2, 4]))
    2
    """
    return int(np.sum(times_ns < np.maximum.accumulate(times_ns))) if len(times_ns) else 0


def offset_ns(stamps_ns: Times, log_ns: Times) -> int | None:
    """
    Return the median of header stamp minus log time [ns]: clock offset less transport.

    Zero stamps say nothing and are left out; None where no other is there.
    """
    valid = stamps_ns != 0
    if not valid.any():
        return None
    return int(np.median(stamps_ns[valid] - log_ns[valid]))


def lost(sequences: NDArray[np.uint64]) -> int:
    """
    Count the numbers missing between publication sequence numbers.

    A number below the one before it begins a new writer and misses nothing.

    >>> lost(np.array([1, 2, 5, 6, 1, 2], dtype=np.uint64))
    2
    """
    steps = np.diff(sequences.astype(np.int64))
    return int(np.sum(steps[steps > 1] - 1))


def repeats(sums: NDArray[np.uint32]) -> int:
    """Count messages whose checksum equals that of the message before."""
    return int(np.sum(sums[1:] == sums[:-1]))
