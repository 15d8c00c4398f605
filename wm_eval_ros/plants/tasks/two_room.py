"""Two rooms: a disc drives through the door of a wall to a goal that is mostly next door."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import asset_spec, prepare, Task, TWIST_STAMPED, within

#: the disc's centre this near to the goal's is success [m]: 5 % of the arena
TOLERANCE_M = 0.1
#: share of episodes whose goal is in the other room
OTHER_ROOM = 0.8
#: starts nearer than this are drawn again [m]
NEAREST_START_M = 0.3
#: half the thickness of the wall, half the width of the door, radius of the disc [m], as the MJCF
WALL_M, DOOR_M, DISC_M = 0.15, 0.35, 0.08
#: clearance of drawn points from walls [m]
CLEAR_M = 0.02


def draw_point(rng: np.random.Generator, side: float) -> NDArray[np.float64]:
    """
    Draw a point where the disc fits, uniform over one room, shape (2,) [m].

    :param side: -1: the western room, 1: the eastern
    """
    near, far = WALL_M + DISC_M + CLEAR_M, 1.0 - DISC_M - CLEAR_M
    return np.array([side * rng.uniform(near, far), rng.uniform(-far, far)])


class TwoRoomTask(Task):
    """
    A velocity-controlled disc of this package, after the two-room benchmarks of world models.

    Start: uniform over either room, at rest; goal uniform over the other room in 80 % of episodes,
    else over the same one; starts nearer than 0.3 m to the goal are drawn again.
    Success: centre within 0.1 m of the goal, held for 0.5 s.
    """

    joints = ('x', 'y')
    poses = MappingProxyType({'pose': 'robot'})
    goal = 'goal'
    command_type = TWIST_STAMPED
    commands = MappingProxyType({'twist.linear.x': 'x', 'twist.linear.y': 'y'})
    hold_s = 0.5

    def __init__(self, model: mujoco.MjModel) -> None:
        """Look up what the predicates read."""
        super().__init__(model)
        self._robot = model.body('robot').id
        self._goal = model.body('goal').id

    @classmethod
    def spec(cls) -> Any:
        """Return the model, seen from above."""
        return prepare(asset_spec('two_room.xml'), (0.0, 0.0, 6.0), (0.0, 0.0, 0.0),
                       fovy_deg=23.0)

    def draw(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw start and goal."""
        side = rng.choice((-1.0, 1.0))
        data.qpos[:2] = draw_point(rng, side)
        data.mocap_pos[0, :2] = draw_point(rng, -side if rng.uniform() < OTHER_ROOM else side)

    def too_easy(self, data: mujoco.MjData) -> bool:
        """Refuse a start that is almost there."""
        return within(data.xpos[self._robot], data.xpos[self._goal], NEAREST_START_M)

    def solved(self, data: mujoco.MjData) -> bool:
        """Say whether the disc is within the tolerance of the goal."""
        return within(data.xpos[self._robot], data.xpos[self._goal], TOLERANCE_M)
