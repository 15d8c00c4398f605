"""The world model a scenario asks for: a checkpoint, or a family that needs none."""

from __future__ import annotations

from typing import Any, cast

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.checkpoint import (
    find_checkpoint,
    GROUP,
    load_checkpoint,
    load_spec,
    SPEC,
)
from wm_eval_ros.models.policy import POLICY
from wm_eval_ros.models.protocol import WorldModel


def load_model(scenario: Scenario) -> WorldModel:
    """
    Load the world model that ``planner.model`` names.

    That is a checkpoint (a folder, or a shipped one), or a family whose class offers
    ``for_scenario(scenario)``: it needs no weights, such as ``oracle``.

    :raises CheckpointError: there is none of that name, or it does not fit the scenario
    :raises ConfigError: the family cannot serve this scenario
    :raises MissingExtraError: the family needs a package that is not installed
    :raises PluginError: the family raised something else
    """
    settings = scenario.planner
    try:
        folder = find_checkpoint(settings.model)
    except CheckpointError:
        if settings.model in plugins.names(GROUP):
            return _without_checkpoint(scenario)
        raise
    family = load_spec(folder).family
    if family == POLICY:
        raise CheckpointError(f'{settings.model!r} is a policy, not a world model; name it in '
                              'planner.policy, for planner.planner policy_prior or best_of_n')
    with plugins.making(GROUP, family):
        return load_checkpoint(folder, interface=scenario.interface,
                               sha256=settings.model_sha256)


def _without_checkpoint(scenario: Scenario) -> WorldModel:
    name, pin = scenario.planner.model, scenario.planner.model_sha256
    family: Any = plugins.load(GROUP, name)
    if not hasattr(family, 'for_scenario'):
        raise CheckpointError(f'planner.model: {name!r} is a family of models, not one of them; '
                              f'name a checkpoint of it, a folder with {SPEC}')
    with plugins.making(GROUP, name):
        model = cast('WorldModel', family.for_scenario(scenario))
    if pin and pin.lower() != model.spec.sha256:
        raise CheckpointError(f'planner.model_sha256: {pin[:16]}... is not that of {name!r}; '
                              'leave the pin empty')
    return model
