"""
Cross-entropy method over action sequences, anytime against a deadline.

After Rubinstein (1999); the best candidates are carried from one iteration to the next as in iCEM
(Pinneri et al. 2020, arXiv:2008.06389).
"""

from __future__ import annotations

import torch

from wm_eval_ros.planning.elites import refit
from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch


class CemPlanner(GaussianPlanner):
    """Refines a Gaussian over action sequences towards its cheapest samples."""

    name = 'cem'
    uses = GaussianPlanner.uses | {'elites', 'smoothing', 'noise_floor'}

    def _refit(self, search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor) -> None:
        refit(search, actions, cost, self._settings)
