"""
The improved cross-entropy method, anytime against a deadline.

After Pinneri et al. 2020 (arXiv:2008.06389).
"""

from __future__ import annotations

import math

import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.planning.elites import refit
from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch
from wm_eval_ros.planning.noise import power_law
from wm_eval_ros.planning.search import Search


class IcemPlanner(GaussianPlanner):
    """
    Noise with a power-law spectrum, elites tried again, and fewer candidates as it converges.

    The mean is judged as the last candidate of every iteration, as any may be the last before the
    deadline; it is no candidate for the elites, which it would draw together.
    """

    name = 'icem'
    uses = frozenset({'noise_std', 'noise_floor', 'noise_color', 'fresh', 'elites', 'elite_reuse',
                      'sample_decay', 'smoothing'})

    def _smoothing(self, settings: PlannerSettings) -> torch.Tensor | None:
        return power_law(settings.horizon // settings.action_repeat, settings.noise_color)

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        super().reset(seed)
        #: elites of the last decision, cheapest first, (N, H, A)
        self._elites: torch.Tensor | None = None

    def _begin(self, elapsed_steps: int) -> GaussianSearch:
        search = super()._begin(elapsed_steps)
        if self._elites is not None:
            search.carried = self._shifted(self._elites, elapsed_steps, self._rest)
        return search

    def _end(self, search: Search) -> None:
        super()._end(search)
        assert isinstance(search, GaussianSearch)
        self._elites = search.carried

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, GaussianSearch)
        actions = self._candidates(search)                               # (K, H, A)
        _, cost = self._try(search, z, goal, actions)                    # (K,)
        refit(search, actions[:-1], cost[:-1], self._settings)

    def _candidates(self, search: GaussianSearch) -> torch.Tensor:
        """Draw candidates; the first are elites once more, the last is the mean."""
        actions = self._refreshed(self._about(search, self._count(search.iterations)))
        if search.carried is not None:
            n = min(math.ceil(self._settings.elite_reuse * len(search.carried)), len(actions) - 1)
            actions[:n] = search.carried[:n]
        actions[-1] = search.mean
        return self._limited(actions)

    def _count(self, iteration: int) -> int:
        """Return the number of candidates of an iteration, the first being 1."""
        decayed = self._settings.samples / self._settings.sample_decay ** (iteration - 1)
        return min(self._settings.samples, max(round(decayed), 2 * self._settings.elites))
