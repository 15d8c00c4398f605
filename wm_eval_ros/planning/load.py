"""The planner that a scenario asks for."""

from __future__ import annotations

from typing import Any, cast

from wm_eval_ros import plugins
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.protocol import Planner

#: entry-point group of the planners
GROUP = 'wm_eval_ros.planners'


def make_planner(
    settings: PlannerSettings, model: WorldModel | None, interface: Interface
) -> Planner:
    """
    Make the planner that ``planner.planner`` names.

    :raises WmEvalError: there is none of that name, it cannot plan so, or its plug-in raised
    """
    kind: Any = plugins.load(GROUP, settings.planner)
    with plugins.making(GROUP, settings.planner):
        return cast('Planner', kind(settings, model, interface))


def check_settings(settings: PlannerSettings) -> None:
    """
    Refuse settings that the planner could not search by, without a model.

    :raises WmEvalError: there is no planner of that name, or a setting does not suit it
    """
    kind: Any = plugins.load(GROUP, settings.planner)
    if hasattr(kind, 'require'):
        with plugins.making(GROUP, settings.planner):
            kind.require(settings)
