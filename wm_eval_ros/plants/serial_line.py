"""A serial line and a crystal: what lies between a host's clock and a micro-controller's."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from wm_eval_ros.wire.serial_frames import END, line_ns


class Line:
    """
    One way of a line: a byte comes out when its last bit has passed, one after the other.

    :param baud: bits a second, ten of them a byte
    """

    def __init__(self, baud: int) -> None:
        self._byte_ns = line_ns(1, baud)
        self._free_ns = 0
        self._waiting: deque[tuple[int, int]] = deque()

    def add(self, now_ns: int, data: bytes) -> None:
        """Let bytes in; they follow those that are still on their way."""
        for byte in data:
            self._free_ns = max(self._free_ns, now_ns) + self._byte_ns
            self._waiting.append((self._free_ns, byte))

    def due(self, now_ns: int) -> bytes:
        """Take out what has passed."""
        found = bytearray()
        while self._waiting and self._waiting[0][0] <= now_ns:
            found.append(self._waiting.popleft()[1])
        return bytes(found)

    @property
    def due_ns(self) -> int | None:
        """Return when the next frame has passed, or else all; None: nothing is on its way."""
        if not self._waiting:
            return None
        return next((at for at, byte in self._waiting if byte == END[0]), self._waiting[-1][0])


@dataclass(frozen=True)
class Crystal:
    """A clock of its own, which is off and runs at a rate of its own."""

    begun_ns: int
    #: what it shows when the other shows begun_ns [us]
    begun_us: int
    #: how much faster it runs, in millionths
    ppm: float

    def us(self, now_ns: int) -> int:
        """Return what it shows [us] when the other shows a time [ns]."""
        passed_ns = now_ns - self.begun_ns
        return self.begun_us + (passed_ns + round(passed_ns * self.ppm * 1e-6)) // 1000

    def ns(self, shown_us: int) -> int:
        """Return what the other shows [ns] once this one shows a time [us]."""
        passed_ns = (shown_us - self.begun_us) * 1000
        return self.begun_ns + round(passed_ns / (1.0 + self.ppm * 1e-6))
