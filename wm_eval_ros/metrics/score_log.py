"""Raw score streams of every slot."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.metrics.rows import one_a_slot, RowBuffer, Rows
from wm_eval_ros.records import CycleRecord

#: more streams than this are none of ours and not kept
MOST_STREAMS = 64


class ScoreLog:
    """The scores of each slot, by the number of streams that most slots have."""

    def __init__(self) -> None:
        self._buffers: dict[int, RowBuffer] = {}
        self._slots: dict[int, int] = {}
        self._rows: Rows | None = None

    def update(self, cycle: CycleRecord) -> None:
        """Take a cycle with scores in."""
        width = len(cycle.scores)
        if not 0 < width <= MOST_STREAMS:
            return
        if width not in self._buffers:
            self._buffers[width], self._slots[width] = RowBuffer(_layout(width)), 0
        row = np.zeros(1, _layout(width))
        row['slot'], row['scores'] = cycle.slot, cycle.scores
        self._buffers[width].append(row.tobytes())
        self._slots[width] += 1
        self._rows = None

    @property
    def width(self) -> int:
        """Return how many streams most slots have; 0 where none has any."""
        return min(self._slots, key=lambda width: (-self._slots[width], width), default=0)

    def column(self, stream: int) -> tuple[Ints, Floats]:
        """Return slots, ascending, and scores of one stream, shape (N,) each; NaN: none."""
        if self._rows is None:
            width = self.width
            rows = self._buffers[width].rows() if width else np.zeros(0, _layout(1))
            self._rows = one_a_slot(rows)[0]
        rows = self._rows
        return rows['slot'], rows['scores'][:, stream]


def _layout(width: int) -> np.dtype[np.void]:
    return np.dtype([('slot', '<i8'), ('scores', '<f8', (width,))])
