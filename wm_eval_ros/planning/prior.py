"""The policy prior of a scenario: which commands to try first."""

from __future__ import annotations

from dataclasses import replace

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.models.policy import find_policy, load_policy, Policy
from wm_eval_ros.models.protocol import Decodes, Latent, Proposes, WorldModel


class PolicyPrior:
    """
    A policy asked of latents; it :class:`~wm_eval_ros.models.protocol.Proposes`.

    :param model: whose latents they are; None: they are the observations themselves
    :raises CheckpointError: the model decodes no such features as the policy knows
    """

    def __init__(self, policy: Policy, model: WorldModel | None) -> None:
        self._policy, self._model = policy, None
        wanted = policy.spec.feature_names
        if model is None:
            # numbers come first in an observation, pixels behind them
            self._columns = list(range(len(wanted)))
            return
        have = list(model.spec.feature_names)
        if not isinstance(model, Decodes) or not set(wanted) <= set(have):
            raise CheckpointError(f'planner.policy: {policy.spec.name!r} needs features that the '
                                  f'model {model.spec.name!r} does not decode; leave one of them '
                                  'out')
        self._model = model
        self._columns = [have.index(name) for name in wanted]

    def act(self, z: Latent, goal: torch.Tensor) -> torch.Tensor:
        """Return the command of each latent, (B, D) to (B, A)."""
        return self._policy.act(self._features(z), goal)

    def propose(
        self, z: Latent, goal: torch.Tensor, *, generator: torch.Generator
    ) -> torch.Tensor:
        """Draw a command for each latent, (B, D) to (B, A)."""
        return self._policy.draw(self._features(z), goal, generator)

    def _features(self, z: Latent) -> torch.Tensor:
        return (z if self._model is None else self._model.decode(z))[:, self._columns]


def load_prior(
    settings: PlannerSettings, model: WorldModel | None, interface: Interface
) -> PolicyPrior:
    """
    Load the policy that ``planner.policy`` names.

    :raises CheckpointError: there is none, it does not fit the scenario, or decides at another
        period
    """
    policy = load_policy(settings.policy, interface, settings.policy_sha256)
    period_ms = policy.spec.dt_s * 1e3
    if abs(period_ms - settings.period_ms) > 0.01 * period_ms:
        raise CheckpointError(f'planner.policy: {policy.spec.name!r} decides every '
                              f'{period_ms:g} ms, planner.period_ms is {settings.period_ms:g}; '
                              'use the same, or distil it anew')
    return PolicyPrior(policy, model)


def pinned_policy(settings: PlannerSettings) -> PlannerSettings:
    """
    Return the settings with the hash of their policy, where one is and none is set.

    :raises CheckpointError: there is no such policy
    """
    if not settings.policy or settings.policy_sha256:
        return settings
    return replace(settings, policy_sha256=load_spec(find_policy(settings.policy)).sha256)


def prior_of(
    settings: PlannerSettings, model: WorldModel, interface: Interface
) -> Proposes | None:
    """Return what proposes commands: the policy of the settings, else the model, if it can."""
    if settings.policy:
        return load_prior(settings, model, interface)
    asked: object = model
    return asked if isinstance(asked, Proposes) else None
