"""Gradient descent through the model, from several starts, anytime against a deadline."""

from __future__ import annotations

import torch

from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.planning.descent import Descent
from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch
from wm_eval_ros.planning.search import Search


class DescentSearch(GaussianSearch):
    """Starts drawn about the warm start, and where they have come to."""

    descent: Descent | None = None


class GradientPlanner(GaussianPlanner):
    """
    Lets ``planner.samples`` sequences follow the gradient of their cost, by Adam.

    The first starts at the last plan, moved on, the others about it. An iteration is
    ``planner.gradient_steps`` steps.
    """

    name = 'gradient'
    uses = GaussianPlanner.uses | {'learning_rate', 'gradient_steps'}

    def _begin(self, elapsed_steps: int) -> DescentSearch:
        best = self._plan_left(elapsed_steps)
        start = self._mean_left(elapsed_steps) if self._best is None else best
        return DescentSearch(best, start, self._settings.noise_std)

    @torch.inference_mode(False)
    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, DescentSearch)
        z, goal = z.clone(), goal.clone()
        descent = search.descent
        if descent is None:
            descent = search.descent = Descent(self._candidates(search).clone(),
                                               self._settings.learning_rate,
                                               self._settings.action_limit)
            descent.judge(search, self._imagine, z, goal)
        for _ in range(self._settings.gradient_steps):
            descent.step()
            descent.judge(search, self._imagine, z, goal)
