"""Random shooting: the cheapest of sequences drawn at random."""

from __future__ import annotations

import torch

from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.planning.search import Search, SearchPlanner


class RandomShootingPlanner(SearchPlanner):
    """
    Draws commands uniform within ``planner.action_limit``, anew at every step of every sequence.

    Nothing is learned from one iteration to the next (Rao 2009; as a planner of learned models
    Nagabandi et al. 2018, arXiv:1708.02596). The last plan, moved on, is the first candidate.
    """

    name = 'random_shooting'

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        uniform = torch.rand((self._settings.samples, *self._shape), generator=self._generator)
        actions = self._settings.action_limit * (2.0 * uniform - 1.0)
        if search.iterations == 1:
            actions[0] = search.best
        self._try(search, z, goal, self._limited(actions))
