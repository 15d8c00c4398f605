"""Pusher: a seven-joint arm pushes a cylinder over a table onto a goal."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import gymnasium_spec, prepare, Task, within

#: the object's centre this near to the goal's is success [m]
TOLERANCE_M = 0.05
#: Gymnasium draws starts nearer than this again [m]
NEAREST_START_M = 0.17
#: the table [m, world]: x from, x to, y from, y to
TABLE_M = (-1.0, 1.0, -0.5, 1.5)

_ARM = ('r_shoulder_pan_joint', 'r_shoulder_lift_joint', 'r_upper_arm_roll_joint',
        'r_elbow_flex_joint', 'r_forearm_roll_joint', 'r_wrist_flex_joint', 'r_wrist_roll_joint')


def on_table(position: NDArray[np.float64]) -> bool:
    """
    Say whether a point is over the table; its edge counts.

    :param position: [m, world], shape (2,) or more

    >>> on_table(np.array([1.0, 0.0])), on_table(np.array([0.0, -0.51]))
    (True, False)
    """
    x0, x1, y0, y1 = TABLE_M
    return bool(x0 <= position[0] <= x1 and y0 <= position[1] <= y1)


class PusherTask(Task):
    """
    Gymnasium's Pusher-v5 model.

    Start as in Gymnasium: arm at zero, arm velocities within 0.005 rad/s, object uniform in a
    rectangle of 0.4 x 0.3 m beside the goal, drawn again within 0.17 m of it.
    Success: object's centre within 0.05 m of the goal's, held for 0.25 s.
    Failure: the object has left the table.
    """

    joints = (*_ARM, 'obj_slidex', 'obj_slidey')
    poses = MappingProxyType({'tip_pose': 'tips_arm', 'object_pose': 'object'})
    goal = 'goal'
    commands = MappingProxyType({f'effort[{joint}]': joint for joint in _ARM})
    hold_s = 0.25

    def __init__(self, model: mujoco.MjModel) -> None:
        """Look up what the predicates read."""
        super().__init__(model)
        self._object = model.body('object').id
        self._goal = model.body('goal').id
        self._slides = [int(model.joint(n).qposadr[0]) for n in ('obj_slidex', 'obj_slidey')]
        self._arm = [int(model.joint(n).dofadr[0]) for n in _ARM]

    @classmethod
    def spec(cls) -> Any:
        """Return Gymnasium's model, seen from behind the goal and above."""
        return prepare(gymnasium_spec('pusher_v5.xml'), (1.4, 0.55, 1.0), (0.3, -0.25, -0.2))

    def draw(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw the object beside the goal; both slides are relative to the goal."""
        data.qpos[self._slides] = rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.0)
        data.qvel[self._arm] = rng.uniform(-0.005, 0.005, size=len(self._arm))

    def too_easy(self, data: mujoco.MjData) -> bool:
        """Refuse a start that Gymnasium refuses."""
        return within(data.xpos[self._object], data.xpos[self._goal], NEAREST_START_M)

    def solved(self, data: mujoco.MjData) -> bool:
        """Say whether the object is within the tolerance of the goal."""
        return within(data.xpos[self._object], data.xpos[self._goal], TOLERANCE_M)

    def failed(self, data: mujoco.MjData) -> str:
        """Name the object's fall."""
        return '' if on_table(data.xpos[self._object]) else 'object left the table'
