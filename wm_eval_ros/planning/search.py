"""
What all planners that search a model have in common.

The budget, the warm start moved on by the slots that passed, the commands in flight, the best
candidate so far, and candidates that are not finite: a planner adds what one iteration does.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import time
from typing import ClassVar

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.in_force import command_at_rest
from wm_eval_ros.models.protocol import Latent, WorldModel
from wm_eval_ros.planning.imagination import Imagination, once_executed
from wm_eval_ros.planning.pace import Pace
from wm_eval_ros.planning.protocol import Plan


class Search:
    """
    The state of one decision; planners that keep more extend it.

    :param best: what is done if no candidate is finite, (H, A)
    """

    def __init__(self, best: torch.Tensor) -> None:
        self.best = best
        #: of ``best``, (H, D); None: it was not imagined
        self.rollout: Latent | None = None
        self.cost = math.nan
        self.iterations = 0
        self.nonfinite = 0

    def judge(self, actions: torch.Tensor, rollout: Latent, cost: torch.Tensor) -> torch.Tensor:
        """
        Count candidates that are not finite and keep the cheapest of all so far.

        :param actions: (K, H, A)
        :param rollout: (K, H, D)
        :param cost: (K,)
        :returns: the costs, infinite where they were not finite, (K,)
        """
        # an objective need not look at what is not finite; a sum is not finite if a part is not
        finite = torch.isfinite(cost + 0.0 * (rollout.sum((1, 2)) + actions.sum((1, 2))))
        self.nonfinite += len(cost) - int(finite.sum())
        cost = torch.where(finite, cost, math.inf)
        at = int(torch.argmin(cost))
        if math.isfinite(float(cost[at])) and not float(cost[at]) >= self.cost:
            self.cost = float(cost[at])
            self.best, self.rollout = actions[at].clone(), rollout[at].clone()
        return cost


class SearchPlanner:
    """
    Anytime search of a model for cheap commands.

    :param settings: samples, iterations, horizon and objective
    :param model: must decode its latents, so that the objective can name features
    :param clock: the time the deadline is on [ns]
    :raises ConfigError: more elites than samples, a horizon that is no multiple of the action
        repeat, or gradient steps in a model that gives none
    """

    #: entry-point name, for errors
    name: ClassVar[str]
    #: settings it heeds beside those of every search, and that must suit it; it leaves the others
    #: alone
    uses: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.require(settings)
        self._repeat = settings.action_repeat
        self._imagine = Imagination(self.name, settings, model, interface)
        if 'gradient_steps' in self.uses:
            self._imagine.require_gradients(self.name)
        self._settings, self._clock = settings, clock
        #: of a candidate: its commands, each held for ``action_repeat`` steps
        self._shape = (settings.horizon // self._repeat, len(interface.command.fields))
        #: what is planned where nothing else is, (A,): 0 in the command's own units
        self._rest = command_at_rest(interface.command)
        self.reset(0)

    @classmethod
    def require(cls, settings: PlannerSettings) -> None:
        """
        Refuse settings that contradict each other in this planner, whatever the model.

        :raises ConfigError: more elites than samples, or a horizon that is no multiple of the
            action repeat
        """
        if 'elites' in cls.uses and settings.elites > settings.samples:
            raise ConfigError(f'planner.elites: {settings.elites} of {settings.samples} samples; '
                              'at most all of them')
        if settings.horizon % settings.action_repeat:
            raise ConfigError(f'planner.action_repeat: {settings.action_repeat}; planner.horizon, '
                              f'{settings.horizon} steps, must be a multiple of it')

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        self._generator = torch.Generator().manual_seed(seed)
        self._best: torch.Tensor | None = None

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
        Decide; see :meth:`wm_eval_ros.planning.protocol.Planner.plan`.

        An iteration is begun only if the longest one of this decision so far would fit; the first
        is always run. Candidates whose cost is not finite are counted and have weight exactly 0.
        If all are, the last plan moved on is returned with cost NaN, and the command at rest where
        nothing of it is left.
        """
        pace = Pace(self._clock, deadline_ns)
        z = once_executed(self._imagine.model, latent, in_flight)
        search = self._begin(elapsed_steps)
        for _ in range(self._settings.iterations):
            search.iterations += 1
            self._refine(search, z, goal)
            if not pace.fits_another():
                break
        self._end(search)
        # a copy: the search goes on from its own
        actions = search.best.repeat_interleave(self._repeat, 0)
        return Plan(actions=actions, rollout=search.rollout, cost=search.cost,
                    samples=self._settings.samples, iterations=search.iterations,
                    nonfinite=search.nonfinite)

    def _begin(self, elapsed_steps: int) -> Search:
        """Begin a decision from the last one's best, moved on."""
        return Search(self._plan_left(elapsed_steps))

    def _plan_left(self, elapsed_steps: int) -> torch.Tensor:
        """Return the last plan, moved on, and rest where there is none, (H, A)."""
        if self._best is None:
            return self._rest.repeat(self._shape[0], 1)
        return self._shifted(self._best, elapsed_steps, self._rest)

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        """
        Run one iteration.

        :param z: (1, D)
        :param goal: (G,)
        """
        raise NotImplementedError

    def _end(self, search: Search) -> None:
        """Keep what the next decision begins from."""
        self._best = search.best

    def _try(self, search: Search, z: Latent, goal: torch.Tensor,
             actions: torch.Tensor) -> tuple[Latent, torch.Tensor]:
        """Imagine and judge candidates, (K, H, A); costs are infinite where not finite."""
        rollout, cost = self._imagine(z, goal, actions, self._generator)
        return rollout, search.judge(actions, rollout, cost)

    def _shifted(self, actions: torch.Tensor, steps: int, over: torch.Tensor) -> torch.Tensor:
        """
        Return sequences moved on by so many steps, their end held.

        :param actions: (..., H / action_repeat, A)
        :param over: what is done when they are over, (A,)
        """
        held = actions.repeat_interleave(self._repeat, -2)               # (..., H, A)
        horizon, out = held.shape[-2], over.expand_as(held).clone()
        keep = max(0, horizon - max(0, steps))
        out[..., :keep, :] = held[..., horizon - keep:, :]
        if 0 < keep < horizon:
            out[..., keep:, :] = held[..., -1:, :]
        return out[..., ::self._repeat, :]

    def _limited(self, actions: torch.Tensor) -> torch.Tensor:
        """Clamp to ``planner.action_limit``, in place."""
        limit = self._settings.action_limit
        return actions.clamp_(-limit, limit)
