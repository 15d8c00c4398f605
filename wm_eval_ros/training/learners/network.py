"""What the training of all families made of one module has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.network import Network
from wm_eval_ros.training.learners.normalise import normalisation
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows


class NetworkLearner:
    """
    One module.

    :param net: with fresh weights, not yet normalised
    """

    members = 1

    def __init__(
        self, net: Network, arch: Architecture, settings: TrainSettings, windows: Windows,
        start: Mapping[str, torch.Tensor] | None,
    ) -> None:
        self._net, self._arch = net, arch
        self.context = settings.observed
        net.load_state_dict({**net.state_dict(), **normalisation(windows)}
                            if start is None else dict(start))
        net.train()

    def architecture(self) -> dict[str, Any]:
        """Return what ``spec.architecture`` is to hold."""
        return vars(self._arch).copy()

    def parameters(self) -> list[torch.Tensor]:
        """Return what gradients change."""
        return list(self._net.parameters())

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return everything a checkpoint stores."""
        return self._net.state_dict()
