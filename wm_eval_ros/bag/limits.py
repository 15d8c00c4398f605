"""What a recording may take of memory and disk, and when it gives up."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path

#: between two waits for the disk [ns, steady]; with the pause and the wait it stays below 1 s
SYNC_NS = 500_000_000
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recording may take, and when it gives up."""

    #: room for messages that wait to be written [bytes]
    queue_bytes: int = 128 << 20
    #: the recording fails with less free space than the larger of both: [bytes] and share
    free_bytes: int = GIB
    free_share: float = 0.02
    #: between two waits for the disk [ns, steady]
    sync_ns: int = SYNC_NS
    #: the recording fails when the disk has not taken anything for so long [ns, steady]
    stall_ns: int = 10_000_000_000

    def space(self, folder: Path) -> tuple[int, int]:
        """
        Return how much is free, and how much must be [bytes].

        :raises OSError: the file system does not say
        """
        found = os.statvfs(folder)
        least = max(self.free_bytes, round(self.free_share * found.f_frsize * found.f_blocks))
        return found.f_frsize * found.f_bavail, least
