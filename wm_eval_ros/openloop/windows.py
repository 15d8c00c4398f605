"""Windows of past and future on the grid, and why some are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.reasons import among, Codes, counts, mark, Reason

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Every window of one length: the grid point it forecasts from, and why it is masked."""

    history: int
    steps: int
    #: last grid point of the past, ascending, shape (N,)
    at: Index
    #: flags of :class:`Reason` of anything the window needs, shape (N,)
    codes: Codes

    @property
    def whole(self) -> Index:
        """Return the windows without any reason against them."""
        return np.asarray(self.at[self.codes == 0])

    def between(self, first: int, last: int) -> Windows:
        """Return the windows whose samples all lie within grid points first to last - 1."""
        kept = (self.at - self.history + 1 >= first) & (self.at + self.steps < last)
        return Windows(self.history, self.steps, self.at[kept], self.codes[kept])

    def only_whole(self) -> Windows:
        """Return the windows without any reason against them."""
        return Windows(self.history, self.steps, self.whole, np.zeros(len(self.whole), np.uint8))

    def thinned(self, most: int) -> Windows:
        """Return at most so many of the windows, evenly spread."""
        kept = np.unique(np.linspace(0, len(self.at) - 1, min(most, len(self.at))).astype(int))
        return Windows(self.history, self.steps, self.at[kept], self.codes[kept])

    def apart(self, rows: Index) -> NDArray[np.bool_]:
        """
        Say which windows share no grid point with a stretch of them.

        :param rows: ascending row numbers; what lies between the first and the last counts as well
        :returns: shape (N,)
        """
        if not len(rows):
            return np.ones(len(self.at), dtype=bool)
        first = self.at[rows[0]] - self.history + 1
        last = self.at[rows[-1]] + self.steps
        return np.asarray((self.at + self.steps < first) | (self.at - self.history + 1 > last))

    def masked(self) -> dict[Reason, int]:
        """Count the masked windows by reason; one with two reasons counts under both."""
        return counts(self.codes)


def windows(grid: Grid, history: int, steps: int) -> Windows:
    """
    Lay out all windows of a grid.

    A window needs the known state of its past, the command from the first of the past to the
    last step ahead, and the true state at its end.

    :param history: samples of the past, the point itself included
    :param steps: samples of the future
    """
    count = max(0, len(grid) - history - steps + 1)
    first = np.arange(count, dtype=np.int64)
    past = _over(grid.state_codes, first, history)
    sent = _over(grid.command_codes, first, history + steps - 1)
    truth = grid.truth_codes[first + history + steps - 1]
    return Windows(history, steps, first + history - 1, past | sent | truth)


def _over(codes: Codes, first: Index, length: int) -> Codes:
    """Unite the flags of `length` grid points from each first one on."""
    found = np.zeros(len(first), dtype=np.uint8)
    for reason in counts(codes):
        before = np.concatenate([[0], np.cumsum(among(codes, reason) != 0)])
        mark(found, before[first + length] > before[first], reason)
    return found
