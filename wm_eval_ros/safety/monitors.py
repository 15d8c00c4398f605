"""What the supervisor keeps an eye on: each monitor is clear, or in trouble of some level."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import IntEnum

from wm_eval_ros.records import ALARM


class Level(IntEnum):
    """How bad it is."""

    CLEAR = 0
    #: commands still pass
    DEGRADED = 1
    #: the fallback has to command
    FALLBACK = 2


class Monitors:
    """The troubles of now, and when there was one of each level last."""

    def __init__(self) -> None:
        """Begin with every monitor clear."""
        self._troubles: dict[str, tuple[Level, str]] = {}
        self._last_ns: dict[Level, int] = {}

    def set(self, name: str, level: Level, reason: str, now_ns: int) -> None:
        """Say how a monitor is; a time before the last one counts as the last."""
        self._note(now_ns)
        if level is Level.CLEAR:
            self._troubles.pop(name, None)
        else:
            self._troubles[name] = (level, reason)
            self._note(now_ns)

    def forget(self, names: Iterable[str]) -> None:
        """Take monitors for clear that tell of the episode before."""
        for name in names:
            self._troubles.pop(name, None)
        self._last_ns = {}

    def worst(self) -> tuple[Level, str]:
        """Return the worst level of now, and every reason of that level."""
        level = max((level for level, _ in self._troubles.values()), default=Level.CLEAR)
        return level, '; '.join(reason for at, reason in self._troubles.values() if at == level)

    def quiet_ns(self, level: Level, now_ns: int) -> int | None:
        """Return for how long nothing has been at this level or above; None: it never was."""
        self._note(now_ns)
        last_ns = self._last_ns.get(level)
        return None if last_ns is None else max(0, now_ns - last_ns)

    def _note(self, now_ns: int) -> None:
        worst = self.worst()[0]
        for level in range(Level.DEGRADED, worst + 1):
            self._last_ns[Level(level)] = max(now_ns, self._last_ns.get(Level(level), now_ns))


class AlarmCount:
    """Counts surprise alarms among the last slots."""

    def __init__(self, alarms: int, slots: int) -> None:
        """
        Count none yet.

        :param alarms: this many make the fallback command; fewer degrade
        :param slots: among so many slots
        """
        self._alarms = alarms
        self._slots: deque[bool] = deque(maxlen=slots)

    def begin(self) -> None:
        """Forget the episode before."""
        self._slots.clear()

    def add(self, surprise: float, threshold: float) -> tuple[Level, str]:
        """Take in the score of a slot; NaN, no score or no threshold, is no alarm."""
        self._slots.append(surprise > threshold)
        count = sum(self._slots)
        if not count:
            return Level.CLEAR, ''
        level = Level.FALLBACK if count >= self._alarms else Level.DEGRADED
        return level, (f'{ALARM} {surprise:g}, threshold {threshold:g}: {count} alarms in '
                       f'{len(self._slots)} slots')
