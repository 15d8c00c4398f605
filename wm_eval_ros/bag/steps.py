"""When one clock stepped against another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: the difference of two clocks is looked at once in this time [ns]
BLOCK_NS = 1_000_000_000
#: a new difference must hold for so many of these before it is a step
_CONFIRM = 3
#: so many steps are kept: a clock that is set more often is not one
_MOST = 20


class Step(NamedTuple):
    """One clock was set against the other."""

    #: first message after it, within one block [ns, system]
    at_ns: int
    #: what the difference rose by [ns]
    size_ns: int


class Steps:
    """
    Fold of the difference of two clocks over time.

    A message that is late makes the difference of stamp and arrival smaller, never larger: the
    largest of each second is the one that waited least, and delays do not look like steps.

    :param least_ns: a step is larger than this [ns]
    """

    def __init__(self, least_ns: int) -> None:
        self.found: list[Step] = []
        self._least_ns = least_ns
        self._level: int | None = None
        #: difference, time and blocks of what may turn out to be a step
        self._pending: tuple[int, int, int] | None = None
        #: number, first time and largest difference of the block that is still open
        self._open: tuple[int, int, int] | None = None

    def add(self, times_ns: Ints, differences_ns: Ints) -> None:
        """
        Take differences in.

        :param times_ns: when they were seen, ascending [ns, system], shape (N,)
        :param differences_ns: one clock less the other [ns], shape (N,)
        """
        if len(times_ns) == 0:
            return
        numbers = times_ns // BLOCK_NS
        edges = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
        largest = np.maximum.reduceat(differences_ns, edges)
        for at_ns, difference_ns in zip(times_ns[edges].tolist(), largest.tolist(), strict=True):
            self.add_one(at_ns, difference_ns)

    def add_one(self, at_ns: int, difference_ns: int) -> None:
        """Take one difference in."""
        number = at_ns // BLOCK_NS
        if self._open is not None:
            before, first_ns, largest_ns = self._open
            if before == number:
                self._open = (number, first_ns, max(largest_ns, difference_ns))
                return
            self._close(first_ns, largest_ns)
        self._open = (number, at_ns, difference_ns)

    def _close(self, at_ns: int, difference_ns: int) -> None:
        if self._level is None or abs(difference_ns - self._level) <= self._least_ns:
            self._level, self._pending = difference_ns, None
        elif self._pending is None or (
                abs(difference_ns - self._pending[0]) > self._least_ns // 2):
            self._pending = (difference_ns, at_ns, 1)
        else:
            first, since_ns, count = self._pending
            self._pending = (first, since_ns, count + 1)
            if count + 1 >= _CONFIRM:
                if len(self.found) < _MOST:
                    self.found.append(Step(since_ns, difference_ns - self._level))
                self._level, self._pending = difference_ns, None
