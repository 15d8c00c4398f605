"""Faults of the planner's computation, inside its process (``timing.*``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import PlanningFault


@dataclass(kw_only=True)
class SlowInference:
    """Every decision takes ``s * longest`` longer."""

    severity: float
    rng: np.random.Generator
    longest: float = setting(0.2, doc='time added at severity 1', unit='s', low=0.001, high=100.0)

    def disturb_plan(self, task_ns: int) -> int:
        """Return how much longer the decision takes [ns]."""
        return round(self.severity * self.longest * 1e9)


@dataclass(kw_only=True)
class PlannerException:
    """The planner raises with probability s in every slot."""

    severity: float
    rng: np.random.Generator

    def disturb_plan(self, task_ns: int) -> int:
        """
        Return 0.

        :raises PlanningFault: in the slots that are hit
        """
        if self.rng.random() < self.severity:
            raise PlanningFault('timing.planner_exception')
        return 0
