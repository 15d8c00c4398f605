"""A MuJoCo model with changes of the world in it; the nominal model is never touched."""

from __future__ import annotations

from collections.abc import Sequence
import copy

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.perturb.protocol import Quantity, WorldChange
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks.task import Task

#: directions in which a link moves less than this share of its best are not pushed in
_IMMOBILE = 1e-6


class Disturber:
    """Makes disturbed copies of one task's model, and the forces of pushes."""

    def __init__(self, model: mujoco.MjModel, task: type[Task]) -> None:
        """Look up the last moving link and the actuators."""
        self.nominal = model
        joint = model.joint(task.joints[-1])
        #: the last moving link
        self.body = int(joint.bodyid[0])

    def model(self, changes: Sequence[WorldChange]) -> mujoco.MjModel:
        """
        Return the model under these changes; without any, the nominal one itself.

        :raises ValueError: a change without effect on this model
        """
        lasting = [c for c in changes if c.quantity is not Quantity.IMPULSE]
        if not lasting:
            return self.nominal
        model = copy.copy(self.nominal)
        for change in lasting:
            self._edit(model, change)
        # inertias that the solver derives from the masses
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def push(self, data: mujoco.MjData, changes: Sequence[WorldChange]) -> NDArray[np.float64]:
        """Return the force on the last link [N], world, shape (3,): the sum of all pushes."""
        force = np.zeros(3)
        for change in changes:
            if change.quantity is Quantity.IMPULSE:
                force += change.amount * self._unit_push(data, np.array(change.direction))
        return force

    def _edit(self, model: mujoco.MjModel, change: WorldChange) -> None:
        if change.quantity is Quantity.PAYLOAD:
            model.body_mass[self.body] *= change.amount
            model.body_inertia[self.body] *= change.amount

    def _unit_push(
        self, data: mujoco.MjData, direction: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """
        Return the force that the actuators can just hold against, in a direction the link has.

        The direction is projected onto those in which the link can move; the force is as large as
        the first actuator's largest torque allows, by the transposed Jacobian.
        """
        model = self.nominal
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jacBodyCom(model, data, jacobian, None, self.body)
        u, s, _ = np.linalg.svd(jacobian, full_matrices=False)
        free = u[:, s > _IMMOBILE * s[0]]
        along = free @ (free.T @ direction)
        along /= np.linalg.norm(along)
        load = np.abs(jacobian.T @ along)
        held = [(load[dof], torque) for dof, torque in self._torques() if load[dof] > 1e-9]
        strength = min((torque / arm for arm, torque in held), default=0.0)
        push: NDArray[np.float64] = along * strength
        return push

    def _torques(self) -> list[tuple[int, float]]:
        """Return degree of freedom and largest force of each actuator of a joint."""
        model = self.nominal
        found = []
        for i in range(model.nu):
            dof = int(model.jnt_dofadr[model.actuator_trnid[i, 0]])
            command = float(np.abs(model.actuator_ctrlrange[i]).max())
            found.append((dof, abs(model.actuator_gear[i, 0] * model.actuator_gainprm[i, 0])
                          * command))
        return found
