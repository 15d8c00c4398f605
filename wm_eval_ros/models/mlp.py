"""
One feed-forward network: the plain baseline that every other family must beat.

With ``dropout`` above 0 it knows its uncertainty too, as Monte Carlo dropout (Gal & Ghahramani
2016, arXiv:1506.02142): every rollout is imagined again under a fixed number of masks. One mask
is held over all steps of a rollout, since it stands for one set of weights, and a set of weights
does not change from step to step (Gal 2016, arXiv:1512.05287).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.network import dense, NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent, WorldModelSpec

#: of the masks: they are a part of the model, and drawn anew when it is read back
_SEED = 20260101


@dataclass(frozen=True)
class MlpArchitecture(Architecture):
    """Sizes of the network; what ``spec.architecture`` holds."""

    #: share of hidden units left out, in training and in :meth:`DropoutMlpModel.uncertainty`
    dropout: float = 0.0
    #: masks M that a rollout is imagined under, where ``dropout`` is not 0
    masks: int = 16


class MlpNetwork(StepNetwork):
    """Features, command before and command to the change of the features; no memory."""

    def __init__(self, arch: MlpArchitecture) -> None:
        super().__init__(arch)
        self.body = dense([arch.features + 2 * arch.actions, *[arch.hidden] * arch.layers,
                           arch.features], arch.activation, arch.dropout)

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step; see :meth:`StepNetwork.advance`."""
        change: torch.Tensor = self.body(torch.cat([z, action], -1))
        return change, z[..., :0]

    def masked(self, z: Latent, action: torch.Tensor, masks: Sequence[torch.Tensor]
               ) -> torch.Tensor:
        """
        Foresee one step under each mask.

        :param z: (M, B, D)
        :param action: (M, B, A)
        :param masks: of each hidden layer, (M, 1, hidden)
        :returns: changes as of :meth:`advance`, (M, B, F)
        """
        x, left = torch.cat([z, action], -1), iter(masks)
        for module in self.body:
            x = x * next(left) if isinstance(module, nn.Dropout) else module(x)
        return x


class MlpModel(NetworkModel):
    """World model of the family ``mlp``; with dropout it is a :class:`DropoutMlpModel`."""

    network = MlpNetwork
    architecture = MlpArchitecture

    def __new__(
        cls, spec: WorldModelSpec | None = None,
        tensors: Mapping[str, torch.Tensor] | None = None,
    ) -> MlpModel:
        """Make one that knows its uncertainty where the architecture has dropout."""
        # a copy is made without arguments
        drops = spec is not None and spec.architecture.get('dropout')
        return super().__new__(DropoutMlpModel if drops else cls)


class DropoutMlpModel(MlpModel):
    """
    An mlp with dropout: :meth:`predict` is the mean network, without any mask.

    The masks are drawn once, so that the same rollout has the same uncertainty whatever is
    imagined beside it.
    """

    def __init__(self, spec: WorldModelSpec, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__(spec, tensors)
        arch: Any = self.arch
        rng, keep = torch.Generator().manual_seed(_SEED), 1.0 - arch.dropout
        self._masks = [(torch.rand((arch.masks, 1, arch.hidden), generator=rng) < keep) / keep
                       for _ in range(arch.layers)]

    @torch.inference_mode()
    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, H, A) -> (B, H): standard deviation over masks, mean over features."""
        return _disagreement(self._under_masks(z, actions))

    @torch.inference_mode()
    def imagine(self, z: Latent, actions: torch.Tensor) -> tuple[Latent, torch.Tensor]:
        """Return :meth:`predict` and :meth:`uncertainty`."""
        return self.predict(z, actions), self.uncertainty(z, actions)

    def rolled_with_uncertainty(
        self, z: Latent, actions: torch.Tensor
    ) -> tuple[Latent, torch.Tensor]:
        """Do what :meth:`imagine` does with gradients, where there are any to follow."""
        return self.rolled(z, actions), _disagreement(self._under_masks(z, actions))

    @torch.inference_mode()
    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """
        Say how far the rollouts under the masks lie from the one of the mean network.

        The noise of the world itself is not a part of it: dropout knows none.

        :param z: (B, D)
        :param actions: in [-1, 1], (B, H, A)
        :returns: root mean square over masks, (B, H, D), in units of the latent; 0 for the
            command in force
        """
        f, rollout = self.net.features, self.predict(z, actions)
        off = self._under_masks(z, actions) - rollout[..., :f]
        out = torch.zeros_like(rollout)
        out[..., :f] = off.square().mean(0).sqrt()
        return out

    def _under_masks(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return the standardised features of a rollout under each mask, (M, B, H, F)."""
        net: Any = self.net
        count, f, found = len(self._masks[0]), net.features, []
        z = z.expand(len(actions), -1).expand(count, -1, -1)
        for action in actions.expand(count, -1, -1, -1).unbind(2):
            x = net.moved(z[..., :f], net.masked(z, action, self._masks))
            z = torch.cat([x, action], -1)
            found.append(x)
        return torch.stack(found, 2)


def _disagreement(rollouts: torch.Tensor) -> torch.Tensor:
    return rollouts.std(0, correction=0).mean(-1)
