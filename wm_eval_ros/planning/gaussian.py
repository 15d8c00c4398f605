"""
What searches share that hold a Gaussian over action sequences.

It begins at the last decision's mean, moved on; each iteration draws about it, and what a search
makes of the costs is its own.
"""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import ClassVar

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import Latent, WorldModel
from wm_eval_ros.planning.noise import autoregressive, held, smoothed
from wm_eval_ros.planning.search import Search, SearchPlanner

#: of the best so far, how many are tried again in the next iteration, so that none is lost
CARRIED = 2


class GaussianSearch(Search):
    """A Gaussian over action sequences, and the best of its samples."""

    def __init__(self, best: torch.Tensor, mean: torch.Tensor, std: float) -> None:
        super().__init__(best)
        #: (H, A) each
        self.mean, self.std = mean, torch.full_like(mean, std)
        #: tried again in the next iteration, cheapest first, (N, H, A)
        self.carried: torch.Tensor | None = None


class GaussianPlanner(SearchPlanner):
    """Draws candidates about a mean; a subclass moves it."""

    uses: ClassVar[frozenset[str]] = frozenset({'noise_std', 'noise_beta', 'fresh'})

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(settings, model, interface, clock)
        self._color = self._smoothing(settings)

    def _smoothing(self, settings: PlannerSettings) -> torch.Tensor | None:
        """Return the matrix that makes the noise smooth over a candidate's commands, square."""
        return autoregressive(settings.horizon // settings.action_repeat, settings.noise_beta)

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        super().reset(seed)
        self._mean = torch.zeros(self._shape)

    def _begin(self, elapsed_steps: int) -> GaussianSearch:
        search = GaussianSearch(self._plan_left(elapsed_steps), self._mean_left(elapsed_steps),
                                self._settings.noise_std)
        if self._best is not None:
            search.carried = search.best[None]
        return search

    def _mean_left(self, elapsed_steps: int) -> torch.Tensor:
        """Return the last mean, moved on; the middle of what is searched where it is over."""
        return self._shifted(self._mean, elapsed_steps, torch.zeros_like(self._rest))

    def _end(self, search: Search) -> None:
        super()._end(search)
        assert isinstance(search, GaussianSearch)
        self._mean = search.mean

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, GaussianSearch)
        actions = self._candidates(search)                               # (K, H, A)
        _, cost = self._try(search, z, goal, actions)                    # (K,)
        self._refit(search, actions, cost)

    def _refit(self, search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor) -> None:
        """
        Move the Gaussian.

        :param actions: (K, H, A)
        :param cost: infinite where it was not finite, (K,)
        """
        raise NotImplementedError

    def _candidates(self, search: GaussianSearch) -> torch.Tensor:
        """Draw candidates; the first is the mean itself, the next are the best so far."""
        count = self._settings.samples
        actions = self._about(search, count)
        actions[0] = search.mean
        if search.carried is not None:
            n = min(len(search.carried), count - 1, CARRIED)
            actions[1:1 + n] = search.carried[:n]
        return self._limited(self._refreshed(actions))

    def _about(self, search: GaussianSearch, count: int) -> torch.Tensor:
        """Draw from the Gaussian, (count, H, A)."""
        white = torch.randn((count, *self._shape), generator=self._generator)
        return torch.addcmul(search.mean, smoothed(white, self._color), search.std)

    def _refreshed(self, actions: torch.Tensor) -> torch.Tensor:
        """Overwrite the share ``planner.fresh`` of candidates, the last ones, by held commands."""
        fresh = int(self._settings.fresh * len(actions))
        if fresh:
            actions[-fresh:] = held(fresh, self._shape, self._settings.action_limit,
                                    self._generator)
        return actions
