"""Reacher: a two-link arm brings its fingertip to a random target."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import gymnasium_spec, prepare, Task, within

#: fingertip this near to the target is success [m]: the radii of both balls (0.010 + 0.009) touch
TOLERANCE_M = 0.02
#: starts nearer than this are drawn again [m]
NEAREST_START_M = 0.05
#: targets lie in this disk [m]: Gymnasium's own
DISK_M = 0.2


class ReacherTask(Task):
    """
    Gymnasium's Reacher-v5 model.

    Start: both joint angles uniform over their ranges (Gymnasium starts within 0.1 rad of the
    stretched arm: hardly a variation), velocities within 0.005 rad/s and the target uniform in a
    disk of 0.2 m as in Gymnasium. Starts with the tip within 0.05 m of the target are drawn again.
    Success: tip within 0.02 m of the target, held for 0.25 s.
    """

    joints = ('joint0', 'joint1')
    poses = MappingProxyType({'tip_pose': 'fingertip'})
    goal = 'target'
    commands = MappingProxyType({'effort[joint0]': 'joint0', 'effort[joint1]': 'joint1'})
    hold_s = 0.25

    def __init__(self, model: mujoco.MjModel) -> None:
        """Look up what the predicates read."""
        super().__init__(model)
        self._tip = model.body('fingertip').id
        self._target = model.body('target').id

    @classmethod
    def spec(cls) -> Any:
        """Return Gymnasium's model, seen from above; the ground plane is drawn, not touched."""
        spec = gymnasium_spec('reacher.xml')
        return prepare(spec, (0.0, 0.0, 0.6), (0.0, 0.0, 0.0))

    def draw(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw the arm over its whole range and the target over the disk."""
        data.qpos[0] = rng.uniform(-np.pi, np.pi)
        data.qpos[1] = rng.uniform(-2.9, 2.9)
        data.qvel[:2] = rng.uniform(-0.005, 0.005, size=2)
        radius, angle = DISK_M * np.sqrt(rng.uniform()), rng.uniform(-np.pi, np.pi)
        data.qpos[2:4] = radius * np.cos(angle), radius * np.sin(angle)

    def too_easy(self, data: mujoco.MjData) -> bool:
        """Refuse a start whose tip is almost there."""
        return within(data.xpos[self._tip], data.xpos[self._target], NEAREST_START_M)

    def solved(self, data: mujoco.MjData) -> bool:
        """Say whether the tip is within the tolerance of the target."""
        return within(data.xpos[self._tip], data.xpos[self._target], TOLERANCE_M)
