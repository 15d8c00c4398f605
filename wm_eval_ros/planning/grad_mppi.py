"""MPPI whose cheapest candidates follow their gradient before they are weighed."""

from __future__ import annotations

import torch

from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.planning.descent import Descent
from wm_eval_ros.planning.elites import cheapest
from wm_eval_ros.planning.gaussian import GaussianSearch
from wm_eval_ros.planning.mppi import MppiPlanner
from wm_eval_ros.planning.search import Search


class GradMppiPlanner(MppiPlanner):
    """
    Draws and weighs as ``mppi`` does; between the two the elites take gradient steps.

    Where a step led to a higher cost than the candidate had, the candidate stays as drawn.
    """

    name = 'grad_mppi'
    uses = MppiPlanner.uses | {'elites', 'learning_rate', 'gradient_steps'}

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, GaussianSearch)
        actions = self._candidates(search)                               # (K, H, A)
        _, cost = self._try(search, z, goal, actions)                    # (K,)
        at = cheapest(cost, self._settings.elites)
        if len(at):
            actions[at], cost[at] = self._improved(search, z, goal, actions[at], cost[at])
        self._refit(search, actions, cost)

    @torch.inference_mode(False)
    def _improved(
        self, search: Search, z: Latent, goal: torch.Tensor, actions: torch.Tensor,
        cost: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cheapest form of each candidate on its way down, and its cost."""
        z, goal = z.clone(), goal.clone()
        actions, cost = actions.clone(), cost.clone()
        descent = Descent(actions, self._settings.learning_rate, self._settings.action_limit)
        descent.judge(search, self._imagine, z, goal)
        for _ in range(self._settings.gradient_steps):
            descent.step()
            descent.judge(search, self._imagine, z, goal)
            assert descent.cost is not None
            better = descent.cost < cost
            actions = torch.where(better[:, None, None], descent.actions, actions)
            cost = torch.where(better, descent.cost, cost)
        return actions, cost
