"""A policy as a planner: it decides without a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import math
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.protocol import Latent, WorldModel
from wm_eval_ros.planning.imagination import Imagination, once_executed
from wm_eval_ros.planning.pace import Pace
from wm_eval_ros.planning.prior import load_prior
from wm_eval_ros.planning.protocol import Plan


class PolicyPriorPlanner:
    """
    Plays ``planner.policy``.

    With a model and an objective it imagines what the policy would do next, up to
    ``planner.horizon`` steps, for the record: the command is the policy's all the same, and what
    does not fit the deadline is not imagined.
    """

    name = 'policy_prior'

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if not settings.policy:
            raise ConfigError('planner.policy: the planner policy_prior plays one; name a folder '
                              'that `wm-eval distill` wrote')
        self._settings, self._clock, self._model = settings, clock, model
        self._prior = load_prior(settings, model, interface)
        asked = settings.objective or settings.goal_weight or settings.reward_weight
        # it decides anew in every slot, so that nothing it is imagined to do is held
        each = replace(settings, action_repeat=1)
        self._imagine = (Imagination(self.name, each, model, interface)
                         if model is not None and asked else None)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Seed what a model may draw; a policy draws nothing and remembers nothing."""
        self._generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def plan(
        self,
        latent: torch.Tensor,
        goal: torch.Tensor,
        deadline_ns: int,
        *,
        elapsed_steps: int = 1,
        in_flight: torch.Tensor | None = None,
    ) -> Plan:
        """
        Decide; without a model, commands in flight make no difference.

        The command is the first iteration, each imagined step another, and judging all of them the
        last: one is begun only if the longest so far would fit. What is imagined is no candidate:
        where it is not finite there is no rollout and no cost, and the command stands.
        """
        pace = Pace(self._clock, deadline_ns)
        z = latent.reshape(1, -1)
        if self._model is not None:
            z = once_executed(self._model, z, in_flight)
        action = self._act(z, goal)
        fits = pace.fits_another()
        actions = None if self._imagine is None or not fits else self._followed(
            self._imagine, z, goal, action, pace)
        alone = Plan(actions=action, rollout=None, cost=math.nan, samples=1,
                     iterations=pace.iterations)
        if actions is None or self._imagine is None:
            return alone
        rollout, cost = self._imagine(z, goal, actions[None], self._generator)
        if not bool(torch.isfinite(cost).all() and torch.isfinite(rollout).all()):
            return replace(alone, iterations=pace.iterations + 1)
        return Plan(actions=actions, rollout=rollout[0], cost=float(cost[0]), samples=1,
                    iterations=pace.iterations + 1)

    def _act(self, z: Latent, goal: torch.Tensor) -> torch.Tensor:
        limit = self._settings.action_limit
        return self._prior.act(z, goal).clamp(-limit, limit)

    def _followed(
        self, imagine: Imagination, z: Latent, goal: torch.Tensor, action: torch.Tensor,
        pace: Pace,
    ) -> torch.Tensor | None:
        """Return what the policy would do, (H, A); None: no time was left to judge it."""
        actions = [action]
        for _ in range(1, self._settings.horizon):
            z = imagine.model.predict(z, action[:, None], generator=self._generator)[:, -1]
            action = self._act(z, goal)
            actions.append(action)
            if not pace.fits_another():
                return None
        return torch.cat(actions)
