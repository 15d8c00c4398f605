"""Planners that imagine nothing: what a world model must beat, and what collects its data."""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.planning.protocol import Plan
from wm_eval_ros.planning.scaling import to_unit


class _Blind:
    """A planner without a model; subclasses draw one action per slot."""

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._width = len(interface.command.fields)
        self._zero = torch.as_tensor(to_unit([0.0] * self._width, interface.command),
                                     dtype=torch.float32)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode with a generator of its own."""
        self._generator = torch.Generator().manual_seed(seed)

    def plan(
        self,
        latent: torch.Tensor,
        goal: torch.Tensor,
        deadline_ns: int,
        *,
        elapsed_steps: int = 1,
        in_flight: torch.Tensor | None = None,
    ) -> Plan:
        """Return one action; state, goal and deadline make no difference."""
        # a copy: a command that is held stays the planner's own
        return Plan(actions=self._action(max(1, elapsed_steps))[None].clone(), rollout=None,
                    cost=float('nan'))

    def _action(self, steps: int) -> torch.Tensor:
        raise NotImplementedError

    def _uniform(self) -> torch.Tensor:
        return torch.rand(self._width, generator=self._generator) * 2.0 - 1.0


class NoopPlanner(_Blind):
    """Commands zero, or the limit nearest to it, always."""

    def _action(self, steps: int) -> torch.Tensor:
        return self._zero


class HoldPlanner(_Blind):
    """Draws one command at the reset and holds it for the episode."""

    def reset(self, seed: int) -> None:
        """Draw the command of this episode."""
        super().reset(seed)
        self._held = self._uniform()

    def _action(self, steps: int) -> torch.Tensor:
        return self._held


class RandomPlanner(_Blind):
    """Draws a command anew in each slot, uniform within the limits."""

    def _action(self, steps: int) -> torch.Tensor:
        return self._uniform()


#: magnitudes of an exploration command, of ``planner.action_limit``: large moves and fine ones
MAGNITUDES = (0.1, 0.3, 0.6, 1.0)
#: longest segment of exploration [slots]
LONGEST_SEGMENT = 12
#: share of the segments that follow the plan when there is a model
PLANNED_SHARE = 0.6
#: standard deviation of the noise laid over a plan, in units of ``planner.noise_std``
PLAN_NOISE = (0.0, 0.2, 0.6)


class ExplorePlanner(_Blind):
    """
    Collects data: segments of held random commands of mixed magnitude and length.

    With a model and an objective, a share of the segments follows the CEM planner under noise,
    so that the data covers the states its plans lead to (after DAgger, Ross et al. 2011).
    """

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._cem = (CemPlanner(settings, model, interface, clock)
                     if model is not None and settings.objective else None)
        self._limit, self._scale = settings.action_limit, settings.noise_std
        super().__init__(settings, model, interface, clock)

    def reset(self, seed: int) -> None:
        """Start an episode; its first segment is drawn in the first slot."""
        super().reset(seed)
        self._left, self._planned, self._noise = 0, False, 0.0
        self._held = self._zero
        if self._cem is not None:
            self._cem.reset(seed)

    def plan(
        self,
        latent: torch.Tensor,
        goal: torch.Tensor,
        deadline_ns: int,
        *,
        elapsed_steps: int = 1,
        in_flight: torch.Tensor | None = None,
    ) -> Plan:
        """Return the segment's command, or the CEM planner's under noise."""
        action = self._action(max(1, elapsed_steps))
        if self._cem is None:
            return Plan(actions=action[None].clone(), rollout=None, cost=float('nan'))
        plan = self._cem.plan(latent, goal, deadline_ns, elapsed_steps=elapsed_steps,
                              in_flight=in_flight)
        if self._planned:
            noise = torch.randn(self._width, generator=self._generator)
            action = (plan.actions[0] + self._noise * noise).clamp(-self._limit, self._limit)
        return Plan(actions=action[None].clone(), rollout=None, cost=float('nan'))

    def _action(self, steps: int) -> torch.Tensor:
        self._left -= steps
        if self._left < 0:
            draw = torch.rand(4, generator=self._generator).tolist()
            self._left = int(draw[0] * LONGEST_SEGMENT)
            self._planned = draw[1] < PLANNED_SHARE
            self._noise = PLAN_NOISE[int(draw[2] * len(PLAN_NOISE))] * self._scale
            size = self._limit * MAGNITUDES[int(draw[3] * len(MAGNITUDES))]
            self._held = size * self._uniform()
        return self._held
