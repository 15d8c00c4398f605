"""Changes of the physics (``physical.*``) and of the camera's place (``visual.camera_shift``)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Perturbation, Quantity, WorldChange

Direction = tuple[float, float, float]


@dataclass(kw_only=True)
class Impulse(Perturbation):
    """
    A push on the last link, in a direction drawn among those in which it can move.

    Its force is ``s * strength`` times what the actuators can hold against; it lasts ``lasts``
    where the schedule says no duration.
    """

    strength: float = setting(
        1.0, doc='force at severity 1, in what the largest command of the actuators holds',
        low=0.001, high=100.0)
    lasts: float = setting(0.2, doc='duration, where the schedule says none', unit='s',
                           low=0.001, high=100.0)
    _direction: Direction = field(init=False)

    def __post_init__(self) -> None:
        """Draw the direction."""
        self._direction = _direction(self.rng)

    def lasts_s(self) -> float:
        """Return its own duration [s]."""
        return self.lasts

    def world_change(self) -> WorldChange:
        """Return the push."""
        return WorldChange(Quantity.IMPULSE, self.severity * self.strength, self._direction)


@dataclass(kw_only=True)
class Payload(Perturbation):
    """
    A weight on the last link.

    It adds ``s * ratio`` to the inertia of the actuated joint that feels it most.
    """

    ratio: float = setting(4.0, doc="inertia added at severity 1, of the joint's own", low=0.001,
                           high=100.0)

    def world_change(self) -> WorldChange:
        """Return the weight."""
        return WorldChange(Quantity.PAYLOAD, self.severity * self.ratio)


@dataclass(kw_only=True)
class Friction(Perturbation):
    """Dry friction in the actuated joints: ``s * share`` of what their actuators can do."""

    share: float = setting(0.2, doc="friction at severity 1, of the actuator's largest force",
                           low=0.001, high=1.0)

    def world_change(self) -> WorldChange:
        """Return the friction."""
        return WorldChange(Quantity.FRICTION, self.severity * self.share)


@dataclass(kw_only=True)
class ContactFriction(Perturbation):
    """What touches grips ``1 + s * ratio`` times as well; needs a task with contacts."""

    ratio: float = setting(2.0, doc='increase at severity 1, of the coefficient of friction',
                           low=0.001, high=100.0)

    def world_change(self) -> WorldChange:
        """Return the grip."""
        return WorldChange(Quantity.CONTACT_FRICTION, self.severity * self.ratio)


@dataclass(kw_only=True)
class Damping(Perturbation):
    """The joints' free motion dies away ``s * rate`` per second faster."""

    rate: float = setting(10.0, doc='decay added at severity 1', unit='1/s', low=0.001,
                          high=1000.0)

    def world_change(self) -> WorldChange:
        """Return the damping."""
        return WorldChange(Quantity.DAMPING, self.severity * self.rate)


@dataclass(kw_only=True)
class Gravity(Perturbation):
    """
    The robot is no longer level: ``s * share`` of gravity pulls along a way its last link can go.

    0.2 is a tilt of 11 degrees.
    """

    share: float = setting(0.2, doc='pull at severity 1, of the acceleration of gravity',
                           low=0.001, high=10.0)
    _direction: Direction = field(init=False)

    def __post_init__(self) -> None:
        """Draw the direction."""
        self._direction = _direction(self.rng)

    def world_change(self) -> WorldChange:
        """Return the pull."""
        return WorldChange(Quantity.GRAVITY, self.severity * self.share, self._direction)


@dataclass(kw_only=True)
class ActuatorGain(Perturbation):
    """All actuators have lost ``s * loss`` of their force."""

    loss: float = setting(0.8, doc='force lost at severity 1', low=0.001, high=1.0)

    def world_change(self) -> WorldChange:
        """Return the loss."""
        return WorldChange(Quantity.ACTUATOR_GAIN, self.severity * self.loss)


@dataclass(kw_only=True)
class ActuatorFailure(Perturbation):
    """One actuator, drawn at the onset, has lost a share s of its force: at 1 it is dead."""

    _which: float = field(init=False)

    def __post_init__(self) -> None:
        """Draw the actuator."""
        self._which = float(self.rng.random())

    def world_change(self) -> WorldChange:
        """Return the loss."""
        return WorldChange(Quantity.ACTUATOR_GAIN, self.severity, which=self._which)


@dataclass(kw_only=True)
class CameraShift(Perturbation):
    """The camera has moved sideways, by ``s * share`` of its distance to what it looks at."""

    share: float = setting(0.2, doc='shift at severity 1, of the distance', low=0.001, high=10.0)
    _direction: Direction = field(init=False)

    def __post_init__(self) -> None:
        """Draw the direction."""
        turn = self.rng.uniform(0.0, 2.0 * np.pi)
        self._direction = float(np.cos(turn)), float(np.sin(turn)), 0.0

    def world_change(self) -> WorldChange:
        """Return the shift, its direction in the plane of the image."""
        return WorldChange(Quantity.CAMERA, self.severity * self.share, self._direction)


def _direction(rng: np.random.Generator) -> Direction:
    """Draw a direction, uniform on the sphere."""
    x, y, z = rng.standard_normal(3).tolist()
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length
