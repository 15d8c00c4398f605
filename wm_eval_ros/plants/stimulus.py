"""A plant that only emits: the state of a task's start, again and again, for latency tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.plants.mujoco_plant import MujocoPlant
from wm_eval_ros.records import ImageSample, Sample


class StimulusPlant:
    """
    Emits what a task's sensors show at its start; see :class:`wm_eval_ros.plants.protocol.Plant`.

    Nothing moves, nothing is solved, and an image costs no rendering: it is noise, drawn once for
    each size, so that an encoder cannot make it small.

    :param task: name of a MuJoCo task
    """

    hold_s = 0.0

    def __init__(self, task: str, interface: Interface) -> None:
        self._shown = MujocoPlant(task, interface)
        self.step_ns = 1_000_000
        self._time_ns = 0
        self._images: dict[tuple[int, int], ImageSample] = {}

    def reset(self, seed: int) -> None:
        """Begin an episode at the task's start for this seed."""
        self._shown.reset(seed)
        self._time_ns = 0

    def apply(self, action: NDArray[np.float64]) -> None:
        """Do nothing."""

    def advance(self, duration_ns: int) -> None:
        """Let time pass; the state stays."""
        self._time_ns += duration_ns

    @property
    def time_ns(self) -> int:
        """Task time since the reset [ns]."""
        return self._time_ns

    def observe(self) -> Mapping[str, Sample]:
        """Return the state of the start."""
        return self._shown.observe()

    def goal(self) -> Sample | None:
        """Return the task's goal; None where it is fixed."""
        return self._shown.goal()

    def solved(self) -> bool:
        """Return False: nothing is to be reached here."""
        return False

    def failed(self) -> str:
        """Return nothing."""
        return ''

    def render(self, width: int, height: int) -> ImageSample:
        """Return noise of this size, the same each time."""
        size = (width, height)
        if size not in self._images:
            real = self._shown.render(16, 16)
            noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            self._images[size] = replace(real, pixels=noise)
        return self._images[size]

    def state(self) -> NDArray[np.float64]:
        """Return the simulator's state at the start, shape (S,)."""
        return self._shown.state()
