"""Between the thread that receives and the one that writes: bounded by bytes, never blocking."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar('T')


class ByteQueue(Generic[T]):
    """
    First in, first out, up to so many bytes; what does not fit is refused at once.

    Part of the room is kept for what is vital: a flood of payload does not push it out.
    """

    def __init__(self, limit_bytes: int, reserved_share: float) -> None:
        """
        Begin empty.

        :param limit_bytes: room for everything together, > 0
        :param reserved_share: how much of it only what is vital may take, in [0, 1)
        """
        self._limit = limit_bytes
        self._common = round((1 - reserved_share) * limit_bytes)
        self._lock = Lock()
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """How much waits [bytes]."""
        return self._bytes

    def put(self, item: T, size: int, *, vital: bool = False) -> bool:
        """
        Take an item, or say that there is no room for it.

        :param size: of the item [bytes]
        :param vital: it may take the reserved room too
        """
        with self._lock:
            if self._bytes + size > (self._limit if vital else self._common):
                return False
            self._bytes += size
            self._items.append((item, size))
            return True

    def take(self, most: int) -> list[T]:
        """
        Return what waits, in order; its room is free again.

        :param most: no more is taken once it is this much [bytes]
        """
        taken: list[T] = []
        with self._lock:
            least = self._bytes - most
            while self._items and (self._bytes > least or not taken):
                item, size = self._items.popleft()
                self._bytes -= size
                taken.append(item)
        return taken
