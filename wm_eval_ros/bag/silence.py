"""How long the disk has not answered, for a thread that does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
import time

#: who did not look for so long was held up itself, and the disk may be as well [ns]
LOOK_NS = 1_000_000_000


class Silence:
    """
    Time since the last answer; one thread waits and hears it, another one looks.

    The time in which that other one did not look either does not count: a process that was
    stopped knows nothing of the disk.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """
        Begin with an answer.

        :param clock: steady clock [ns]
        """
        self._clock = clock
        self._answered_ns = self._looked_ns = self._since_ns = clock()

    def answered(self) -> None:
        """Hear that the disk has done what it was asked."""
        self._answered_ns = self._clock()

    def look(self) -> int:
        """Return how long there was no answer [ns, steady]; to be called ten times a second."""
        now_ns = self._clock()
        if now_ns - self._looked_ns > LOOK_NS:
            self._since_ns = now_ns
        self._looked_ns = now_ns
        return now_ns - max(self._since_ns, self._answered_ns)
