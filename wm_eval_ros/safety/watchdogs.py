"""The three watchdogs of a silent planner, and when each of them barked."""

from __future__ import annotations

#: a DDS deadline that is missed this much before its time is one of the time before the episode
_EARLY = 0.8


class Watchdogs:
    """DDS deadline, DDS liveliness and command age, each with its time since the last command."""

    def __init__(self, deadline_ns: int) -> None:
        """
        Watch nothing yet.

        :param deadline_ns: the DDS deadline asked of the planner [ns]
        """
        self._deadline_ns = deadline_ns
        self._heard_ns = 0
        self._barked: dict[str, int] = {}
        self._report = ''

    def begin(self, now_ns: int) -> None:
        """Begin an episode [ns, steady]."""
        self._heard_ns, self._barked, self._report = now_ns, {}, ''

    def heard(self, now_ns: int) -> None:
        """Note that a command came [ns, steady]."""
        self._heard_ns = now_ns
        if self._barked:
            self._report, self._barked = self.told(), {}

    def report(self) -> str:
        """Return what was told of the last silence that is over, once; empty: there was none."""
        report, self._report = self._report, ''
        return report

    def bark(self, name: str, now_ns: int) -> int:
        """Note a watchdog; return the silence [ns]. The first time of each stands."""
        return self._barked.setdefault(name, now_ns - self._heard_ns)

    def is_deadline(self, now_ns: int) -> bool:
        """Say whether a deadline event is of this silence: events come late, and go on coming."""
        return now_ns - self._heard_ns >= _EARLY * self._deadline_ns

    def told(self) -> str:
        """Return which barked, in their order, and after which silence; empty: none."""
        times = sorted((ns, name) for name, ns in self._barked.items())
        return ', '.join(f'{name} after {ns / 1e6:.0f} ms' for ns, name in times)
