"""
Probabilistic ensemble of latent dynamics, after PETS (Chua et al. 2018, arXiv:1805.12114).

The latent is the vector of standardised features followed by the command still in force: the
command of slot k takes effect a planner's latency after the slot begins, so what the world does
in that slot depends on the command before it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import itertools
from typing import ClassVar

import torch

from wm_eval_ros.models.architecture import parse_architecture, require_interface
from wm_eval_ros.models.in_force import command_at_rest, command_in_force
from wm_eval_ros.models.protocol import Latent, WorldModelSpec

#: tensors with one entry a feature
_PER_FEATURE = ('feature_mean', 'feature_scale', 'delta_mean', 'delta_scale', 'min_logvar',
                'max_logvar')


@dataclass(frozen=True)
class EnsembleArchitecture:
    """Sizes of the ensemble; what ``spec.architecture`` holds."""

    #: features F
    features: int
    #: command fields A
    actions: int
    #: members M
    members: int = 5
    #: width of the hidden layers
    hidden: int = 128
    #: number of hidden layers
    layers: int = 2
    #: silu or relu
    activation: str = 'silu'

    @property
    def latent(self) -> int:
        """Length D of a latent: the features and the command in force."""
        return self.features + self.actions

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every tensor of a checkpoint; all are float32."""
        out: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_FEATURE, (self.features,))
        sizes = [self.latent + self.actions, *[self.hidden] * self.layers, 2 * self.features]
        for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
            out[f'weight{i}'] = (self.members, rows, columns)
            out[f'bias{i}'] = (self.members, 1, columns)
        return out


