"""Messages that are held back: in the order they are due, bounded by their size."""

from __future__ import annotations

from collections.abc import Iterator
import heapq
import itertools
from typing import Generic, TypeVar

T = TypeVar('T')


class Held(Generic[T]):
    """A queue by due time; what is due at the same time leaves in the order it came."""

    def __init__(self, most_bytes: int) -> None:
        """
        Make an empty queue.

        :param most_bytes: size of all that is held; what would go beyond is not taken
        """
        self._most = most_bytes
        self._waiting: list[tuple[int, int, int, T]] = []
        self._count = itertools.count()
        self._bytes = 0
        #: how many were not taken since the last look
        self.refused = 0

    def put(self, due_ns: int, size: int, item: T) -> None:
        """Take an item of this size [bytes], or count it as refused."""
        if self._bytes + size > self._most:
            self.refused += 1
            return
        self._bytes += size
        heapq.heappush(self._waiting, (due_ns, next(self._count), size, item))

    @property
    def next_ns(self) -> int | None:
        """When the next item is due [ns], None without one."""
        return self._waiting[0][0] if self._waiting else None

    def due(self, now_ns: int) -> Iterator[T]:
        """Yield and forget what is due by now."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, size, item = heapq.heappop(self._waiting)
            self._bytes -= size
            yield item

    def clear(self) -> None:
        """Forget everything; it never leaves."""
        self._waiting.clear()
        self._bytes = 0
