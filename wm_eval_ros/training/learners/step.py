"""Training of the families that imagine features step by step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.network import StepNetwork
from wm_eval_ros.training.learners.normalise import normalisation
from wm_eval_ros.training.learners.seeded import seeded
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows


class StepLearner:
    """
    One module.

    :param net: with fresh weights, not yet normalised
    """

    members = 1

    def __init__(
        self, net: StepNetwork, arch: Architecture, settings: TrainSettings, windows: Windows,
        start: Mapping[str, torch.Tensor] | None,
    ) -> None:
        self._net, self._arch = net, arch
        self.context = settings.observed
        net.load_state_dict({**net.state_dict(), **normalisation(windows)}
                            if start is None else dict(start))
        net.train()
        self._drops = any(isinstance(m, nn.Dropout) for m in net.modules())

    def architecture(self) -> dict[str, Any]:
        """Return what ``spec.architecture`` is to hold."""
        return vars(self._arch).copy()

    def parameters(self) -> list[torch.Tensor]:
        """Return what gradients change."""
        return list(self._net.parameters())

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Mean squared error of all steps, observed and imagined ones, in units of the change."""
        self._net.train()
        with seeded(generator) if self._drops else nullcontext():
            taught, imagined = self._foresee(features[0], before[0], actions[0])
        return torch.cat([taught, imagined], 1).square().mean()

    @torch.no_grad()
    def errors(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """Return the errors of the imagined features in units of the change, (B, U, F)."""
        self._net.eval()
        return self._foresee(features, before, actions)[1]

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return everything a checkpoint stores."""
        return self._net.state_dict()

    def _foresee(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return errors in units of the change: from observed steps, and imagined ones.

        The last observed step is the first imagined one; shapes (B, context - 1, F), (B, U, F).
        """
        net, seen = self._net, self.context - 1
        ratio = net.delta_scale / net.feature_scale
        x = (features - net.feature_mean) / net.feature_scale
        carry = x.new_zeros(len(x), net.carry)
        taught = x[:, :0]
        if seen:
            change, carry = net.teach(x[:, :seen], before, actions[:, :seen])
            taught = (net.moved(x[:, :seen], change) - x[:, 1:seen + 1]) / ratio
            before = actions[:, seen - 1]
        imagined = net.rolled(torch.cat([x[:, seen], before, carry], -1), actions[:, seen:])
        return taught, (imagined[..., :net.features] - x[:, seen + 1:]) / ratio
