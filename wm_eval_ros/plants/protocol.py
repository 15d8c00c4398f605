"""What a simulated plant is to the plant node; free of ROS, time advances only when told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.perturb.protocol import WorldChange
from wm_eval_ros.records import ImageSample, Sample


class Plant(Protocol):
    """A world stepped by its caller. Made as ``Plant(task=name, interface=Interface)``."""

    #: smallest step of time [ns]
    step_ns: int

    def reset(self, seed: int) -> None:
        """Start an episode: varied initial state and goal, a function of the seed alone."""
        ...

    def apply(self, action: NDArray[np.float64]) -> None:
        """Hold this command, shape (A,), in the interface's units, clipped to its limits."""
        ...

    def advance(self, duration_ns: int) -> None:
        """Let time pass: a whole number of steps."""
        ...

    @property
    def time_ns(self) -> int:
        """Task time since the reset [ns]."""
        ...

    def observe(self) -> Mapping[str, Sample]:
        """Return the state by topic of the interface (JointState and PoseStamped topics)."""
        ...

    def goal(self) -> Sample | None:
        """Return the goal; None where it is fixed."""
        ...

    def solved(self) -> bool:
        """Say whether the success predicate holds at this instant, hold time not considered."""
        ...

    @property
    def hold_s(self) -> float:
        """How long the predicate must hold without a break [s]."""
        ...

    def failed(self) -> str:
        """Name what ended the episode as a failure; empty: nothing did."""
        ...

    def render(self, width: int, height: int) -> ImageSample:
        """Render the camera, headless."""
        ...

    def state(self) -> NDArray[np.float64]:
        """Return the full simulator state, for oracles and tests, shape (S,)."""
        ...


@runtime_checkable
class Disturbable(Protocol):
    """A plant whose physics can be changed."""

    def disturb(self, changes: Sequence[WorldChange]) -> None:
        """
        Change the world, until the next call or the reset.

        :param changes: all that hold from now on; none: the nominal world, to the bit
        :raises ValueError: a change is not possible here; the world stays as it was
        """
        ...


@runtime_checkable
class Stepwise(Protocol):
    """A plant whose state changes less often than its time can advance."""

    #: time between two states [ns], a multiple of ``step_ns``
    state_ns: int
