"""
Cross-entropy method over action sequences, anytime against a deadline.

After Rubinstein (1999); the best candidates are carried from one iteration to the next as in iCEM
(Pinneri et al. 2020, arXiv:2008.06389).
"""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.elites import refit, require_elites
from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch


class CemPlanner(GaussianPlanner):
    """Refines a Gaussian over action sequences towards its cheapest samples."""

    name = 'cem'
    uses = GaussianPlanner.uses | {'elites', 'smoothing', 'noise_floor'}

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        require_elites(settings)
        super().__init__(settings, model, interface, clock)

    def _refit(self, search: GaussianSearch, actions: torch.Tensor, cost: torch.Tensor) -> None:
        refit(search, actions, cost, self._settings)
