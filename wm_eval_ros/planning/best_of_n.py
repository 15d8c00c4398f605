"""Best of N: the cheapest of sequences that a proposal makes."""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import Latent, Proposes, WorldModel
from wm_eval_ros.planning.noise import held
from wm_eval_ros.planning.prior import prior_of
from wm_eval_ros.planning.search import Search, SearchPlanner


class BestOfNPlanner(SearchPlanner):
    """
    Asks a policy prior for sequences, ``planner.policy`` or the model's own, and judges them.

    Without one its sequences are a few random commands, each held for a while. So a sequence goes
    somewhere, where one of ``random_shooting`` jitters about its start.
    The last plan, moved on, is the first candidate.
    """

    name = 'best_of_n'

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(settings, model, interface, clock)
        self._prior = prior_of(settings, self._imagine.model, interface)

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        if self._prior is None:
            actions = held(self._settings.samples, self._shape, self._settings.action_limit,
                           self._generator)
        else:
            actions = self._proposed(self._prior, z, goal)
        if search.iterations == 1:
            actions[0] = search.best
        self._try(search, z, goal, self._limited(actions))

    def _proposed(self, prior: Proposes, z: Latent, goal: torch.Tensor) -> torch.Tensor:
        """Follow the prior through the model, (K, H / action_repeat, A)."""
        horizon, width = self._shape
        actions = torch.empty(self._settings.samples, horizon, width)
        z = z.expand(len(actions), -1)
        for h in range(horizon):
            if h:
                z = self._imagine.after(z, actions[:, h - 1], self._generator)
            actions[:, h] = self._limited(prior.propose(z, goal, generator=self._generator))
        return actions
