"""
Cross-entropy method over action sequences, anytime against a deadline.

After Rubinstein (1999); colored search noise and the best candidates carried from one iteration
to the next as in iCEM (Pinneri et al. 2020, arXiv:2008.06389).
"""

from __future__ import annotations

from collections.abc import Callable
import math
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.protocol import Decodes, KnowsUncertainty, WorldModel
from wm_eval_ros.planning.objective import Objective
from wm_eval_ros.planning.protocol import Plan


class CemPlanner:
    """
    Refines a Gaussian over action sequences towards its cheapest samples.

    :param settings: samples, iterations, horizon, elites, noise and objective
    :param model: must decode its latents, so that the objective can name features
    :param clock: the time the deadline is on [ns]
    """

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if model is None:
            raise ConfigError('planner.model: the planner cem imagines; name a checkpoint')
        if not isinstance(model, Decodes):
            raise CheckpointError(f'model {model.spec.name!r} does not decode its latents; '
                                  'the objective cannot name features')
        if abs(model.spec.dt_s - settings.period_ms / 1e3) > 0.01 * model.spec.dt_s:
            raise CheckpointError(f'model {model.spec.name!r} imagines steps of '
                                  f'{model.spec.dt_s * 1e3:g} ms, planner.period_ms is '
                                  f'{settings.period_ms:g}; use the same, or train anew')
        if settings.elites > settings.samples:
            raise ConfigError(f'planner.elites: {settings.elites} of {settings.samples} samples')
        if settings.uncertainty_weight and not isinstance(model, KnowsUncertainty):
            raise ConfigError(f'planner.uncertainty_weight: model {model.spec.name!r} does not '
                              'know its uncertainty; set it to 0')
        self._settings, self._model, self._clock = settings, model, clock
        self._decode = model.decode
        self._objective = Objective(settings, model.spec.feature_names, interface)
        self._shape = (settings.horizon, len(interface.command.fields))
        self._color = _color(settings.horizon, settings.noise_beta)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        self._generator = torch.Generator().manual_seed(seed)
        self._mean = torch.zeros(self._shape)
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
        begun = self._clock()
        z = latent.reshape(1, -1)
        if in_flight is not None and len(in_flight):
            z = self._model.predict(z, in_flight[None])[:, -1]
        search = _Search(self._shifted(self._mean, elapsed_steps), self._settings.noise_std)
        if self._best is not None:
            search.carried = self._shifted(self._best, elapsed_steps)[None]
        longest = 0
        for i in range(self._settings.iterations):
            if i and begun + longest > deadline_ns:
                break
            self._refine(search, z, goal)
            now = self._clock()
            longest = max(longest, now - begun)
            begun = now
        self._mean, self._best = search.mean, search.best
        return Plan(actions=search.best, rollout=search.rollout, cost=search.cost,
                    samples=self._settings.samples, iterations=search.iterations,
                    nonfinite=search.nonfinite)

    def _shifted(self, actions: torch.Tensor, steps: int) -> torch.Tensor:
        """Return a sequence moved on by so many steps, its end held; zeros when it is over."""
        out = torch.zeros(self._shape)
        keep = max(0, self._shape[0] - max(0, steps))
        out[:keep] = actions[self._shape[0] - keep:]
        if 0 < keep < self._shape[0]:
            out[keep:] = actions[-1]
        return out

    def _refine(self, search: _Search, z: torch.Tensor, goal: torch.Tensor) -> None:
        actions = self._candidates(search)                               # (K, H, A)
        rollout, cost = self._rollout(z, goal, actions)                  # (K, H, D), (K,)
        finite = torch.isfinite(cost)
        good = int(finite.sum())
        search.iterations += 1
        search.nonfinite += len(cost) - good
        if not good:
            return
        cost = torch.where(finite, cost, math.inf)
        order = torch.topk(cost, min(self._settings.elites, good), largest=False).indices
        elites, keep = actions[order], self._settings.smoothing
        search.carried = elites
        search.mean = keep * search.mean + (1 - keep) * elites.mean(0)
        spread = keep * search.std + (1 - keep) * elites.std(0, correction=0)
        search.std = spread.clamp(min=self._settings.noise_floor)
        if not float(cost[order[0]]) >= search.cost:
            search.cost = float(cost[order[0]])
            search.best, search.rollout = elites[0].clone(), rollout[order[0]].clone()

    def _candidates(self, search: _Search) -> torch.Tensor:
        """Draw candidates; the first is the mean itself, the next are the best so far."""
        white = torch.randn((self._settings.samples, *self._shape), generator=self._generator)
        noise = white if self._color is None else torch.einsum('hg,kga->kha', self._color, white)
        actions = torch.addcmul(search.mean, noise, search.std)
        actions[0] = search.mean
        if search.carried is not None:
            n = min(len(search.carried), self._settings.samples - 1, _CARRIED)
            actions[1:1 + n] = search.carried[:n]
        fresh = int(self._settings.fresh * self._settings.samples)
        if fresh:
            actions[-fresh:] = self._held(fresh)
        return actions.clamp_(-self._settings.action_limit, self._settings.action_limit)

    def _held(self, count: int) -> torch.Tensor:
        """Draw sequences of a few commands held in turn, often at their limits."""
        horizon, width = self._shape
        values = torch.rand((count, _SEGMENTS, width), generator=self._generator) * 3.0 - 1.5
        ends = torch.rand((count, _SEGMENTS - 1, 1), generator=self._generator) * horizon
        segment = (torch.arange(horizon) >= ends).sum(1)                     # (count, H)
        held = values.gather(1, segment[..., None].expand(-1, -1, width))
        return held * self._settings.action_limit

    def _rollout(
        self, z: torch.Tensor, goal: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = z.expand(len(actions), -1)
        spread = None
        if not self._settings.uncertainty_weight:
            rollout = self._model.predict(start, actions, generator=self._generator)
        elif hasattr(self._model, 'imagine'):
            rollout, spread = self._model.imagine(start, actions)
        else:
            rollout = self._model.predict(start, actions, generator=self._generator)
            assert isinstance(self._model, KnowsUncertainty)
            spread = self._model.uncertainty(start, actions)
        return rollout, self._objective(self._decode(rollout), goal, actions, spread)


#: elites evaluated again in the next iteration, so that the best is never lost
_CARRIED = 2
#: commands held in turn by a candidate drawn anew
_SEGMENTS = 3


class _Search:
    """The state of one decision."""

    def __init__(self, mean: torch.Tensor, std: float) -> None:
        self.mean = mean
        self.std = torch.full_like(mean, std)
        self.best = mean
        self.rollout: torch.Tensor | None = None
        self.cost = math.nan
        self.carried: torch.Tensor | None = None
        self.iterations = 0
        self.nonfinite = 0


def _color(horizon: int, beta: float) -> torch.Tensor | None:
    """Return the matrix (H, H) that makes white noise first-order autoregressive, variance 1."""
    if beta == 0.0:
        return None
    lag = torch.arange(horizon)[:, None] - torch.arange(horizon)[None, :]
    matrix = torch.where(lag >= 0, beta ** lag.clamp(min=0).float(), torch.zeros(()))
    matrix[:, 1:] *= (1.0 - beta * beta) ** 0.5
    return matrix
