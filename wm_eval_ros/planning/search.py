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
    :raises ConfigError: more elites than samples, or gradient steps in a model that gives none
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
        if 'elites' in self.uses and settings.elites > settings.samples:
            raise ConfigError(f'planner.elites: {settings.elites} of {settings.samples} samples')
        self._imagine = Imagination(self.name, settings, model, interface)
        if 'gradient_steps' in self.uses:
            self._imagine.require_gradients(self.name)
        self._settings, self._clock = settings, clock
        self._shape = (settings.horizon, len(interface.command.fields))
        self.reset(0)

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
        If all are, the shifted warm start is returned with cost NaN.
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
        return Plan(actions=search.best.clone(), rollout=search.rollout, cost=search.cost,
                    samples=self._settings.samples, iterations=search.iterations,
                    nonfinite=search.nonfinite)

    def _begin(self, elapsed_steps: int) -> Search:
        """Begin a decision from the last one's best, moved on."""
        last = torch.zeros(self._shape) if self._best is None else self._best
        return Search(self._shifted(last, elapsed_steps))

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

    def _shifted(self, actions: torch.Tensor, steps: int) -> torch.Tensor:
        """Return sequences moved on by so many steps, their end held; zeros when it is over."""
        horizon, out = self._shape[0], torch.zeros_like(actions)
        keep = max(0, horizon - max(0, steps))
        out[..., :keep, :] = actions[..., horizon - keep:, :]
        if 0 < keep < horizon:
            out[..., keep:, :] = actions[..., -1:, :]
        return out

    def _limited(self, actions: torch.Tensor) -> torch.Tensor:
        """Clamp to ``planner.action_limit``, in place."""
        limit = self._settings.action_limit
        return actions.clamp_(-limit, limit)
