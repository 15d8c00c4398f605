"""Events of refused commands: few, and their values still add up to the number of refusals."""

from __future__ import annotations

from collections.abc import Iterator

from wm_eval_ros.safety.limits import Fault, Refusal


class RefusalLog:
    """Throttles refusals to one event a fault and interval; every event says how many it tells."""

    def __init__(self, every_ns: int) -> None:
        """
        Note nothing yet.

        :param every_ns: least time between two events of one fault [ns]
        """
        self._every_ns = every_ns
        self._told_ns: dict[Fault, int] = {}
        self._pending: dict[Fault, tuple[str, int]] = {}

    def add(self, refusal: Refusal) -> None:
        """Count one refusal; the newest reason of a fault stands."""
        _, count = self._pending.get(refusal.fault, ('', 0))
        self._pending[refusal.fault] = refusal.reason, count + 1

    def due(self, now_ns: int, *, rest: bool = False) -> Iterator[tuple[str, int]]:
        """
        Yield label and number of refusals of every event to be written now.

        :param rest: write what is left, however recent the last event
        """
        for fault in list(self._pending):
            told_ns = self._told_ns.get(fault)
            if rest or told_ns is None or now_ns - told_ns >= self._every_ns:
                self._told_ns[fault] = now_ns
                reason, count = self._pending.pop(fault)
                yield f'{fault}: {reason}', count
