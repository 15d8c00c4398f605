"""Between the features of an interface and the physics state of a task: both ways, in batches."""

from __future__ import annotations

from dataclasses import dataclass
import re

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.plants.offers import check_interface, JOINT_TOPIC
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import Task
from wm_eval_ros.wire.fields import feature_names, joined_names

Floats = NDArray[np.float64]

_JOINT = re.compile(r'(?P<kind>position|velocity)\[(?P<joint>[^\]]+)\](?::(?P<turn>cos|sin))?')
_AXES = {'position': 'xyz', 'orientation': 'xyzw'}
_SLIDE, _HINGE = int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE)


@dataclass(frozen=True)
class _JointColumn:
    """A feature that is a joint's position, its cosine or sine, or its velocity."""

    column: int
    kind: str
    joint: str
    turn: str


@dataclass(frozen=True)
class _PoseColumn:
    """A feature that is one number of a frame's pose."""

    column: int
    frame: str
    kind: str
    axis: int


class StateMap:
    """
    Features to physics state and back, for one task and interface.

    Joints are read from their own features, angles also from cosine and sine. Sliding joints
    whose position no joint feature tells (the pusher's object, the disc of the two rooms) are
    solved from the poses they move. Joints that the task does not observe at all (goals and
    targets) stay at their reference: nothing that is observed depends on them.

    :param name: of the task, for messages
    :raises ConfigError: the interface does not determine the state; the message names the joint
    """

    def __init__(
        self, name: str, task: type[Task], model: mujoco.MjModel, interface: Interface
    ) -> None:
        check_interface(name, task, interface)
        self._name, self._task, self._model = name, task, model
        self._data = mujoco.MjData(model)
        mujoco.mj_resetData(model, self._data)
        self._reference = self._data.qpos.copy()
        self.names = joined_names(interface.observations)
        self._joints: list[_JointColumn] = []
        self._poses: list[_PoseColumn] = []
        for stream in interface.observations:
            self._take(stream)
        self._require_velocities()
        self._bind_positions()

    # features of states -------------------------------------------------------------------------

    def features(self, qpos: Floats, qvel: Floats) -> Floats:
        """
        Return the features of states.

        :param qpos: (N, nq)
        :param qvel: (N, nv)
        :returns: (N, F) in physical units, as :class:`StreamReader` reads them off the plant
        """
        out = np.empty((len(qpos), len(self.names)))
        for c in self._joints:
            values = (qpos[:, self._qpos(c.joint)] if c.kind == 'position'
                      else qvel[:, self._qvel(c.joint)])
            turned = {'cos': np.cos, 'sin': np.sin}.get(c.turn)
            out[:, c.column] = values if turned is None else turned(values)
        if self._poses:
            self._pose_features(qpos, out)
        return out

    def _pose_features(self, qpos: Floats, out: Floats) -> None:
        model, data = self._model, self._data
        readers = [(c.column, self._frame(c), c.axis) for c in self._poses]
        for row, state in zip(out, qpos, strict=True):
            data.qpos[:] = state
            mujoco.mj_kinematics(model, data)
            for column, values, axis in readers:
                row[column] = (values if values.size == 3 else _quaternion(values))[axis]

    def _frame(self, column: _PoseColumn) -> Floats:
        """Return the view of position (3,), or of orientation: (4,) of a body, (9,) of a site."""
        model, data, frame = self._model, self._data, column.frame
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, frame)
        place = column.kind == 'position'
        if site >= 0:
            return np.asarray(data.site_xpos[site] if place else data.site_xmat[site])
        body = model.body(frame).id
        return np.asarray(data.xpos[body] if place else data.xquat[body])

    def features_of(self, data: mujoco.MjData) -> Floats:
        """Return the features of the state that a simulator is in, (1, F)."""
        return self.features(data.qpos[None].copy(), data.qvel[None].copy())

    # states of features -------------------------------------------------------------------------

    def states(self, features: Floats) -> tuple[Floats, Floats]:
        """
        Return the states that have these features.

        :param features: (N, F)
        :returns: qpos (N, nq) and qvel (N, nv)
        """
        count = len(features)
        qpos = np.tile(self._reference, (count, 1))
        qvel = np.zeros((count, self._model.nv))
        for joint, columns in self._positions.items():
            read = [features[:, c] for c in columns]
            qpos[:, self._qpos(joint)] = read[0] if len(read) == 1 else np.arctan2(*read)
        for c in self._joints:
            if c.kind == 'velocity' and not c.turn:
                qvel[:, self._qvel(c.joint)] = features[:, c.column]
        if self._solved:
            rest = features[:, self._columns] - self.features(qpos, qvel)[:, self._columns]
            qpos[:, [self._qpos(j) for j in self._solved]] += rest @ self._inverse.T
        return qpos, qvel

    # set-up -------------------------------------------------------------------------------------

    def _take(self, stream: Stream) -> None:
        begin = len(self._joints) + len(self._poses)
        topic = stream.topic.lstrip('/')
        for column, name in enumerate(feature_names(stream), begin):
            path = name[len(topic) + 1:]
            if topic == JOINT_TOPIC:
                found = _JOINT.fullmatch(path)
                if found is None:
                    raise ConfigError(f'interface.observations: no state is read from {name!r}')
                self._joints.append(_JointColumn(column, found['kind'],
                                                 self._joint(found['joint']),
                                                 found['turn'] or ''))
            else:
                _, kind, axis = path.split('.')
                self._poses.append(_PoseColumn(column, self._task.poses[topic], kind,
                                               _AXES[kind].index(axis)))

    def _joint(self, entry: str) -> str:
        return self._task.joints[int(entry)] if entry.isdigit() else entry

    def _qpos(self, joint: str) -> int:
        return int(self._model.joint(joint).qposadr[0])

    def _qvel(self, joint: str) -> int:
        return int(self._model.joint(joint).dofadr[0])

    def _require_velocities(self) -> None:
        seen = {c.joint for c in self._joints if c.kind == 'velocity' and not c.turn}
        for joint in self._task.joints:
            if joint not in seen:
                raise self._blind(joint, f'velocity[{joint}]')

    def _bind_positions(self) -> None:
        """Decide for each joint where its position is read: own feature, angle, or poses."""
        found = {(c.joint, c.turn): c.column for c in self._joints if c.kind == 'position'}
        self._positions: dict[str, tuple[int, ...]] = {}
        for joint in self._task.joints:
            if (joint, '') in found:
                self._positions[joint] = (found[joint, ''],)
            elif (joint, 'cos') in found and self._is_one_turn(joint):
                self._positions[joint] = (found[joint, 'sin'], found[joint, 'cos'])
        self._solved = [j for j in self._task.joints if j not in self._positions]
        self._columns = [c.column for c in self._poses if c.kind == 'position']
        if self._solved:
            self._invert_poses()

    def _is_one_turn(self, joint: str) -> bool:
        """Say whether cosine and sine tell all of a joint: a hinge limited to one turn, or not."""
        facts = self._model.joint(joint)
        low, high = facts.range
        limited = bool(self._model.jnt_limited[facts.id])
        return int(facts.type[0]) == _HINGE and (not limited or (low >= -np.pi and high <= np.pi))

    def _invert_poses(self) -> None:
        """Invert how poses move with the joints that only they tell: linear in sliding joints."""
        for joint in self._solved:
            if not self._slides_straight(joint):
                raise self._blind(joint, f'position[{joint}]')
        start = self._reference[None]
        still = np.zeros((1, self._model.nv))
        moved = np.repeat(start, len(self._solved), axis=0)
        moved[np.arange(len(self._solved)), [self._qpos(j) for j in self._solved]] += 1.0
        speed = np.repeat(still, len(self._solved), axis=0)
        effect = (self.features(moved, speed) - self.features(start, still))[:, self._columns].T
        if np.linalg.matrix_rank(effect) < len(self._solved):
            idle = self._solved[int(np.argmin(np.abs(effect).sum(0)))] if effect.size else (
                self._solved[0])
            raise self._blind(idle, f'position[{idle}]')
        self._inverse: Floats = np.linalg.pinv(effect)

    def _slides_straight(self, joint: str) -> bool:
        """Say whether a joint and all above it slide: poses are then linear in its position."""
        model, body = self._model, int(self._model.joint(joint).bodyid[0])
        while body:
            first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
            if any(model.jnt_type[first:first + count] != _SLIDE):
                return False
            body = int(model.body_parentid[body])
        return True

    def _blind(self, joint: str, field: str) -> ConfigError:
        return ConfigError(
            f'interface.observations: joint {joint!r} of task {self._name!r} cannot be recovered '
            f'from what is observed, so the state is not known; add {field!r} to '
            f'{JOINT_TOPIC}')


def _quaternion(orientation: Floats) -> Floats:
    """Return x y z w, given w x y z of a body or the rotation matrix of a site."""
    quat = orientation
    if orientation.size == 9:
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, orientation)
    return quat[[1, 2, 3, 0]]
