"""
Cross-entropy method over action sequences, anytime against a deadline.

After Rubinstein (1999); colored search noise and the best candidates carried from one iteration
to the next as in iCEM (Pinneri et al. 2020, arXiv:2008.06389).
"""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.protocol import Latent, WorldModel
from wm_eval_ros.planning.search import Search, SearchPlanner

#: elites evaluated again in the next iteration, so that the best is never lost
_CARRIED = 2
#: commands held in turn by a candidate drawn anew
_SEGMENTS = 3


class GaussianSearch(Search):
    """A Gaussian over action sequences, and the best of its samples."""

    def __init__(self, mean: torch.Tensor, std: float) -> None:
        super().__init__(mean)
        #: (H, A) each
        self.mean, self.std = mean, torch.full_like(mean, std)
        #: tried again in the next iteration, (N, H, A)
        self.carried: torch.Tensor | None = None


class CemPlanner(SearchPlanner):
    """Refines a Gaussian over action sequences towards its cheapest samples."""

    name = 'cem'

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if settings.elites > settings.samples:
            raise ConfigError(f'planner.elites: {settings.elites} of {settings.samples} samples')
        self._color = _color(settings.horizon, settings.noise_beta)
        super().__init__(settings, model, interface, clock)

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        super().reset(seed)
        self._mean = torch.zeros(self._shape)

    def _begin(self, elapsed_steps: int) -> GaussianSearch:
        search = GaussianSearch(self._shifted(self._mean, elapsed_steps), self._settings.noise_std)
        if self._best is not None:
            search.carried = self._shifted(self._best, elapsed_steps)[None]
        return search

    def _end(self, search: Search) -> None:
        super()._end(search)
        assert isinstance(search, GaussianSearch)
        self._mean = search.mean

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, GaussianSearch)
        actions = self._candidates(search)                               # (K, H, A)
        _, cost = self._try(search, z, goal, actions)                    # (K,)
        good = int(torch.isfinite(cost).sum())
        if not good:
            return
        order = torch.topk(cost, min(self._settings.elites, good), largest=False).indices
        elites, keep = actions[order], self._settings.smoothing
        search.carried = elites
        search.mean = keep * search.mean + (1 - keep) * elites.mean(0)
        spread = keep * search.std + (1 - keep) * elites.std(0, correction=0)
        search.std = spread.clamp(min=self._settings.noise_floor)

    def _candidates(self, search: GaussianSearch) -> torch.Tensor:
        """Draw candidates; the first is the mean itself, the next are the best so far."""
        white = torch.randn((self._settings.samples, *self._shape), generator=self._generator)
        noise = white if self._color is None else torch.einsum('hg,kga->kha', self._color, white)
        actions = torch.addcmul(search.mean, noise, search.std)
        actions[0] = search.mean
        if search.carried is not None:
            n = min(len(search.carried), self._settings.samples - 1, _CARRIED)
            actions[1:1 + n] = search.carried[:n]
        fresh = int(self._settings.fresh * self._settings.samples)
        if fresh:
            actions[-fresh:] = self._held(fresh)
        return self._limited(actions)

    def _held(self, count: int) -> torch.Tensor:
        """Draw sequences of a few commands held in turn, often at their limits."""
        horizon, width = self._shape
        values = torch.rand((count, _SEGMENTS, width), generator=self._generator) * 3.0 - 1.5
        ends = torch.rand((count, _SEGMENTS - 1, 1), generator=self._generator) * horizon
        segment = (torch.arange(horizon) >= ends).sum(1)                     # (count, H)
        held = values.gather(1, segment[..., None].expand(-1, -1, width))
        return held * self._settings.action_limit


def _color(horizon: int, beta: float) -> torch.Tensor | None:
    """Return the matrix (H, H) that makes white noise first-order autoregressive, variance 1."""
    if beta == 0.0:
        return None
    lag = torch.arange(horizon)[:, None] - torch.arange(horizon)[None, :]
    matrix = torch.where(lag >= 0, beta ** lag.clamp(min=0).float(), torch.zeros(()))
    matrix[:, 1:] *= (1.0 - beta * beta) ** 0.5
    return matrix
