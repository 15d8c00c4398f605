"""Faults of the planner's computation, inside its process (``timing.*``)."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Perturbation, PlanningFault


@dataclass(kw_only=True)
class SlowInference(Perturbation):
    """Every decision takes ``s * longest`` longer."""

    longest: float = setting(0.2, doc='time added at severity 1', unit='s', low=0.001, high=100.0)

    def disturb_plan(self, task_ns: int) -> int:
        """Return how much longer the decision takes [ns]."""
        return round(self.severity * self.longest * 1e9)


@dataclass(kw_only=True)
class PlannerException(Perturbation):
    """The planner raises with probability s in every slot."""

    def disturb_plan(self, task_ns: int) -> int:
        """
        Return 0.

        :raises PlanningFault: in the slots that are hit
        """
        if self.rng.random() < self.severity:
            raise PlanningFault('timing.planner_exception')
        return 0
