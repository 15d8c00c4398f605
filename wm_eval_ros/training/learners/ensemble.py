"""Training of the ensemble: Gaussian likelihood along each member's own imagined mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleNet
from wm_eval_ros.training.learners.normalise import normalisation
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows


class EnsembleLearner:
    """The members' tensors."""

    context = 1

    def __init__(
        self, settings: TrainSettings, windows: Windows, generator: torch.Generator,
        start: Mapping[str, torch.Tensor] | None,
    ) -> None:
        self.members = settings.members
        self._arch = EnsembleArchitecture(
            windows.features.shape[1], windows.actions.shape[1], members=settings.members,
            hidden=settings.hidden, layers=settings.layers, activation=settings.activation)
        if start is None:
            self._tensors = {**EnsembleNet.initial(self._arch, generator),
                             **normalisation(windows)}
        else:
            self._tensors = {n: t.detach().clone() for n, t in start.items()}
        self._net = EnsembleNet(self._arch, self._tensors)
        self._trainable = [t.requires_grad_() for n, t in self._tensors.items()
                           if not n.endswith(('_mean', '_scale'))]

    def architecture(self) -> dict[str, Any]:
        """Return what ``spec.architecture`` is to hold."""
        return vars(self._arch).copy()

    def parameters(self) -> list[torch.Tensor]:
        """Return what gradients change."""
        return self._trainable

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """
        Gaussian negative log-likelihood along each member's own imagined mean.

        The variance is fitted to the first step alone: it is that of one step, and errors that
        have added up over a window are none of it.
        """
        low, high = self._tensors['min_logvar'], self._tensors['max_logvar']
        loss = 0.01 * (high.sum() - low.sum())
        for u, (error, logvar) in enumerate(self._imagine(features, before, actions)):
            if u:
                logvar = logvar.detach()
            loss = loss + (error.square() * (-logvar).exp() + logvar).mean() / actions.shape[-2]
        return loss

    def errors(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """Return the errors of the members' mean in units of the change, (B, U, F)."""
        steps = self._imagine(*(v.expand(self.members, *v.shape)
                                for v in (features, before, actions)))
        return torch.stack([error.mean(0) for error, _ in steps], 1)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return everything a checkpoint stores."""
        return self._tensors

    def _imagine(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return error and log-variance of each step in units of the change, (M, B, F) each."""
        t = self._tensors
        z = (features - t['feature_mean']) / t['feature_scale']
        ratio, shift = t['delta_scale'] / t['feature_scale'], t['delta_mean'] / t['feature_scale']
        x, out = z[..., 0, :], []
        for u in range(actions.shape[-2]):
            action = actions[..., u, :]
            mean, logvar = self._net.head(torch.cat([x, before, action], dim=-1))
            x = x + mean * ratio + shift
            out.append(((x - z[..., u + 1, :]) / ratio, logvar))
            before = action
        return out
