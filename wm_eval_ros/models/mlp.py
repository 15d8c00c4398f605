"""One feed-forward network: the plain baseline that every other family must beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.network import dense, NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent


@dataclass(frozen=True)
class MlpArchitecture(Architecture):
    """Sizes of the network; what ``spec.architecture`` holds."""

    #: share of hidden units left out, in training and in :meth:`MlpModel.uncertainty`
    dropout: float = 0.0


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


class MlpModel(NetworkModel):
    """World model of the family ``mlp``."""

    network = MlpNetwork
    architecture = MlpArchitecture
