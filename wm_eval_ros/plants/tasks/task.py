"""What a task of the MuJoCo plant declares: model, start, goal, success and failure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.plants.simulator import mujoco

#: step of every task [s]: fine enough to charge a latency, coarse enough to be fast
STEP_S = 0.005
#: camera that :meth:`MujocoPlant.render` looks through
CAMERA = 'camera'

JOINT_STATE = 'sensor_msgs/msg/JointState'
POSE_STAMPED = 'geometry_msgs/msg/PoseStamped'
TWIST_STAMPED = 'geometry_msgs/msg/TwistStamped'


class Task(ABC):
    """
    A task. The plant owns model and data; a task edits the model once and reads the data.

    ``data`` in every method has its body and site poses up to date with ``qpos``.
    """

    #: joints of the topic ``joint_states``, in its order
    joints: ClassVar[tuple[str, ...]]
    #: PoseStamped topic -> body or site it tracks
    poses: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: body whose pose is the goal; empty: the goal is fixed
    goal: ClassVar[str] = ''
    #: message type of the command
    command_type: ClassVar[str] = JOINT_STATE
    #: field path of the command -> joint it drives
    commands: ClassVar[Mapping[str, str]]
    #: how long the success predicate must hold without a break [s]
    hold_s: ClassVar[float]

    def __init__(self, model: mujoco.MjModel) -> None:
        """Look up what the predicates read."""
        self.model = model

    @classmethod
    @abstractmethod
    def spec(cls) -> Any:
        """Return the edited model, ready to compile: a ``mujoco.MjSpec``."""

    @abstractmethod
    def draw(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Draw start and goal into ``qpos``, ``qvel`` and mocap poses, all zero or default now."""

    def too_easy(self, data: mujoco.MjData) -> bool:
        """Say whether a start is to be drawn again; by default the solved ones."""
        return self.solved(data)

    @abstractmethod
    def solved(self, data: mujoco.MjData) -> bool:
        """Say whether the success predicate holds at this instant."""

    def failed(self, data: mujoco.MjData) -> str:
        """Name what makes success impossible from here; empty: nothing does."""
        del data
        return ''


def gymnasium_spec(file: str) -> Any:
    """
    Read one of the models that ship inside Gymnasium, without importing Gymnasium.

    :raises MissingExtraError: Gymnasium is not installed, or ships no such model
    """
    found = find_spec('gymnasium')
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / 'envs' / 'mujoco' / 'assets' / file
        if path.is_file():
            return mujoco.MjSpec.from_file(str(path))
    raise MissingExtraError(f"the task needs Gymnasium's model {file}, which is not installed: "
                            "pip install 'wm_eval_ros[sim]'")


def asset_spec(file: str) -> Any:
    """Read one of this package's own models."""
    return mujoco.MjSpec.from_file(str(Path(__file__).parents[1] / 'assets' / file))


def prepare(
    spec: Any,
    camera_pos: tuple[float, float, float],
    target: tuple[float, float, float],
    fovy_deg: float = 45.0,
) -> Any:
    """
    Apply what all tasks share: step, no silent auto-reset, one fixed camera, cheap rendering.

    Auto-reset is off because it would hide a diverged simulation behind a fresh start.
    Shadows and multisampling are off because a software renderer spends 99 % of its time on them.

    :param camera_pos: camera [m, world]; it looks at ``target`` with +y or +z up in the image
    """
    spec.option.timestep = STEP_S
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    for light in spec.lights:
        light.castshadow = False
    spec.worldbody.add_camera(name=CAMERA, pos=list(camera_pos), fovy=fovy_deg,
                              quat=_look_at(camera_pos, target))
    return spec


def _look_at(
    camera: tuple[float, float, float],
    target: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return the orientation (w x y z) of a camera, which looks along its own -z."""
    back = np.subtract(camera, target)
    back /= np.linalg.norm(back)
    up = np.array([0.0, 1.0, 0.0]) if abs(back[2]) > 0.99 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    quat = np.zeros(4)
    axes = np.column_stack((right, np.cross(back, right), back))
    mujoco.mju_mat2Quat(quat, axes.flatten())
    return quat


def within(a: NDArray[np.float64], b: NDArray[np.float64], distance_m: float) -> bool:
    """
    Say whether two points are no further apart than a distance, in the plane of x and y.

    A point exactly on the circle is within; a point that is not finite never is.

    >>> within(np.array([0.0, 0.0, 9.0]), np.array([0.03, 0.04, 0.0]), 0.05)
    True
    """
    return bool(np.hypot(a[0] - b[0], a[1] - b[1]) <= distance_m)
