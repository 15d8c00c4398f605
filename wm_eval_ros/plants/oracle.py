"""
The oracle: MuJoCo itself as a world model, to tell a model's failures from the planner's.

With it in place of a learned model, the same planner searches the true dynamics: what it then
solves and did not solve before was the model's fault, what it still does not solve the planner's.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.in_force import command_at_rest, command_in_force
from wm_eval_ros.models.protocol import Latent, WorldModelSpec
from wm_eval_ros.plants.recovery import Floats, StateMap
from wm_eval_ros.plants.simulator import mujoco
from wm_eval_ros.plants.tasks import load_task
from wm_eval_ros.records import ClockMode

#: name of the model and of its family
ORACLE = 'oracle'
_PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS


class OracleModel:
    """
    World model of the family ``oracle``: no weights, the plant's own dynamics.

    The latent is the features in physical units followed by the command still in force, in
    [-1, 1]: the layout of the family ``ensemble``, not standardised. A command takes effect
    ``latency_ns`` after its slot begins, rounded up to the simulation step as the plant in
    ``lockstep`` does; whole periods of it are the planner's, which rolls the model through the
    commands in flight (``planner.delay_steps``), and what is left above one period counts as one.
    A rollout that diverges is NaN from there on.

    :param task: name of the task
    :param period_ns: control period [ns], a multiple of the simulation step
    :param latency_ns: from the begin of a slot to its command's effect [ns]
    :param threads: of the batch; the result does not depend on them
    :raises ConfigError: the interface does not determine the state, or the period does not fit
    """

    def __init__(
        self, task: str, interface: Interface, *, period_ns: int, latency_ns: int,
        threads: int = 1,
    ) -> None:
        kind = load_task(task)
        spec = kind.spec()
        self._model: mujoco.MjModel = spec.compile()
        self._map = StateMap(task, kind, self._model, interface)
        step_ns = round(self._model.opt.timestep * 1e9)
        if period_ns % step_ns or period_ns <= 0:
            raise ConfigError(f'planner.period_ms: {period_ns / 1e6:g}; the oracle needs a '
                              f'multiple of the simulation step, {step_ns / 1e6:g} ms')
        self._steps = period_ns // step_ns
        self._delay = min(self._steps, -(-latency_ns // step_ns))
        self._bind_command(kind.commands, interface)
        self._rest = command_at_rest(interface.command)
        self._batch = _Batch(self._model, threads)
        self.spec = self._spec(task, interface, period_ns, spec.to_xml())

    @classmethod
    def for_scenario(cls, scenario: Scenario) -> OracleModel:
        """
        Make the oracle of a scenario.

        :raises ConfigError: not a MuJoCo plant, or the latency of a command is not known ahead
        """
        planner, clock = scenario.planner, scenario.clock
        if scenario.plant.kind != 'mujoco':
            raise ConfigError(f'planner.model: the oracle is the simulator of the plant mujoco; '
                              f'plant.kind is {scenario.plant.kind}')
        declared = clock is ClockMode.LOCKSTEP and planner.latency_ms >= 0
        if clock is not ClockMode.FREE and (not declared or planner.latency_trace):
            raise ConfigError(
                'planner.model: the oracle must know when a command takes effect, and is slower '
                'than the world: run it with clock lockstep and a declared planner.latency_ms, '
                'without planner.latency_trace')
        latency_ms = planner.latency_ms if clock is ClockMode.LOCKSTEP else 0.0
        latency_ms = max(0.0, latency_ms - planner.delay_steps * planner.period_ms)
        return cls(scenario.plant.task, scenario.interface,
                   period_ns=round(planner.period_ms * 1e6), latency_ns=round(latency_ms * 1e6),
                   threads=planner.torch_threads)

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Name of each latent coordinate, (D,): the features, then the command in force."""
        command = self.spec.interface.command
        return (*self.spec.feature_names, *(f'{command.topic}.{f}' for f in command.fields))

    @property
    def latent_mean(self) -> torch.Tensor:
        """Zero: latents are in physical units, (D,)."""
        return torch.zeros(len(self.latent_names))

    @property
    def latent_scale(self) -> torch.Tensor:
        """One: latents are in physical units, (D,)."""
        return torch.ones(len(self.latent_names))

    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """
        Append the command in force to the features.

        :param obs: features in physical units, (B, F)
        :param prev: not used: the features determine the state
        :param prev_action: command executed up to this step, in [-1, 1], (B, A); None: rest
        :param is_first: rows where an episode begins, (B,): rest is in force there
        :returns: (B, D), float32
        """
        z = obs.to(torch.float32)
        action = command_in_force(prev_action, is_first, self._rest, len(z))
        return torch.cat([z, action], dim=-1)

    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """
        Step the simulator.

        :param z: (B, D); B = 1 is shared by all action sequences
        :param actions: in [-1, 1], (B, H, A)
        :param generator: not used: the world is deterministic
        :returns: (B, H, D); NaN from where the simulation diverged or the latent was not finite
        """
        start = z.detach().double().numpy()
        chosen = actions.detach().double().clamp(-1.0, 1.0).numpy()
        f = len(self._map.names)
        if len(start) == 1 < len(chosen):
            start = np.repeat(start, len(chosen), axis=0)
        features = self._roll(start[:, :f], np.concatenate([start[:, None, f:], chosen], axis=1))
        return torch.cat([torch.from_numpy(features.astype(np.float32)),
                          actions.to(torch.float32)], dim=-1)

    def decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F) in physical units."""
        return z[..., :len(self._map.names)]

    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return zeros, (B, H): the truth has no second opinion."""
        return torch.zeros(actions.shape[:2])

    def _roll(self, features: Floats, commands: Floats) -> Floats:
        """(B, F), (B, 1 + H, A) -> (B, H, F)."""
        batch, horizon = len(features), commands.shape[1] - 1
        finite = np.isfinite(features).all(1) & np.isfinite(commands).all((1, 2))
        out = np.full((batch, horizon, features.shape[1]), np.nan)
        if not finite.any():
            return out
        qpos, qvel = self._map.states(features[finite])
        control = self._control(commands[finite])
        states, alive = self._batch.roll(qpos, qvel, control, self._steps)
        nq = self._model.nq
        found = np.full((*alive.shape, features.shape[1]), np.nan)
        found[alive] = self._map.features(states[alive][:, :nq], states[alive][:, nq:])
        out[finite] = found
        return out

    def _control(self, commands: Floats) -> Floats:
        """Return what each simulation step runs under, (B, H * steps, nu)."""
        values = self._low + (commands + 1.0) / 2.0 * (self._high - self._low)
        before, now = values[:, :-1, None], values[:, 1:, None]
        late = np.arange(self._steps)[:, None] < self._delay
        effective = np.where(late, before, now)                      # (B, H, steps, A)
        control = np.zeros((len(commands), effective.shape[1] * self._steps, self._model.nu))
        control[:, :, self._actuators] = effective.reshape(*control.shape[:2], -1)
        return control

    def _bind_command(self, known: Any, interface: Interface) -> None:
        command = interface.command
        self._low, self._high = np.array(command.low), np.array(command.high)
        drives = self._model.actuator_trnid[:, 0]
        self._actuators = [int(np.flatnonzero(drives == self._model.joint(known[f]).id)[0])
                           for f in command.fields]

    def _spec(self, task: str, interface: Interface, period_ns: int, xml: str) -> WorldModelSpec:
        step_ns = round(self._model.opt.timestep * 1e9)
        delay_ns = self._delay * step_ns
        engine = version('mujoco')
        identity = f'{engine}\n{period_ns}\n{delay_ns}\n{xml}'
        return WorldModelSpec(
            name=ORACLE, version=engine, sha256=hashlib.sha256(identity.encode()).hexdigest(),
            family=ORACLE, interface=interface, feature_names=self._map.names,
            dt_s=period_ns * 1e-9,
            architecture={'task': task, 'step_ns': step_ns, 'delay_ns': delay_ns},
            provenance={'mujoco': engine})


