"""What a candidate is worth: rolled through the model and held against the objective."""

from __future__ import annotations

import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import CheckpointError, ConfigError, WmEvalError
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.compiled import compiled_rollouts
from wm_eval_ros.models.protocol import (
    Decodes,
    Differentiable,
    DifferentiableUncertainty,
    KnowsUncertainty,
    Latent,
    WorldModel,
)
from wm_eval_ros.planning.model_terms import ModelTerms
from wm_eval_ros.planning.objective import Objective


def once_executed(model: WorldModel, z: Latent, in_flight: torch.Tensor | None) -> Latent:
    """Return the latent once the commands in flight, (L, A), have been executed, (1, D)."""
    z = z.reshape(1, -1)
    if in_flight is None or not len(in_flight):
        return z
    return model.predict(z, in_flight[None])[:, -1]


class Imagination:
    """
    A model and an objective.

    :param planner: name of the planner that asks, for errors
    :param model: must decode its latents, so that the objective can name features
    :raises ConfigError: no model, or an objective it cannot serve
    :raises CheckpointError: the model does not decode, or imagines another period
    """

    def __init__(self, planner: str, settings: PlannerSettings, model: WorldModel | None,
                 interface: Interface) -> None:
        if model is None:
            raise ConfigError(f'planner.model: the planner {planner} imagines; name a checkpoint')
        if not isinstance(model, Decodes):
            raise CheckpointError(f'model {model.spec.name!r} does not decode its latents; '
                                  'the objective cannot name features')
        if abs(model.spec.dt_s - settings.period_ms / 1e3) > 0.01 * model.spec.dt_s:
            raise CheckpointError(f'model {model.spec.name!r} imagines steps of '
                                  f'{model.spec.dt_s * 1e3:g} ms, planner.period_ms is '
                                  f'{settings.period_ms:g}; use the same, or train anew')
        if settings.uncertainty_weight and not isinstance(model, KnowsUncertainty):
            raise ConfigError(f'planner.uncertainty_weight: model {model.spec.name!r} does not '
                              'know its uncertainty; set it to 0')
        self.model: WorldModel = model
        self._repeat = settings.action_repeat
        self._decode, self._wary = model.decode, settings.uncertainty_weight > 0
        self._objective = Objective(settings, model.spec.feature_names, interface)
        self._terms = ModelTerms(settings, model, interface)
        #: None: torch
        self._compiled = compiled_rollouts(settings, model)

    def __call__(
        self, z: Latent, goal: torch.Tensor, actions: torch.Tensor, generator: torch.Generator
    ) -> tuple[Latent, torch.Tensor]:
        """
        Imagine candidates from one latent.

        :param z: (1, D)
        :param goal: (G,)
        :param actions: in [-1, 1], each held for ``action_repeat`` steps,
            (K, H / action_repeat, A)
        :returns: rollouts (K, H, D) and costs (K,); a cost that is not finite weighs nothing
        """
        actions = self._held(actions)                                    # (K, H, A)
        start, spread = z.expand(len(actions), -1), None
        if self._compiled is not None:
            rollout, *said = self._compiled(start, actions)
            spread = said[0] if said else None
        elif not self._wary:
            rollout = self.model.predict(start, actions, generator=generator)
        elif hasattr(self.model, 'imagine'):
            rollout, spread = self.model.imagine(start, actions)
        else:
            rollout = self.model.predict(start, actions, generator=generator)
            assert isinstance(self.model, KnowsUncertainty)
            spread = self.model.uncertainty(start, actions)
        return rollout, self.cost(start, rollout, goal, actions, spread)

    def require_gradients(self, planner: str) -> None:
        """
        Refuse a model that gives no gradients.

        :raises ConfigError: names the families that give them
        """
        spec, needed = self.model.spec, ['rolled']
        if self._wary:
            needed.append('rolled_with_uncertainty')
        if isinstance(self.model, Differentiable) and (
                not self._wary or isinstance(self.model, DifferentiableUncertainty)):
            return
        ways = ' or set planner.uncertainty_weight to 0' if self._wary else ''
        raise ConfigError(
            f'planner.planner: {planner} follows gradients, and the model {spec.name!r} (family '
            f'{spec.family}) gives none; take one of a family with {" and ".join(needed)}'
            f'{ways}. Such are: {", ".join(_families_with(needed)) or "none"}')

    def with_gradients(
        self, z: Latent, goal: torch.Tensor, actions: torch.Tensor
    ) -> tuple[Latent, torch.Tensor]:
        """Do what a call does, outside inference mode; gradients flow to the actions."""
        actions = self._held(actions)
        start = z.expand(len(actions), -1)
        if self._wary:
            assert isinstance(self.model, DifferentiableUncertainty)
            rollout, spread = self.model.rolled_with_uncertainty(start, actions)
            return rollout, self.cost(start, rollout, goal, actions, spread)
        assert isinstance(self.model, Differentiable)
        rollout = self.model.rolled(start, actions)
        return rollout, self.cost(start, rollout, goal, actions)

    def after(self, z: Latent, actions: torch.Tensor, generator: torch.Generator) -> Latent:
        """Return the latents, (K, D), once one command each, (K, A), was held for its steps."""
        return self.model.predict(z, self._held(actions[:, None]), generator=generator)[:, -1]

    def _held(self, actions: torch.Tensor) -> torch.Tensor:
        return actions.repeat_interleave(self._repeat, 1) if self._repeat > 1 else actions

    def cost(
        self, start: Latent, rollout: Latent, goal: torch.Tensor, actions: torch.Tensor,
        spread: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the cost of rollouts, (K, H, D) to (K,), that begin at latents (K, D)."""
        before = start[0, self._terms.in_force] if self._terms.in_force else None
        cost = self._objective(self._decode(rollout), goal, actions, spread, before=before,
                               more=self._terms.stage(rollout, goal))
        missed = self._terms.missed(start, rollout, actions)
        return cost if missed is None else cost + missed


def _families_with(methods: list[str]) -> list[str]:
    found = []
    for name in plugins.names(GROUP):
        try:
            family = plugins.load(GROUP, name)
        except WmEvalError:
            continue  # it needs what is not installed
        if all(callable(getattr(family, method, None)) for method in methods):
            found.append(name)
    return found
