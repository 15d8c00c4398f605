"""Disturbed copies of a MuJoCo model, and pushes; the nominal model is never touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import copy

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.perturb.protocol import Quantity, WorldChange
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import CAMERA, Task

Floats = NDArray[np.float64]

#: the acceleration that a change of gravity is measured in [m/s^2]
G = 9.81
#: ways in which a link moves less than this share of its best are none
_IMMOBILE = 1e-6
#: a change that loads no joint by this share of its actuator's force is none
_NOTICEABLE = 1e-3


class Disturber:
    """
    Makes disturbed copies of one task's model.

    The *last link* is the last body of the chain that the last actuated joint moves: a fingertip,
    the pole on a cart.
    """

    def __init__(self, model: mujoco.MjModel, task: type[Task]) -> None:
        """Look up the last link and what the actuators can do."""
        self.nominal = model
        joints = [model.joint(name) for name in task.commands.values()]
        #: degree of freedom of each actuated joint, (A,)
        self._dofs = np.array([int(joint.dofadr[0]) for joint in joints])
        self._actuators = np.array([
            int(np.flatnonzero(model.actuator_trnid[:, 0] == joint.id)[0]) for joint in joints])
        #: the last link
        self.body = _last_body(model, int(joints[-1].bodyid[0]))
        self._force = self._largest_forces()
        self._edits: dict[Quantity, Callable[[mujoco.MjModel, WorldChange], None]] = {
            Quantity.PAYLOAD: self._weigh, Quantity.FRICTION: self._rub,
            Quantity.CONTACT_FRICTION: self._grip, Quantity.DAMPING: self._damp,
            Quantity.ACTUATOR_GAIN: self._weaken, Quantity.CAMERA: self._shift_camera}
        self._directed: dict[Quantity, Callable[[mujoco.MjData, WorldChange], Floats]] = {
            Quantity.IMPULSE: self._push, Quantity.GRAVITY: self._pull}
        self.reset()

    def reset(self) -> mujoco.MjModel:
        """Return the nominal model: nothing is changed any more."""
        self._lasting: tuple[WorldChange, ...] = ()
        self._model = self.nominal
        self._forces: dict[WorldChange, Floats] = {}
        return self.nominal

    def disturb(self, data: mujoco.MjData, changes: Sequence[WorldChange]) -> mujoco.MjModel:
        """
        Return the model under these changes, and push the last link.

        Directions are found in the state at the onset and stay, whatever else begins or ends.

        :param data: the state now; its applied forces are set
        :param changes: all that hold; without any it is the nominal model itself, and no push
        :raises ValueError: a change that this model does not feel; nothing is changed then
        """
        forces = {c: self._forces[c] if c in self._forces else make(data, c)
                  for c in changes if (make := self._directed.get(c.quantity)) is not None}
        lasting = tuple(c for c in changes if c.quantity is not Quantity.IMPULSE)
        if lasting != self._lasting:
            self._model, self._lasting = self._edited(lasting, forces), lasting
            mujoco.mj_camlight(self._model, data)
        self._forces = forces
        pushes = [force for c, force in forces.items() if c.quantity is Quantity.IMPULSE]
        data.xfrc_applied[self.body, :3] = np.sum(pushes, axis=0) if pushes else 0.0
        return self._model

    def _edited(self, changes: Sequence[WorldChange],
                forces: Mapping[WorldChange, Floats]) -> mujoco.MjModel:
        if not changes:
            return self.nominal
        model = copy.copy(self.nominal)
        for change in changes:
            if change.quantity is Quantity.GRAVITY:
                model.opt.gravity[:] += forces[change]
            else:
                self._edits[change.quantity](model, change)
        # what the solver derives from masses
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    # edits of a copy ----------------------------------------------------------------------------

    def _weigh(self, model: mujoco.MjModel, change: WorldChange) -> None:
        data = mujoco.MjData(self.nominal)
        mujoco.mj_forward(self.nominal, data)
        jacobian = self._jacobian(data)[:, self._dofs]
        levers = np.sum(jacobian**2, axis=0)
        able = levers > _IMMOBILE
        model.body_mass[self.body] += change.amount * float(np.min(
            self.nominal.dof_M0[self._dofs][able] / levers[able]))

    def _rub(self, model: mujoco.MjModel, change: WorldChange) -> None:
        model.dof_frictionloss[self._dofs] += change.amount * self._force

    def _grip(self, model: mujoco.MjModel, change: WorldChange) -> None:
        if not model.npair and not (model.geom_contype.any() and model.geom_conaffinity.any()):
            raise ValueError('nothing touches anything in this task')
        model.geom_friction[:] *= 1.0 + change.amount
        model.pair_friction[:] *= 1.0 + change.amount

    def _damp(self, model: mujoco.MjModel, change: WorldChange) -> None:
        # a matrix since MuJoCo 4: the first column is the linear part
        linear = model.dof_damping.reshape(model.nv, -1)
        linear[self._dofs, 0] += change.amount * self.nominal.dof_M0[self._dofs]

    def _weaken(self, model: mujoco.MjModel, change: WorldChange) -> None:
        hit = self._actuators
        if change.which >= 0.0:
            hit = hit[int(change.which * len(hit)):][:1]
        model.actuator_gainprm[hit] *= 1.0 - change.amount
        model.actuator_biasprm[hit] *= 1.0 - change.amount

    def _shift_camera(self, model: mujoco.MjModel, change: WorldChange) -> None:
        camera = model.camera(CAMERA).id
        right, up, back = _axes(model.cam_quat[camera])
        distance = abs(float((model.cam_pos[camera] - model.stat.center) @ back))
        x, y, _ = change.direction
        model.cam_pos[camera] += change.amount * distance * (x * right + y * up)

    # what has a direction -----------------------------------------------------------------------

    def _push(self, data: mujoco.MjData, change: WorldChange) -> Floats:
        """
        Return the force of a push on the last link [N], world, shape (3,).

        Its unit is the force that, across the lever each actuated joint has now, the first of
        the actuators can just hold.
        """
        jacobian = self._jacobian(data)
        levers = np.linalg.norm(jacobian[:, self._dofs], axis=0)
        able = levers > _IMMOBILE
        if not able.any():
            raise ValueError('no actuator can move the last link')
        held = float(np.min(self._force[able] / levers[able]))
        return change.amount * held * _along(jacobian, change)

    def _pull(self, data: mujoco.MjData, change: WorldChange) -> Floats:
        """Return an acceleration added to gravity [m/s^2], world, shape (3,)."""
        added = change.amount * G * _along(self._jacobian(data), change)
        load = np.zeros(self.nominal.nv)
        for body in range(1, self.nominal.nbody):
            jacobian = np.zeros((3, self.nominal.nv))
            mujoco.mj_jacBodyCom(self.nominal, data, jacobian, None, body)
            load += jacobian.T @ added * self.nominal.body_mass[body]
        felt = float(np.max(np.abs(load[self._dofs]) / self._force))
        if felt < _NOTICEABLE * change.amount:
            raise ValueError(f'gravity has no grip here: it would load the actuators by '
                             f'{100 * felt:.2g} %')
        return added

    def _jacobian(self, data: mujoco.MjData) -> Floats:
        """Return how the last link moves with the joints, (3, nv)."""
        jacobian = np.zeros((3, self.nominal.nv))
        mujoco.mj_jacBodyCom(self.nominal, data, jacobian, None, self.body)
        return jacobian

    def _largest_forces(self) -> Floats:
        """Return what each actuated joint's actuator can exert [N or N m], (A,)."""
        model, at = self.nominal, self._actuators
        command = np.abs(model.actuator_ctrlrange[at]).max(axis=1)
        gain = model.actuator_gear[at, 0] * model.actuator_gainprm[at, 0]
        return np.asarray(np.abs(gain) * command, np.float64)


def _last_body(model: mujoco.MjModel, body: int) -> int:
    """Return the last body below one, or the one itself; bodies are numbered depth first."""
    below = {body}
    for other in range(body + 1, model.nbody):
        if int(model.body_parentid[other]) in below:
            below.add(other)
    return max(below)


def _along(jacobian: Floats, change: WorldChange) -> Floats:
    """Return a change's direction, projected onto those in which the link can move, unit, (3,)."""
    ways, sizes, _ = np.linalg.svd(jacobian, full_matrices=False)
    free = ways[:, sizes > _IMMOBILE * max(1.0, float(sizes[0]))]
    along = np.asarray(free @ (free.T @ np.array(change.direction)), np.float64)
    length = float(np.linalg.norm(along))
    if length <= _IMMOBILE:
        raise ValueError('the last link cannot move that way')
    return np.asarray(along / length, np.float64)


def _axes(quat: Floats) -> Floats:
    """Return right, up and back of a camera, rows of shape (3, 3), from w x y z."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return np.ascontiguousarray(matrix.reshape(3, 3).T)