class _Batch:
    """Many copies of one world, stepped together."""

    def __init__(self, model: mujoco.MjModel, threads: int) -> None:
        # not at the top: there it would come before the import that explains a broken OpenGL
        from mujoco.rollout import Rollout
        self._model = model
        self._data = [mujoco.MjData(model) for _ in range(max(1, threads))]
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)
        self._reset = np.empty(mujoco.mj_stateSize(model, _PHYSICS))
        mujoco.mj_resetData(model, self._data[0])
        mujoco.mj_getState(model, self._data[0], self._reset, _PHYSICS)

    def roll(
        self, qpos: Floats, qvel: Floats, control: Floats, every: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """
        Step all worlds from rest of everything but position and velocity.

        :param control: of each step, (B, H * every, nu)
        :param every: steps between two states returned
        :returns: qpos and qvel side by side, (B, H, nq + nv), and which of them are alive (B, H)
        """
        model = self._model
        start = np.tile(self._reset, (len(qpos), 1))
        start[:, 0] = 0.0
        start[:, 1:1 + model.nq] = qpos
        start[:, 1 + model.nq:1 + model.nq + model.nv] = qvel
        states, _ = self._rollout.rollout(model, self._data, start, control)
        kept = states[:, every - 1::every]
        # A world that warns of divergence is not stepped on: its time stands still.
        due = np.arange(1, kept.shape[1] + 1) * (every * model.opt.timestep)
        alive = np.abs(kept[:, :, 0] - due) < 0.5 * model.opt.timestep
        states = kept[:, :, 1:1 + model.nq + model.nv]
        return states, alive & np.isfinite(states).all(-1)
