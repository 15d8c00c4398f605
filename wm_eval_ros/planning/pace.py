"""The budget of a decision: another iteration only if it would end by the deadline."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """
    Counts the iterations of a decision, and takes the longest so far for the next.

    :param clock: the time the deadline is on [ns]; read now, and as each iteration ends
    """

    def __init__(self, clock: Callable[[], int], deadline_ns: int) -> None:
        self._clock, self._deadline_ns = clock, deadline_ns
        self._begun, self._longest = clock(), 0
        #: that ended
        self.iterations = 0

    def fits_another(self) -> bool:
        """End an iteration; say whether another as long as the longest would end in time."""
        now = self._clock()
        self._longest = max(self._longest, now - self._begun)
        self._begun = now
        self.iterations += 1
        return now + self._longest <= self._deadline_ns
