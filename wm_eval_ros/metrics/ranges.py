"""A set of whole numbers that come nearly in a row, kept as ranges."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import NO_SEQUENCE

Sequences = NDArray[np.uint64]

#: numbers gathered before they are sorted in, at least
_BATCH = 4096
_ONE = np.uint64(1)


class RangeSet:
    """
    Exact set of publication sequence numbers: 16 bytes a gap, whatever the count.

    It does not depend on the order in which numbers are added; NO_SEQUENCE is none.
    """

    def __init__(self) -> None:
        self._pending = array('Q')
        self._first = self._last = np.zeros(0, np.uint64)

    def add(self, number: int) -> None:
        """Take one number in."""
        if number != NO_SEQUENCE:
            self._pending.append(number)
            self._spill()

    def extend(self, numbers: Sequences) -> None:
        """Take many numbers in."""
        known = np.asarray(numbers, np.uint64)
        self._pending.frombytes(known[known != np.uint64(NO_SEQUENCE)].tobytes())
        self._spill()

    def ranges(self) -> tuple[Sequences, Sequences]:
        """Return first and last number of each range, ascending, shape (R,)."""
        if self._pending:
            self._merge()
        return self._first, self._last

    def within(self, first: Sequences, last: Sequences) -> int:
        """Return how many of the numbers lie in the given ranges, ends included, summed."""
        starts, ends = self.ranges()
        if len(starts) == 0:
            return 0
        before = np.concatenate([[0], np.cumsum(ends - starts + _ONE)]).astype(np.int64)
        return int(np.sum(_below(last + _ONE, starts, ends, before)
                          - _below(first, starts, ends, before)))

    def _spill(self) -> None:
        # as many as there are ranges: what sorting costs stays in proportion
        if len(self._pending) >= max(_BATCH, len(self._first)):
            self._merge()

    def _merge(self) -> None:
        numbers = np.unique(np.frombuffer(self._pending.tobytes(), np.uint64))
        self._pending = array('Q')
        first = np.concatenate([self._first, numbers])
        last = np.concatenate([self._last, numbers])
        ranks = np.argsort(first, kind='stable')
        first, last = first[ranks], np.maximum.accumulate(last[ranks])
        begins = np.ones(len(first), bool)
        begins[1:] = first[1:] > last[:-1] + _ONE
        at = np.flatnonzero(begins)
        self._first, self._last = first[at], last[np.append(at[1:] - 1, len(last) - 1)]


def _below(limit: Sequences, starts: Sequences, ends: Sequences,
           before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many numbers lie below each limit."""
    at = np.searchsorted(starts, limit) - 1
    inside = np.minimum(limit - _ONE, ends[at]) - starts[at] + _ONE
    return np.where(at >= 0, before[at] + inside.astype(np.int64), 0)
