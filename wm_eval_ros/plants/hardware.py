"""No simulator: the robot's own nodes are the plant; only the episodes are kept here."""

from __future__ import annotations

from collections.abc import Mapping
import time

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import ImageSample, Sample


class HardwarePlant:
    """
    Stands for a robot; see :class:`wm_eval_ros.plants.protocol.Plant`.

    Time is wall time, observations and goal come from the robot's own topics, and an episode ends
    by its time limit or by the reset service: what success is on this robot is not known here.
    """

    step_ns = 1_000_000
    hold_s = 0.0

    def __init__(self, task: str, interface: Interface) -> None:
        """Any task name will do: it labels the results."""
        self._start_ns = time.monotonic_ns()

    def reset(self, seed: int) -> None:
        """Begin an episode; the robot is not moved."""
        self._start_ns = time.monotonic_ns()

    def apply(self, action: NDArray[np.float64]) -> None:
        """Do nothing: the robot listens to the command topic itself."""

    def advance(self, duration_ns: int) -> None:
        """Do nothing: time passes by itself."""

    @property
    def time_ns(self) -> int:
        """Wall time since the reset [ns, steady]."""
        return time.monotonic_ns() - self._start_ns

    def observe(self) -> Mapping[str, Sample]:
        """Return nothing: the robot publishes its own state."""
        return {}

    def goal(self) -> Sample | None:
        """Return None: the goal comes from its topic."""
        return None

    def solved(self) -> bool:
        """Return False: success is not known here."""
        return False

    def failed(self) -> str:
        """Return nothing."""
        return ''

    def render(self, width: int, height: int) -> ImageSample:
        """Refuse: the robot has its own cameras."""
        raise ConfigError('plant.camera_hz: a hardware plant renders nothing; set it to 0')

    def state(self) -> NDArray[np.float64]:
        """Return nothing, shape (0,)."""
        return np.zeros(0)
