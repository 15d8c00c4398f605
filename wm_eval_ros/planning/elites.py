"""Refitting a Gaussian over action sequences to its cheapest samples."""

from __future__ import annotations

import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.gaussian import GaussianSearch


def require_elites(settings: PlannerSettings) -> None:
    """
    Refuse more elites than there are candidates.

    :raises ConfigError: names both
    """
    if settings.elites > settings.samples:
        raise ConfigError(f'planner.elites: {settings.elites} of {settings.samples} samples')


def refit(
    search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor, settings: PlannerSettings
) -> None:
    """
    Move mean and standard deviation to those of the elites, which are carried on.

    :param actions: (K, H, A)
    :param cost: infinite where it was not finite, (K,); such a candidate is never an elite
    """
    good = int(torch.isfinite(cost).sum())
    if not good:
        return
    order = torch.topk(cost, min(settings.elites, good), largest=False).indices
    elites, keep = actions[order], settings.smoothing
    search.carried = elites
    search.mean = keep * search.mean + (1 - keep) * elites.mean(0)
    spread = keep * search.std + (1 - keep) * elites.std(0, correction=0)
    search.std = spread.clamp(min=settings.noise_floor)
