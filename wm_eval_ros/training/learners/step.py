"""Training of the families that imagine features step by step."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn

from wm_eval_ros.models.network import StepNetwork
from wm_eval_ros.training.learners.network import NetworkLearner
from wm_eval_ros.training.learners.seeded import seeded


class StepLearner(NetworkLearner):
    """Squared errors of all steps of a window."""

    _net: StepNetwork

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Mean squared error of all steps, observed and imagined ones, in units of the change."""
        self._net.train()
        drops = any(isinstance(module, nn.Dropout) for module in self._net.modules())
        with seeded(generator) if drops else nullcontext():
            taught, imagined = self._foresee(features[0], before[0], actions[0])
        return torch.cat([taught, imagined], 1).square().mean()

    @torch.no_grad()
    def errors(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """Return the errors of the imagined features in units of the change, (B, U, F)."""
        self._net.eval()
        return self._foresee(features, before, actions)[1]

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
