"""The MuJoCo plant: one task's model, stepped by its caller, behind the plant protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.protocol import WorldChange
from wm_eval_ros.plants.camera import Camera
from wm_eval_ros.plants.disturb import Disturber
from wm_eval_ros.plants.offers import check_interface, JOINT_TOPIC
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks import load_task
from wm_eval_ros.plants.tasks.task import Task
from wm_eval_ros.records import ImageSample, JointSample, PoseSample, Sample

#: a start is drawn at most this often; the last one stands, easy or not
DRAWS = 100
#: reason of an episode whose simulation is no longer finite
DIVERGED = 'simulation diverged'

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_DIVERGED_WARNINGS = tuple(int(w) for w in (mujoco.mjtWarning.mjWARN_BADQPOS,
                                            mujoco.mjtWarning.mjWARN_BADQVEL,
                                            mujoco.mjtWarning.mjWARN_BADQACC))


class MujocoPlant:
    """
    A task simulated by MuJoCo; see :class:`wm_eval_ros.plants.protocol.Plant`.

    The state after a reset is a function of the seed alone, and the state after any sequence of
    calls a function of that sequence. :meth:`render` works in the thread that called it first;
    everything else in one thread at a time.
    """

    def __init__(self, task: str, interface: Interface) -> None:
        """
        Load the model and check the interface against the task.

        :param task: one of :func:`wm_eval_ros.plants.tasks.task_names`
        :raises UnknownNameError: no such task
        :raises ConfigError: the interface asks for what the task does not offer
        :raises MissingExtraError: the task's model is not installed
        """
        kind = load_task(task)
        check_interface(task, kind, interface)
        self.model: mujoco.MjModel = kind.spec().compile()
        self.data = mujoco.MjData(self.model)
        self.task: Task = kind(self.model)
        self.step_ns: int = round(self.model.opt.timestep * 1e9)
        self._camera: Camera | None = None
        self._steps: int = 0
        self._disturber = Disturber(self.model, kind)
        self._command = _Command(task, self.model, kind, interface)
        self._bind_observations(interface)
        self._goal_body = self.model.body(kind.goal).id if kind.goal else None
        self.reset(0)

    def reset(self, seed: int) -> None:
        """
        Start an episode: varied initial state and goal, a function of the seed alone.

        Starts that the task finds too easy are drawn again, up to 100 times; ask :meth:`solved`
        whether the one that stands is solved already.
        """
        self.model = self._disturber.reset()
        rng = np.random.default_rng(seed)
        for _ in range(DRAWS):
            mujoco.mj_resetData(self.model, self.data)
            self.task.draw(self.data, rng)
            mujoco.mj_forward(self.model, self.data)
            if not self.task.too_easy(self.data):
                break
        self._steps = 0

    def apply(self, action: NDArray[np.float64]) -> None:
        """
        Hold this command, shape (A,), in the interface's units, clipped to its limits.

        :raises ValueError: the shape is another, or a number is not finite; the command before
            stays in force
        """
        self._command.write(action, self.data)

    def advance(self, duration_ns: int) -> None:
        """
        Let time pass: a whole number of steps.

        :raises ValueError: negative, or not a multiple of ``step_ns``
        """
        steps, rest = divmod(duration_ns, self.step_ns)
        if rest or steps < 0:
            raise ValueError(f'cannot advance by {duration_ns} ns: '
                             f'not a whole number of steps of {self.step_ns} ns')
        if steps and not self._diverged():
            mujoco.mj_step(self.model, self.data, steps)
            # A step leaves the poses of its beginning behind.
            mujoco.mj_kinematics(self.model, self.data)
        self._steps += steps

    def disturb(self, changes: Sequence[WorldChange]) -> None:
        """
        Change the world, until the next call or the reset; see :class:`.Disturbable`.

        Without changes the world is the nominal one again, to the bit.

        :raises ValueError: a change has no effect on this model; nothing was changed
        """
        self.model = self._disturber.disturb(self.data, changes)

    @property
    def time_ns(self) -> int:
        """Task time since the reset [ns]."""
        return self._steps * self.step_ns

    def observe(self) -> Mapping[str, Sample]:
        """Return the state by topic of the interface; the arrays are the caller's own."""
        samples: dict[str, Sample] = {}
        if self._joints_wanted:
            samples[JOINT_TOPIC] = JointSample(self.task.joints, self.data.qpos[self._qpos],
                                               self.data.qvel[self._qvel])
        for topic, (position, orientation) in self._frames.items():
            samples[topic] = PoseSample(position.copy(), _quaternion(orientation))
        return samples

    def goal(self) -> PoseSample | None:
        """Return the goal; None where it is fixed."""
        if self._goal_body is None:
            return None
        return PoseSample(self.data.xpos[self._goal_body].copy(),
                          _quaternion(self.data.xquat[self._goal_body]))

    def solved(self) -> bool:
        """Say whether the success predicate holds at this instant, hold time not considered."""
        return not self._diverged() and self.task.solved(self.data)

    @property
    def hold_s(self) -> float:
        """How long the predicate must hold without a break [s]."""
        return self.task.hold_s

    def failed(self) -> str:
        """Name what ended the episode as a failure; empty: nothing did."""
        return DIVERGED if self._diverged() else self.task.failed(self.data)

    def render(self, width: int, height: int) -> ImageSample:
        """
        Render the camera, headless.

        :param width: width [px], 1 to 4096
        :param height: height [px], 1 to 4096
        :raises MissingExtraError: no OpenGL library for headless rendering is installed
        :raises RunError: it is installed, but gives no context
        :raises RuntimeError: called from another thread than the first time
        """
        if self._camera is None:
            self._camera = Camera(self.model)
        return ImageSample(self._camera.render(self.data, width, height, self.model))

    def close(self) -> None:
        """Free the OpenGL context, if there is one; from the thread that rendered."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def state(self) -> NDArray[np.float64]:
        """Return the full simulator state, for oracles and tests, shape (S,)."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        return state

    def restore(self, state: NDArray[np.float64], time_ns: int = 0) -> None:
        """
        Go to a state that :meth:`state` returned; what follows is the same to the bit.

        :param time_ns: task time to count from [ns]
        """
        mujoco.mj_setState(self.model, self.data, state, _STATE)
        mujoco.mj_kinematics(self.model, self.data)
        self._steps = time_ns // self.step_ns

    def _diverged(self) -> bool:
        warnings = self.data.warning
        return any(warnings[w].number for w in _DIVERGED_WARNINGS)

    def _bind_observations(self, interface: Interface) -> None:
        """Keep views into the simulator's state, so that observing looks nothing up."""
        model = self.model
        topics = {stream.topic for stream in (*interface.observations, *interface.unseen)}
        self._joints_wanted = JOINT_TOPIC in topics
        joints = [model.joint(name) for name in self.task.joints]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._frames = {topic: self._frame(name) for topic, name in self.task.poses.items()
                        if topic in topics}

    def _frame(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return views of position (3,) and orientation, (4,) of a body and (9,) of a site."""
        site = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, name)
        if site >= 0:
            return self.data.site_xpos[site], self.data.site_xmat[site]
        body = self.model.body(name).id
        return self.data.xpos[body], self.data.xquat[body]


class _Command:
    """Where the command vector goes."""

    def __init__(self, name: str, model: mujoco.MjModel, task: type[Task],
                 interface: Interface) -> None:
        command = interface.command
        self.low, self.high = np.array(command.low), np.array(command.high)
        self.actuators = np.array([_actuator(model, task.commands[f]) for f in command.fields])
        takes = model.actuator_ctrlrange[self.actuators]
        for i, field in enumerate(command.fields):
            (least, most), low, high = takes[i], self.low[i], self.high[i]
            if low < least or high > most:
                raise ConfigError(f'interface.command: task {name!r} takes {field!r} from {least} '
                                  f'to {most}, not from {low} to {high}')

    def write(self, action: NDArray[np.float64], data: mujoco.MjData) -> None:
        values = np.asarray(action, dtype=np.float64)
        if values.shape != self.low.shape:
            raise ValueError(f'command of shape {values.shape}, expected {self.low.shape}')
        if not np.isfinite(values).all():
            raise ValueError(f'command is not finite: {values.tolist()}')
        data.ctrl[self.actuators] = np.minimum(np.maximum(values, self.low), self.high)


def _actuator(model: mujoco.MjModel, joint: str) -> int:
    return int(np.flatnonzero(model.actuator_trnid[:, 0] == model.joint(joint).id)[0])


def _quaternion(orientation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x y z w, given w x y z of a body or the rotation matrix of a site."""
    if orientation.size == 4:
        return orientation[[1, 2, 3, 0]]
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, orientation)
    return quat[[1, 2, 3, 0]]
