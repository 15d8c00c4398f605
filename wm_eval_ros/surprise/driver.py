"""Who drove in the episodes of a record, and what could not be read before somebody else did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.records import CycleRecord, EpisodeEvent, Mode, TAKEN_OVER
from wm_eval_ros.surprise.unreadable import Unreadable

#: modes of a slot up to which another command was in force; in SHADOW the planner never drives, in
#: any run of such a scope
_FOREIGN = frozenset({Mode.FALLBACK, Mode.HOLD})


class Drivers:
    """
    A fold over a record: the episodes in which somebody else than the planner drove.

    That is told by an event; and, where somebody had taken over before the episode, by slots of
    such a mode for as long in a row as a hand-over lasts at least. Fewer are commands that the
    planner heard late.
    """

    def __init__(self) -> None:
        """Begin before the first record."""
        #: when somebody else first drove in an episode [ns, ROS]
        self.taken_over: dict[int, int] = {}
        self._unread: dict[int, int] = {}
        self._readable = Unreadable()
        self._row = 0
        self._least_ns = round(SupervisorSettings.clear_ms * 1e6)

    def told(self, settings: Mapping[str, Any]) -> None:
        """Take in the settings of the run, plain, by section."""
        clear_ms = settings.get('supervisor', {}).get('clear_ms', SupervisorSettings.clear_ms)
        self._least_ns = max(1, round(clear_ms * 1e6))

    def event(self, event: EpisodeEvent) -> None:
        """Take the next event in."""
        if event.kind in TAKEN_OVER:
            _earliest(self.taken_over, event)

    def slot(self, cycle: CycleRecord, *, begins: bool) -> None:
        """
        Take the next slot in.

        :param begins: it is the first of its episode, up to which nobody drove
        """
        if begins:
            self._readable.begin()
        self._row = self._row + 1 if cycle.mode in _FOREIGN and not begins else 0
        if self._row * cycle.period_ns >= self._least_ns:
            _earliest(self.taken_over, cycle)
        if self._readable.update(cycle):
            _earliest(self._unread, cycle)

    @property
    def cut(self) -> int:
        """Number of episodes taken over after a slot that could not be read: by an alarm, live."""
        return sum(at <= self.taken_over.get(e, -1) for e, at in self._unread.items())


def _earliest(found: dict[int, int], record: CycleRecord | EpisodeEvent) -> None:
    found[record.episode] = min(record.stamp_ns, found.get(record.episode, record.stamp_ns))
