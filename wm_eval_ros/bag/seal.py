"""What the audit trail does while a bag is written; it is the writer's guest, not its part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

#: name of the MCAP metadata records that a seal gives
RECORD = 'wm_eval_ros.audit'


class Seal(Protocol):
    """
    Follows a bag that is being written. All calls come from the one thread that writes.

    A call may raise OSError where a file of its own cannot be written: that ends the recording
    like a failure of the bag's disk.
    """

    def declare(self, topic: str, type_name: str, text: str) -> None:
        """Learn what the messages of a topic are, before the first of them."""
        ...

    def take(
        self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int,
    ) -> None:
        """Take one message as the file will hold it, in the order of the file."""
        ...

    def checkpoint(self) -> Mapping[str, str]:
        """Return what to write as metadata before the next fsync; empty: nothing."""
        ...

    def durable(self) -> None:
        """Hear that the last checkpoint, and every message before it, is on the disk."""
        ...

    def close(self) -> Mapping[str, str]:
        """Return the last word, written before the summary of the file; empty: nothing."""
        ...
