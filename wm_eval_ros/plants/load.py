"""The plant a scenario asks for, and what its manifest says of one that is a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.plants.protocol import Plant

#: entry-point group of the plants
GROUP = 'wm_eval_ros.plants'


def make_plant(scenario: Scenario) -> Plant:
    """
    Make the plant that ``plant.kind`` names.

    A class that offers ``for_scenario(scenario)`` is given all of it, others task and interface.

    :raises WmEvalError: there is none of that name, or it cannot serve this scenario
    """
    settings = scenario.plant
    kind: Any = plugins.load(GROUP, settings.kind)
    with plugins.making(GROUP, settings.kind):
        made = (kind.for_scenario(scenario) if hasattr(kind, 'for_scenario') else
                kind(task=settings.task, interface=scenario.interface))
    return cast('Plant', made)


def pinned(scenario: Scenario) -> Scenario:
    """
    Return the scenario with the hash of the model that is its world, where one is and none is set.

    So every node of the run dreams of the same weights, and the manifest names them.

    :raises CheckpointError: there is no such model
    """
    settings = scenario.plant
    if not settings.model or settings.model_sha256:
        return scenario
    # the model's library is heavy, and few scenarios are dreams
    from wm_eval_ros.plants.dream import world_model
    sha256 = world_model(scenario).spec.sha256
    return replace(scenario, plant=replace(settings, model_sha256=sha256))
