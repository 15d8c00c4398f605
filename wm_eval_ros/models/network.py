"""
Families made of one torch module.

Their latent is [features, standardised (F) | command in force (A) | carry (C)]. The carry is what
a family with a memory knows of the steps before, as numbers in the latent itself: a recorded
latent holds all that the model knew. Most imagine the change of the features step by step: such a
family defines :meth:`StepNetwork.advance`, and encoding, imagining, training and checkpoints
follow from it. Those with a state of their own are in :mod:`wm_eval_ros.models.state_space`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import itertools
from typing import Any, ClassVar

import torch
from torch import nn

from wm_eval_ros.models.architecture import Architecture, parse_architecture, require_interface
from wm_eval_ros.models.in_force import command_at_rest, command_in_force
from wm_eval_ros.models.protocol import Latent, WorldModelSpec


def dense(sizes: list[int], activation: str, dropout: float = 0.0) -> nn.Sequential:
    """Return layers of these widths, an activation (and dropout) between each two."""
    made: list[nn.Module] = []
    for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        if i:
            made.append(nn.SiLU() if activation == 'silu' else nn.ReLU())
            if dropout:
                made.append(nn.Dropout(dropout))
        made.append(nn.Linear(rows, columns))
    return nn.Sequential(*made)


class Network(nn.Module):
    """
    Networks and normalisation of a family; what a checkpoint stores is its state.

    :param carry: numbers C of the latent that hold what came before; 0: no memory
    """

    def __init__(self, arch: Architecture, carry: int = 0) -> None:
        super().__init__()
        self.features, self.actions, self.carry = arch.features, arch.actions, carry
        for name in ('feature_mean', 'delta_mean'):
            self.register_buffer(name, torch.zeros(arch.features))
        for name in ('feature_scale', 'delta_scale'):
            self.register_buffer(name, torch.ones(arch.features))

    feature_mean: torch.Tensor
    feature_scale: torch.Tensor
    delta_mean: torch.Tensor
    delta_scale: torch.Tensor

    def encoded(
        self, obs: torch.Tensor, prev: Latent | None, action: torch.Tensor,
        is_first: torch.Tensor | None,
    ) -> Latent:
        """
        Take one time step in.

        :param obs: in physical units, (B, F)
        :param prev: latent of the step before, (B, D); None: nothing is remembered
        :param action: command in force, (B, A)
        :param is_first: rows where nothing is remembered, (B,); None: in none of them
        :returns: (B, D)
        """
        raise NotImplementedError

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """
        Imagine steps, each from the one before.

        :param z: (B, D)
        :param actions: (B, H, A)
        :returns: (B, H, D)
        """
        raise NotImplementedError


class StepNetwork(Network):
    """A family that imagines the change of the features step by step."""

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Foresee one step.

        :param z: (B, D)
        :param action: in [-1, 1], (B, A)
        :returns: change of the features in units of ``delta_scale`` about ``delta_mean``, (B, F),
            and the carry after the step, (B, C)
        """
        raise NotImplementedError

    def teach(
        self, x: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Foresee every step of a record from what was observed, for training.

        Families whose steps can be computed side by side do it here.

        :param x: standardised features, (B, T, F)
        :param before: command in force at the first step, (B, A)
        :param actions: (B, T, A)
        :returns: changes as of :meth:`advance`, (B, T, F), and the carry after the last, (B, C)
        """
        carry, found = x.new_zeros(len(x), self.carry), []
        for t in range(x.shape[1]):
            change, carry = self.advance(torch.cat([x[:, t], before, carry], -1), actions[:, t])
            found.append(change)
            before = actions[:, t]
        return torch.stack(found, 1), carry

    def encoded(
        self, obs: torch.Tensor, prev: Latent | None, action: torch.Tensor,
        is_first: torch.Tensor | None,
    ) -> Latent:
        """Standardise, and append the command and what is remembered."""
        x = (obs - self.feature_mean) / self.feature_scale
        carry = x.new_zeros(len(x), self.carry)
        if self.carry and prev is not None:
            _, carry = self.advance(prev, action)
            if is_first is not None:
                carry = carry.masked_fill(is_first[:, None], 0.0)
        return torch.cat([x, action, carry], dim=-1)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Imagine steps, each from the one before; see :meth:`Network.rolled`."""
        found = []
        for action in actions.unbind(1):
            change, carry = self.advance(z, action)
            z = torch.cat([self.moved(z[:, :self.features], change), action, carry], -1)
            found.append(z)
        return torch.stack(found, 1)

    def moved(self, x: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Return standardised features after a change in units of its own scale, (..., F)."""
        return x + (change * self.delta_scale + self.delta_mean) / self.feature_scale


class NetworkModel:
    """
    World model of a family made of a :class:`Network`.

    Subclasses name their network and architecture and add what else they can.
    """

    network: ClassVar[type[Network]]
    architecture: ClassVar[type[Architecture]]

    @classmethod
    def tensor_shapes(cls, spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself or the spec's interface
        """
        arch = cls._parsed(spec, where)
        require_interface(spec, arch.features, arch.actions, where)
        with torch.device('meta'):
            net = cls.network_for(arch, spec.feature_names, spec.dt_s)
            return {n: tuple(t.shape) for n, t in net.state_dict().items()}

    @classmethod
    def network_for(
        cls, arch: Any, feature_names: Sequence[str], dt_s: float
    ) -> Network:
        """
        Make the network, with fresh weights.

        :param arch: as ``architecture`` of this family has it
        :param feature_names: for families that know what the features mean
        :param dt_s: time of one step [s]
        """
        return cls.network(arch)

    @classmethod
    def _parsed(cls, spec: WorldModelSpec, where: str) -> Any:
        return parse_architecture(cls.architecture, spec.architecture, where)

    def __init__(self, spec: WorldModelSpec, tensors: Mapping[str, torch.Tensor]) -> None:
        self.spec = spec
        self.arch = self._parsed(spec, spec.name)
        self.net = self.network_for(self.arch, spec.feature_names, spec.dt_s)
        self.net.load_state_dict(dict(tensors))
        self.net.eval().requires_grad_(False)
        self._rest = command_at_rest(spec.interface.command)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything a checkpoint stores."""
        return dict(self.net.state_dict())

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Name of each latent coordinate, (D,): features, command in force, carry."""
        command = self.spec.interface.command
        return (*self.spec.feature_names, *(f'{command.topic}.{f}' for f in command.fields),
                *(f'memory[{i}]' for i in range(self.net.carry)))

    @property
    def latent_mean(self) -> torch.Tensor:
        """Physical value of latent 0, (D,); 0 but for features."""
        rest = len(self.latent_names) - self.net.features
        return torch.cat([self.net.feature_mean, torch.zeros(rest)])

    @property
    def latent_scale(self) -> torch.Tensor:
        """Physical size of one latent unit, (D,); 1 but for features."""
        rest = len(self.latent_names) - self.net.features
        return torch.cat([self.net.feature_scale, torch.ones(rest)])

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """
        Take one time step in.

        :param obs: in physical units, (B, F)
        :param prev: latent of the step before, (B, D); None: nothing is remembered
        :param prev_action: command executed up to this step, in [-1, 1], (B, A); None: rest
        :param is_first: rows where an episode begins, (B,): rest is in force, nothing remembered
        :returns: (B, D), float32
        """
        action = command_in_force(prev_action, is_first, self._rest, len(obs))
        return self.net.encoded(obs.to(torch.float32), prev, action, is_first)

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """
        Roll the network forward.

        :param z: (B, D); B = 1 is shared by all action sequences
        :param actions: in [-1, 1], (B, H, A)
        :param generator: not used: the rollout is deterministic
        :returns: (B, H, D)
        """
        return self.rolled(z, actions)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Do the same with gradients, where there are any to follow."""
        return self.net.rolled(z.expand(len(actions), -1), actions)

    def decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F) in physical units."""
        return z[..., :self.net.features] * self.net.feature_scale + self.net.feature_mean
