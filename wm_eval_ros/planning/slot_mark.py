"""The last slot a planner took and where its episode began, in a file that outlives it."""

from __future__ import annotations

from dataclasses import dataclass
import mmap
from pathlib import Path
import struct

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.schedule import Slot

_FORMAT = struct.Struct('<qqqqq')
_NONE = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a planner was when it died."""

    slot: Slot
    episode: int
    #: number of the first slot of the episode that has a record; None: none has
    first: int | None = None


class SlotMark:
    """
    A shared page of memory with a file behind it: quick to write, and SIGKILL loses nothing.

    A planner that is started again goes on counting where its predecessor died, so that no slot
    number is used twice and the slots in between are seen to be missed.
    """

    def __init__(self, path: Path) -> None:
        """
        Open the file, or make it.

        :raises ConfigError: it cannot be opened
        """
        try:
            with path.open('a+b') as file:
                file.truncate(_FORMAT.size)
                self._page = mmap.mmap(file.fileno(), _FORMAT.size)
        except OSError as error:
            raise ConfigError(f'{path}: cannot be opened ({error.strerror})') from None

    def read(self) -> Mark | None:
        """Return the last slot taken; None: none was."""
        # number, due time, episode and first slot, then a one that says that there is any
        number, due_ns, episode, first, any_ = _FORMAT.unpack(self._page[:])
        if not any_:
            return None
        return Mark(Slot(number, due_ns), episode, None if first == _NONE else first)

    def taken(self, slot: Slot, episode: int) -> None:
        """Remember a slot; a slot that its process dies in the middle of counts as taken."""
        before = self.read()
        going_on = before is not None and before.episode == episode
        self._write(Mark(slot, episode, before.first if before and going_on else None))

    def recorded(self, number: int, episode: int) -> None:
        """Remember the first slot of an episode that there is a record of."""
        mark = self.read()
        if mark is not None and mark.episode == episode and mark.first is None:
            self._write(Mark(mark.slot, episode, number))

    def _write(self, mark: Mark) -> None:
        first = _NONE if mark.first is None else mark.first
        self._page[:] = _FORMAT.pack(mark.slot.number, mark.slot.due_ns, mark.episode, first, 1)