class EnsembleNet:
    """
    The members' networks, one batched weight tensor per layer.

    :param tensors: as :meth:`EnsembleArchitecture.shapes` names them
    """

    def __init__(self, arch: EnsembleArchitecture, tensors: Mapping[str, torch.Tensor]) -> None:
        self.arch = arch
        self.tensors = dict(tensors)
        self.weights = [tensors[f'weight{i}'] for i in range(arch.layers + 1)]
        self.biases = [tensors[f'bias{i}'] for i in range(arch.layers + 1)]
        self._relu = arch.activation == 'relu'

    @staticmethod
    def initial(arch: EnsembleArchitecture, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return fresh tensors: normal weights of variance 1 / fan-in, unit standardisation."""
        out: dict[str, torch.Tensor] = {}
        for name, shape in arch.shapes().items():
            if name.startswith('weight'):
                out[name] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
            elif name.endswith('_scale'):
                out[name] = torch.ones(shape)
            else:
                out[name] = torch.zeros(shape)
        out['min_logvar'] -= 8.0
        out['max_logvar'] += 0.5
        return out

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """(M, N, D + A) -> (M, N, hidden): all layers but the head."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.baddbmm(bias, x, weight)
            x = torch.relu_(x) if self._relu else torch.nn.functional.silu(x, inplace=True)
        return x

    def head(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Predict the distribution of the change of each feature.

        :param x: standardised features, command before, command; (M, N, D + A)
        :returns: mean and log-variance in units of ``delta_scale``, (M, N, F) each; the
            log-variance is bounded softly by the learned bounds, as in PETS, appendix A.1
        """
        out = torch.baddbmm(self.biases[-1], self.hidden(x), self.weights[-1])
        mean, logvar = out[..., :self.arch.features], out[..., self.arch.features:]
        low, high = self.tensors['min_logvar'], self.tensors['max_logvar']
        logvar = high - torch.nn.functional.softplus(high - logvar)
        logvar = low + torch.nn.functional.softplus(logvar - low)
        return mean, logvar


class EnsembleModel:
    """
    World model of the family ``ensemble``.

    A rollout is deterministic: at each step the members' means are averaged, and the average is
    the next latent. Against one fixed member per candidate (TS-inf of PETS) this makes the cost
    of a candidate independent of its place in the batch, so that costs of different iterations
    compare and the same plan always costs the same; the disagreement, which TS-inf feels as
    noise of the cost, is reported by :meth:`uncertainty` instead and weighted by
    ``planner.uncertainty_weight``.
    """

    #: a weight is a matrix (inputs, outputs) for each member
    members_first: ClassVar[bool] = True

    @staticmethod
    def tensor_shapes(spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself or the spec's interface
        """
        arch = parse_architecture(EnsembleArchitecture, spec.architecture, where)
        require_interface(spec, arch.features, arch.actions, where)
        return arch.shapes()

    def __init__(self, spec: WorldModelSpec, tensors: Mapping[str, torch.Tensor]) -> None:
        self.spec = spec
        self.arch = parse_architecture(EnsembleArchitecture, spec.architecture, spec.name)
        self.net = EnsembleNet(self.arch, tensors)
        f = self.arch.features
        self._rest = command_at_rest(spec.interface.command)
        delta_scale = tensors['delta_scale'] / tensors['feature_scale']
        self._mean, self._scale = tensors['feature_mean'], tensors['feature_scale']
        # The head for planning: means only, already in standardised units of the features.
        self._head = tensors[f'weight{self.arch.layers}'][..., :f] * delta_scale
        self._head_bias = (tensors[f'bias{self.arch.layers}'][..., :f] * delta_scale
                           + tensors['delta_mean'] / tensors['feature_scale'])
        stacked = self._head.reshape(-1, f) / self.arch.members
        self._fused_head, self._fused_bias = stacked.contiguous(), self._head_bias.mean(0)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything a checkpoint stores."""
        return self.net.tensors

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Name of each latent coordinate, (D,): the features, then the command in force."""
        command = self.spec.interface.command
        return (*self.spec.feature_names, *(f'{command.topic}.{f}' for f in command.fields))

    @property
    def latent_mean(self) -> torch.Tensor:
        """Physical value of latent 0, (D,); commands are in [-1, 1] already."""
        return torch.cat([self._mean, torch.zeros(self.arch.actions)])

    @property
    def latent_scale(self) -> torch.Tensor:
        """Physical size of one latent unit, (D,)."""
        return torch.cat([self._scale, torch.ones(self.arch.actions)])

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """
        Standardise one time step and append the command in force.

        :param obs: features in physical units, (B, F)
        :param prev: not used: the latent is a function of this step alone
        :param prev_action: command executed up to this step, in [-1, 1], (B, A); None: rest
        :param is_first: rows where an episode begins, (B,): the command in force is rest there,
            a command of 0 in its own units
        :returns: (B, D), float32
        """
        z = (obs.to(torch.float32) - self._mean) / self._scale
        action = command_in_force(prev_action, is_first, self._rest, len(z))
        return torch.cat([z, action], dim=-1)

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """
        Roll the ensemble's mean forward.

        :param z: (B, D); B = 1 is shared by all action sequences
        :param actions: in [-1, 1], (B, H, A)
        :param generator: not used: the rollout is deterministic
        :returns: (B, H, D)
        """
        return self._roll(z, actions, None)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Do what :meth:`predict` does with gradients, where there are any to follow."""
        return self.rolled_with_uncertainty(z, actions)[0]

    def rolled_with_uncertainty(
        self, z: Latent, actions: torch.Tensor
    ) -> tuple[Latent, torch.Tensor]:
        """Do what :meth:`imagine` does with gradients, where there are any to follow."""
        f, rollout, spread = self.arch.features, [], []
        z = z.expand(len(actions), -1)
        for action in actions.unbind(1):
            x = torch.cat([z, action], -1).expand(self.arch.members, -1, -1)
            each = torch.baddbmm(self._head_bias, self.net.hidden(x), self._head)
            spread.append(each.std(0, correction=0).mean(-1))
            z = torch.cat([z[:, :f] + each.mean(0), action], -1)
            rollout.append(z)
        return torch.stack(rollout, 1), torch.stack(spread, 1)

    @torch.inference_mode()
    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, H, A) -> (B, H): members' standard deviation, mean over features."""
        return self.imagine(z, actions)[1]

    @torch.inference_mode()
    def imagine(self, z: Latent, actions: torch.Tensor) -> tuple[Latent, torch.Tensor]:
        """Return :meth:`predict` and :meth:`uncertainty` of one pass."""
        spread = torch.empty(actions.shape[:2])
        return self._roll(z, actions, spread), spread

    @torch.inference_mode()
    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """
        Predict the standard deviation of each entry of a rollout.

        Every member is rolled along its own mean (TS-inf of PETS); the variance is the members'
        disagreement plus the sum of the noise they predict, averaged over the members. That the
        noise of one step grows or shrinks in the next is left out.

        :param z: (B, D)
        :param actions: in [-1, 1], (B, H, A)
        :returns: (B, H, D), in units of the latent; 0 for the command in force
        """
        (batch, horizon, width), f, members = actions.shape, self.arch.features, self.arch.members
        unit = self.net.tensors['delta_scale'] / self._scale
        shift = self.net.tensors['delta_mean'] / self._scale
        x = z.expand(batch, -1).expand(members, batch, -1)
        noise, out = torch.zeros(batch, f), torch.zeros(batch, horizon, self.arch.latent)
        for h in range(horizon):
            action = actions[:, h].expand(members, batch, width)
            mean, logvar = self.net.head(torch.cat([x, action], dim=-1))
            state = x[..., :f] + mean * unit + shift
            noise = noise + logvar.exp().mean(0) * unit**2
            out[:, h, :f] = (state.var(0, correction=0) + noise).sqrt()
            x = torch.cat([state, action], dim=-1)
        return out

    @property
    def flops_per_step(self) -> int:
        """Multiplications and additions of one predicted step of one candidate, all members."""
        sizes = [shape for name, shape in self.arch.shapes().items() if name.startswith('weight')]
        inner = sum(rows * columns for _, rows, columns in sizes[:-1])
        return 2 * self.arch.members * (inner + sizes[-1][1] * self.arch.features)

    def decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F) in physical units."""
        return z[..., :self.arch.features] * self._scale + self._mean

    def _roll(self, z: Latent, actions: torch.Tensor, spread: torch.Tensor | None) -> Latent:
        (batch, horizon, _), f, d = actions.shape, self.arch.features, self.arch.latent
        # Row h is the input of step h: features, command before, command. Its first D columns
        # are the latent that step h - 1 led to, so that every value is written once.
        rows = torch.empty(horizon + 1, batch, d + self.arch.actions)
        rows[0, :, :d] = z
        rows[1:, :, f:d] = rows[:-1, :, d:] = actions.transpose(0, 1)
        for h in range(horizon):
            hidden = self.net.hidden(rows[h].expand(self.arch.members, -1, -1))
            if spread is None:
                # One product for all members, their mean folded into the weights.
                delta = torch.addmm(self._fused_bias,
                                    hidden.transpose(0, 1).reshape(batch, -1), self._fused_head)
            else:
                each = torch.baddbmm(self._head_bias, hidden, self._head)
                spread[:, h] = each.std(0, correction=0).mean(-1)
                delta = each.mean(0)
            torch.add(rows[h, :, :f], delta, out=rows[h + 1, :, :f])
        return rows[1:, :, :d].transpose(0, 1)
