"""Refitting a Gaussian over action sequences to its cheapest samples."""

from __future__ import annotations

import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.planning.gaussian import GaussianSearch


def cheapest(cost: torch.Tensor, most: int) -> torch.Tensor:
    """
    Return which candidates are the elites, at most so many, cheapest first.

    :param cost: infinite where it was not finite, (K,); such a candidate is never an elite
    """
    good = int(torch.isfinite(cost).sum())
    return torch.topk(cost, min(most, good), largest=False).indices


def refit(
    search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor, settings: PlannerSettings
) -> None:
    """
    Move mean and standard deviation to those of the elites, which are carried on.

    :param actions: (K, H, A)
    :param cost: infinite where it was not finite, (K,)
    """
    at = cheapest(cost, settings.elites)
    if not len(at):
        return
    elites, keep = actions[at], settings.smoothing
    search.carried = elites
    search.mean = keep * search.mean + (1 - keep) * elites.mean(0)
    spread = keep * search.std + (1 - keep) * elites.std(0, correction=0)
    search.std = spread.clamp(min=settings.noise_floor)
