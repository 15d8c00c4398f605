"""The last slot a planner took, in a file that outlives its process."""

from __future__ import annotations

from dataclasses import dataclass
import mmap
from pathlib import Path
import struct

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.schedule import Slot

_FORMAT = struct.Struct('<qqqq')


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a planner was when it died."""

    slot: Slot
    episode: int


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
        # number, due time and episode, then a one that says that there is any
        number, due_ns, episode, any_ = _FORMAT.unpack(self._page[:])
        return Mark(Slot(number, due_ns), episode) if any_ else None

    def write(self, slot: Slot, episode: int) -> None:
        """Remember a slot; a slot that its process dies in the middle of counts as taken."""
        self._page[:] = _FORMAT.pack(slot.number, slot.due_ns, episode, 1)
