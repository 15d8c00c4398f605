"""Whether the planner could read what it was to look at: what cannot be read is no calm."""

from __future__ import annotations

from collections import deque
import math

from wm_eval_ros.records import CycleRecord, CycleStatus

#: an observation that never came or came late is unreadable once so many of the episode's last
#: SLOTS slots have none: a single late message is nothing, a stream that keeps only every second
#: slot is gone
MISSED = 5
SLOTS = 10
_MISSING = frozenset({CycleStatus.NO_INPUT, CycleStatus.STALE_INPUT})


class Unreadable:
    """
    A fold over the slots of one episode: in which of them the observation cannot be read.

    That is at once where it holds a value that is no number, which no sensor sends that works; and
    where slots without a usable input, NO_INPUT or STALE_INPUT, are MISSED of the last SLOTS ones.
    It is asked whoever drives: the planner could not take over.
    """

    def __init__(self) -> None:
        """Begin before the first slot."""
        self._missing: deque[bool] = deque(maxlen=SLOTS)

    def begin(self) -> None:
        """Forget the slots so far."""
        self._missing.clear()

    def update(self, cycle: CycleRecord) -> bool:
        """Take the next slot in; say whether it cannot be read."""
        self._missing.append(cycle.status in _MISSING)
        broken = not all(map(math.isfinite, cycle.observation))
        return broken or sum(self._missing) >= MISSED
