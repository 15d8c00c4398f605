"""
Model predictive path integral control, anytime against a deadline.

After Williams et al. 2017 (arXiv:1707.02342), with the standard deviation refitted as in TD-MPC2
(Hansen et al. 2024, arXiv:2310.16828).
"""

from __future__ import annotations

import torch

from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch


def mppi_weights(cost: torch.Tensor, temperature: float) -> torch.Tensor:
    """
    Weigh candidates by the exponential of what they cost more than the best.

    That is measured by what the median candidate costs more: an objective in other units, or a
    few candidates that are far off, change nothing.

    :param cost: infinite where it was not finite, (K,)
    :param temperature: excess that weighs 1/e, in units of the median's
    :returns: (K,), float64: sums to 1; exactly 0 where the cost is infinite, everywhere if all are
    """
    cost = cost.double()
    finite = torch.isfinite(cost)
    if not bool(finite.any()):
        return torch.zeros_like(cost)
    excess = cost - cost[finite].min()
    unit = (temperature * excess[finite].median()).clamp(min=torch.finfo(cost.dtype).tiny)
    weight = torch.exp(-excess / unit)
    return weight / weight.sum()


class MppiPlanner(GaussianPlanner):
    """
    Moves a Gaussian over action sequences to the weighted mean of its samples.

    ``planner.noise_floor`` equal to ``planner.noise_std`` keeps the standard deviation as it is,
    as Williams et al. do; above it, each decision goes from ``noise_std`` to the floor at the
    first refit, and stays there.
    """

    name = 'mppi'
    uses = GaussianPlanner.uses | {'temperature', 'smoothing', 'noise_floor'}

    def _refit(self, search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor) -> None:
        weight = mppi_weights(cost, self._settings.temperature).float()
        if not bool(weight.any()):
            return
        keep, settings = self._settings.smoothing, self._settings
        mean = torch.einsum('k,kha->ha', weight, actions)
        spread = torch.einsum('k,kha->ha', weight, (actions - mean).square()).sqrt()
        search.carried = search.best[None]
        search.mean = keep * search.mean + (1 - keep) * mean
        search.std = (keep * search.std + (1 - keep) * spread).clamp(
            settings.noise_floor, max(settings.noise_std, settings.noise_floor))
