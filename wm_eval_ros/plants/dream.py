"""The dream: a learned world model stepped as if it were the world, behind the same topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import Decodes, Latent, WorldModel
from wm_eval_ros.plants.mujoco_plant import MujocoPlant
from wm_eval_ros.plants.recovery import Floats, StateMap
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.records import ImageSample, PoseSample, Sample

#: plug-in name
DREAM = 'dream'
#: reason of an episode whose imagined features are no longer finite
DIVERGED = 'dream diverged'


def world_model(scenario: Scenario) -> WorldModel:
    """
    Load the model that is the world, as a planner in the simulator would.

    :raises CheckpointError: there is no such model, or it does not fit the scenario
    """
    settings = scenario.plant
    return load_model(replace(
        scenario, plant=replace(settings, kind='mujoco', model='', model_sha256='',
                                keyframe_steps=0),
        planner=replace(scenario.planner, model=settings.model,
                        model_sha256=settings.model_sha256)))


class DreamPlant:
    """
    A task as a world model imagines it; see :class:`wm_eval_ros.plants.protocol.Plant`.

    An episode begins in the start state and with the goal that the simulator draws from the seed,
    encoded once. From there on the model imagines one step of its own ``dt`` after the other out
    of its own latent. What it shows, publishes and judges is the state that the decoded features
    determine (:class:`.StateMap`), so that success is the task's own predicate.

    A command that arrives within a step is the command of that step, whenever in it it arrives:
    models are trained on commands of random latency, after the command still in force. Of several
    the last one counts; without one the command before stays in force. A command that arrives as
    a step ends is the next one's. The state changes only where a step ends.

    :param task: name of the task
    :param model: what imagines; must decode its latents
    :param keyframe_steps: after so many imagined steps the state is that of the simulator, which
        then runs beside under the same commands; 0: never
    :raises ConfigError: the features do not determine the state, or the step of the model is no
        multiple of the simulator's
    """

    def __init__(
        self, task: str, interface: Interface, model: WorldModel, keyframe_steps: int = 0,
    ) -> None:
        self._shown = MujocoPlant(task, interface)
        if interface.images:
            raise ConfigError('interface.images: a dream shows what features tell; choose a model '
                              'without images')
        if not isinstance(model, Decodes):
            raise ConfigError(f'plant.model: {model.spec.name!r} decodes no features, so there is '
                              'nothing to show')
        self._map = StateMap(task, type(self._shown.task), self._shown.model, interface)
        self._model, self._decoder = model, cast('Decodes', model)
        #: smallest step of time, on which commands are told apart [ns]
        self.step_ns = self._shown.step_ns
        #: time between two states [ns]
        self.state_ns = round(model.spec.dt_s * 1e9)
        if self.state_ns % self.step_ns:
            raise ConfigError(f'plant.model: a step of {self.state_ns / 1e6:g} ms; the dream '
                              f'needs a multiple of {self.step_ns / 1e6:g} ms')
        self._keyframe_steps = keyframe_steps
        self._reality = MujocoPlant(task, interface) if keyframe_steps else None
        self._low, self._high = (np.array(v) for v in (interface.command.low,
                                                       interface.command.high))
        self._rest = np.array(interface.command.zero)
        facts = [self._shown.model.joint(name) for name in self._shown.task.joints]
        self._qpos = np.array([joint.qposadr[0] for joint in facts])
        self._qvel = np.array([joint.dofadr[0] for joint in facts])
        self.reset(0)

    @classmethod
    def for_scenario(cls, scenario: Scenario) -> DreamPlant:
        """
        Make the dream of a scenario.

        :raises ConfigError: the model's step does not fit the control period
        :raises CheckpointError: there is no such model, or it does not fit the scenario
        """
        settings = scenario.plant
        made = cls(settings.task, scenario.interface, world_model(scenario),
                   settings.keyframe_steps)
        if round(scenario.planner.period_ms * 1e6) % made.state_ns:
            period_ms = scenario.planner.period_ms
            raise ConfigError(f'planner.period_ms: {period_ms:g}; the dream moves in '
                              f'steps of {made.state_ns / 1e6:g} ms: give a multiple')
        return made

    @torch.inference_mode()
    def reset(self, seed: int) -> None:
        """Start an episode where the simulator starts it; the model's own dice are seeded too."""
        self._shown.reset(seed)
        if self._reality is not None:
            self._reality.reset(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._time_ns, self._steps, self._diverged = 0, 0, False
        self._command = self._rest
        self._z: Latent = self._model.encode(self._seen(self._shown), None, None,
                                             torch.tensor([True]))

    def apply(self, action: NDArray[np.float64]) -> None:
        """
        Take a command, shape (A,), for the step that time is in, clipped to its limits.

        :raises ValueError: the shape is another, or a number is not finite; nothing changes
        """
        self._shown.apply(action)
        if self._reality is not None:
            self._reality.apply(action)
        self._command = np.clip(np.asarray(action, np.float64), self._low, self._high)

    def advance(self, duration_ns: int) -> None:
        """
        Let time pass; imagine each step of the model that ends meanwhile.

        :raises ValueError: negative, or not a multiple of ``step_ns``
        """
        if duration_ns < 0 or duration_ns % self.step_ns:
            raise ValueError(f'cannot advance by {duration_ns} ns: '
                             f'not a whole number of steps of {self.step_ns} ns')
        end_ns = self._time_ns + duration_ns
        while self._time_ns < end_ns:
            until_ns = min(end_ns, (self._time_ns // self.state_ns + 1) * self.state_ns)
            if self._reality is not None:
                self._reality.advance(until_ns - self._time_ns)
            self._time_ns = until_ns
            if until_ns % self.state_ns == 0:
                self._imagine()

    @property
    def time_ns(self) -> int:
        """Task time since the reset [ns]."""
        return self._time_ns

    def observe(self) -> Mapping[str, Sample]:
        """Return the imagined state by topic of the interface."""
        return self._shown.observe()

    def goal(self) -> PoseSample | None:
        """Return the goal, which is not imagined; None where it is fixed."""
        return self._shown.goal()

    def solved(self) -> bool:
        """Say whether the success predicate holds in the imagined state."""
        return not self._diverged and self._shown.solved()

    @property
    def hold_s(self) -> float:
        """How long the predicate must hold without a break [s]."""
        return self._shown.hold_s

    def failed(self) -> str:
        """Name what ended the episode as a failure; empty: nothing did."""
        return DIVERGED if self._diverged else self._shown.failed()

    def render(self, width: int, height: int) -> ImageSample:
        """Draw the imagined state; the picture is the simulator's, not the model's."""
        return self._shown.render(width, height)

    def close(self) -> None:
        """Free the OpenGL context, if there is one; from the thread that rendered."""
        self._shown.close()

    def state(self) -> NDArray[np.float64]:
        """Return the model's latent, shape (D,)."""
        return self._z[0].double().numpy()

    @torch.inference_mode()
    def _imagine(self) -> None:
        """Take one step of the model; a dream that is no longer finite stays as it was."""
        if self._diverged:
            return
        unit = 2.0 * (self._command - self._low) / (self._high - self._low) - 1.0
        action = torch.as_tensor(unit, dtype=torch.float32)[None]
        self._steps += 1
        if self._reality is not None and self._steps % self._keyframe_steps == 0:
            self._z = self._model.encode(self._seen(self._reality), self._z, action,
                                         torch.tensor([False]))
        else:
            self._z = self._model.predict(self._z, action[:, None],
                                          generator=self._generator)[:, 0]
        features = self._decoder.decode(self._z).double().numpy()
        if not np.isfinite(features).all():
            self._diverged = True
            return
        self._show(features)

    def _show(self, features: Floats) -> None:
        """Bring what is observed into the state that has these features, (1, F)."""
        qpos, qvel = self._map.states(features)
        data = self._shown.data
        data.qpos[self._qpos], data.qvel[self._qvel] = qpos[0, self._qpos], qvel[0, self._qvel]
        mujoco.mj_kinematics(self._shown.model, data)

    def _seen(self, plant: MujocoPlant) -> torch.Tensor:
        """Return the features that the state of a simulator has, (1, F)."""
        return torch.as_tensor(self._map.features_of(plant.data), dtype=torch.float32)
