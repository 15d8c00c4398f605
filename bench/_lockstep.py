"""Speed of a lockstep run from its bag and the wall times of its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wm_eval_ros.records import CycleRecord, CycleStatus, TERMINAL

_ENDS = {kind.name for kind in TERMINAL}


class EpisodeClock:
    """Notes at which wall time each episode began and ended, and how much task time passed."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        #: task time [s] and wall time [s] of every ended episode
        self.spans: list[tuple[float, float]] = []

    def tell(self, said: dict[str, Any], now_s: float) -> None:
        """Take one line of the plant in."""
        episode, kind = said.get('episode'), said.get('kind')
        if episode is None:
            return
        if kind == 'START':
            self._begun[episode] = now_s
        elif kind in _ENDS and episode in self._begun:
            self.spans.append((float(said['value']), now_s - self._begun.pop(episode)))

    @property
    def factors(self) -> list[float]:
        """Task time over wall time of each episode; resets between episodes do not count."""
        return [task / wall for task, wall in self.spans if wall > 0]

    @property
    def overall(self) -> float | None:
        """Return all task time over all wall time, None without an episode."""
        wall = sum(w for _, w in self.spans)
        return sum(t for t, _ in self.spans) / wall if wall > 0 else None


def planner_cpu_ms(cycles: Iterable[CycleRecord]) -> list[float]:
    """Return the planner's CPU time of each decision [ms]."""
    return [c.cpu_ns / 1e6 for c in cycles
            if c.status in (CycleStatus.OK, CycleStatus.LATE)]
