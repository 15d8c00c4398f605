"""Cartpole swing-up: pump a hanging pole up, and balance it."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import gymnasium_spec, prepare, Task

#: half the length of the rail [m], as dm_control
RAIL_M = 1.8
#: length of the pole [m], as dm_control
POLE_M = 1.0
#: largest force on the cart [N], as dm_control
FORCE_N = 10.0
#: the pole counts as upright within this angle [rad]
UPRIGHT_RAD = 0.2
#: and below this angular velocity [rad/s]
SLOW_RAD_S = 1.5
#: and with the cart no further out than this [m]: clear of the end stops
ON_RAIL_M = 1.7


def balanced(slider_m: float, hinge_rad: float, hinge_rad_s: float) -> bool:
    """
    Say whether pole and cart meet the success predicate; every limit itself still meets it.

    :param slider_m: position of the cart [m]
    :param hinge_rad: angle of the pole from upright [rad], any number of turns
    :param hinge_rad_s: angular velocity of the pole [rad/s]

    >>> balanced(0.0, 2.0 * math.pi + 0.1, -1.0), balanced(0.0, math.pi, 0.0)
    (True, False)
    """
    return bool(math.cos(hinge_rad) >= math.cos(UPRIGHT_RAD)
                and abs(hinge_rad_s) <= SLOW_RAD_S and abs(slider_m) <= ON_RAIL_M)


class CartpoleTask(Task):
    """
    Gymnasium's inverted pendulum, turned into dm_control's cartpole swing-up.

    Gymnasium's cart and pole weigh 10 and 5 kg, its pole stops at 90 degrees and its motor gives
    300 N. The edits of :meth:`spec` give dm_control's masses, lengths, friction, rail and force:
    10 N cannot lift the pole in one push, it must be pumped.

    Start: hanging within 0.6 rad of straight down, cart within 0.5 m of the middle, velocities
    within 0.2 m/s and 0.5 rad/s (dm_control's 0.01 is hardly a variation).
    Success: pole within 0.2 rad of upright, slower than 1.5 rad/s, cart off the end stops, held
    for 1.0 s: an unattended pole falls by a factor e in 0.26 s, so that none stays by chance.
    """

    joints = ('slider', 'hinge')
    poses = MappingProxyType({'tip_pose': 'tip'})
    commands = MappingProxyType({'effort[slider]': 'slider'})
    hold_s = 1.0

    def __init__(self, model: mujoco.MjModel) -> None:
        """Look up what the predicate reads."""
        super().__init__(model)
        self._slider = int(model.joint('slider').qposadr[0])
        self._hinge = int(model.joint('hinge').qposadr[0])

    @classmethod
    def spec(cls) -> Any:
        """Return the edited model; each edit stands in ``docs/tasks.md``."""
        spec = gymnasium_spec('inverted_pendulum.xml')
        cls._edit_joints(spec)
        cls._edit_bodies(spec)
        motor = spec.actuators[0]
        motor.ctrlrange = [-FORCE_N, FORCE_N]
        motor.gear = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        return prepare(spec, (0.0, -5.0, 0.0), (0.0, 0.0, 0.0))

    @staticmethod
    def _edit_joints(spec: Any) -> None:
        hinge, slider = spec.joint('hinge'), spec.joint('slider')
        hinge.limited = mujoco.mjtLimited.mjLIMITED_FALSE
        hinge.damping = _damping(hinge, 2e-6)
        slider.range = [-RAIL_M, RAIL_M]
        slider.solref_limit = [0.08, 1.0]
        slider.damping = _damping(slider, 5e-4)

    @staticmethod
    def _edit_bodies(spec: Any) -> None:
        spec.geom('rail').size[1] = RAIL_M + 0.2
        cart, pole = spec.geom('cart'), spec.geom('cpole')
        cart.mass, pole.mass = 1.0, 0.1
        pole.fromto = [0.0, 0.0, 0.0, 0.0, 0.0, POLE_M]
        pole.size[0] = 0.045
        # a wall to be seen against; nothing touches it
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0.0, 0.6, 0.0],
                                size=[4.0, 0.05, 3.0], rgba=[0.85, 0.85, 0.82, 1.0],
                                contype=0, conaffinity=0)
        spec.body('pole').add_site(name='tip', pos=[0.0, 0.0, POLE_M], size=[0.02, 0.0, 0.0])

    def draw(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw a pole that hangs, and a cart about the middle."""
        data.qpos[self._slider] = rng.uniform(-0.5, 0.5)
        data.qpos[self._hinge] = np.pi + rng.uniform(-0.6, 0.6)
        data.qvel[self._slider] = rng.uniform(-0.2, 0.2)
        data.qvel[self._hinge] = rng.uniform(-0.5, 0.5)

    def solved(self, data: mujoco.MjData) -> bool:
        """Say whether the pole is balanced."""
        return balanced(float(data.qpos[self._slider]), float(data.qpos[self._hinge]),
                        float(data.qvel[self._hinge]))


def _damping(joint: Any, value: float) -> Any:
    """Return a damping in the shape this MuJoCo declares: a number before 4.0, a vector since."""
    declared = np.asarray(joint.damping, dtype=np.float64)
    return value if declared.ndim == 0 else [value, *np.zeros(declared.size - 1)]
