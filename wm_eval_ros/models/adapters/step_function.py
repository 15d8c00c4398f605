"""A function from observation and action to the next observation, as Gymnasium's users write."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.adapters.adapter import Adapter, here, Layout
from wm_eval_ros.models.protocol import Latent


class StepFunction(Adapter):
    """
    The latent is the observation itself, as the function takes it.

    :param step: observations (B, F) and actions (B, A * block), as the layout has them, to the
        next observations (B, F); tensors on the layout's device
    """

    family = 'step_function'

    def __init__(
        self, scenario: Scenario, step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        layout: Layout, *, name: str,
    ) -> None:
        super().__init__(scenario, step, layout, name=name, readout=self._physical)

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """Return the numbers of the step; what came before is not used."""
        return here(self._numbers(obs))

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """Call the function for each step, (B, D), (B, H, A) to (B, H, D)."""
        at, found = self._there(z.expand(len(actions), -1)), []
        for command in self._commands(actions).unbind(1):
            at = self.upstream(at, command)
            found.append(here(at))
        return torch.stack(found, 1)

    def _physical(self, z: torch.Tensor) -> torch.Tensor:
        if not self.layout.obs_mean:
            return z
        return here(z) * torch.tensor(self.layout.obs_scale) + torch.tensor(self.layout.obs_mean)
