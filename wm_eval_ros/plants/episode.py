"""When an episode ends and as what: success with its hold time, failure, time out."""

from __future__ import annotations

from wm_eval_ros.plants.protocol import Plant
from wm_eval_ros.records import EventKind


class EpisodeJudge:
    """Watches one plant; asked after every step of a fixed grid of task time."""

    def __init__(self, plant: Plant, time_limit_s: float) -> None:
        """
        Make a judge.

        :param time_limit_s: task time after which the episode is a TIMEOUT [s]
        """
        self._plant = plant
        # the last whole step within the limit: the world goes no further
        self._limit_ns = round(time_limit_s * 1e9) // plant.step_ns * plant.step_ns
        self._held_since_ns: int | None = None

    def begin(self) -> bool:
        """Begin an episode just after the reset; say whether the start is already solved."""
        solved = self._plant.solved()
        self._held_since_ns = self._plant.time_ns if solved else None
        return solved

    def verdict(self) -> tuple[EventKind, str] | None:
        """Return the terminal event and its reason, None while the episode goes on."""
        now_ns = self._plant.time_ns
        failure = self._plant.failed()
        if failure:
            return EventKind.FAILURE, failure
        if not self._plant.solved():
            self._held_since_ns = None
        elif self._held_since_ns is None:
            self._held_since_ns = now_ns
        if self._held_since_ns is not None:
            if now_ns - self._held_since_ns >= round(self._plant.hold_s * 1e9):
                return EventKind.SUCCESS, ''
        if now_ns >= self._limit_ns:
            return EventKind.TIMEOUT, 'time limit'
        return None
