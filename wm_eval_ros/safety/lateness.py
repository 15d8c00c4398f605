"""How late a command comes whose stamp is of a clock that nobody here knows."""

from __future__ import annotations

#: most that two clocks part from each other [s a second]
_FASTEST = 1e-3


class Lateness:
    """
    Tells how much later commands come than the earliest one of the episode, by their stamps.

    How far the clock of the stamps is from any of this host, and what every command takes at
    least, is not told and does not matter: what passed between two arrivals on the steady clock is
    held against what passed between their stamps. A clock that is set meanwhile makes commands
    late, or hides that they are, until the next episode.
    """

    def __init__(self) -> None:
        """Begin without an episode."""
        self.begin()

    def begin(self) -> None:
        """Forget the clock: an episode begins."""
        self._first: tuple[int, int] | None = None
        self._last_ns = 0
        #: lateness of the earliest, against the first [ns]
        self._least_ns = 0.0

    def of(self, stamp_ns: int, now_ns: int) -> int:
        """
        Return how much later a command came than the earliest so far; 0: none came earlier [ns].

        :param stamp_ns: its stamp [ns, a clock of its sender's]
        :param now_ns: its arrival [ns, steady]
        """
        if self._first is None:
            self._first, self._last_ns = (stamp_ns, now_ns), now_ns
        first_stamp_ns, first_ns = self._first
        late_ns = (now_ns - first_ns) - (stamp_ns - first_stamp_ns)
        # the earliest was that early on a clock which may have parted from this one since
        least_ns = self._least_ns + _FASTEST * (now_ns - self._last_ns)
        self._last_ns, self._least_ns = now_ns, min(least_ns, late_ns)
        return max(0, round(late_ns - least_ns))
