"""Changes of the physics (``physical.*``) and of the camera's place (``visual.camera_shift``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Quantity, WorldChange


def _direction(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a direction, uniform on the sphere."""
    x, y, z = rng.standard_normal(3).tolist()
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


@dataclass(kw_only=True)
class Impulse:
    """
    A push on the last moving link, in a direction in which it can move.

    At severity s, as long as it lasts, with ``severity * strength`` times the force that the
    actuators have against it.
    """

    severity: float
    rng: np.random.Generator
    strength: float = setting(
        3.0, doc="force at severity 1, in what the actuators' largest commands have against it",
        low=0.001, high=100.0)

    def world_change(self) -> WorldChange:
        """Return the push."""
        return WorldChange(Quantity.IMPULSE, self.severity * self.strength, _direction(self.rng))


@dataclass(kw_only=True)
class Payload:
    """The last moving link weighs ``1 + severity * ratio`` times as much, mass and inertia."""

    severity: float
    rng: np.random.Generator
    ratio: float = setting(4.0, doc='mass added at severity 1, in masses of the link', low=0.001,
                           high=100.0)

    def world_change(self) -> WorldChange:
        """Return the factor on the mass."""
        return WorldChange(Quantity.PAYLOAD, 1.0 + self.severity * self.ratio)
