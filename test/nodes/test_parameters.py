"""Parameters: described, misspelt ones refused, values laid over the scenario."""

from __future__ import annotations

from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from rclpy.node import Node  # noqa: E402

from wm_eval_ros.config.scenario import PlannerSettings, PlantSettings  # noqa: E402
from wm_eval_ros.errors import ConfigError  # noqa: E402
from wm_eval_ros.nodes.monitor import MonitorNode  # noqa: E402
from wm_eval_ros.nodes.parameters import Parameters  # noqa: E402
from wm_eval_ros.nodes.planner import PlannerNode  # noqa: E402
from wm_eval_ros.nodes.plant import PlantNode  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402


@pytest.mark.parametrize('kind', [MonitorNode, PlannerNode, PlantNode, SupervisorNode])
def test_every_parameter_of_every_node_has_a_description(make_graph: Any, kind: Any) -> None:
    make_graph(scenario='reacher')
    node = kind().node
    names = [n for n in node.get_parameters_by_prefix('')
             if n != 'use_sim_time' and not n.startswith(('qos_overrides', 'start_type'))]
    assert 'scenario' in names
    for name in names:
        assert node.describe_parameter(name).description, name


def test_a_misspelt_parameter_is_refused_with_a_hint(make_graph: Any) -> None:
    make_graph(scenario='reacher', stale_period=3.0)
    with pytest.raises(ConfigError, match="did you mean 'stale_periods'"):
        SupervisorNode()


def test_parameters_override_defaults_and_a_whole_number_does_for_a_float(
    make_graph: Any,
) -> None:
    make_graph(period_ms=40, samples=128)
    parameters = Parameters(Node('x', automatically_declare_parameters_from_overrides=True))
    made = parameters.declare(PlannerSettings, PlannerSettings(horizon=7))
    assert (made.period_ms, made.samples, made.horizon) == (40.0, 128, 7)


@pytest.mark.parametrize('given', [{'observation_hz': 'fast'}, {'observation_hz': 0.0}],
                         ids=['type', 'range'])
def test_wrong_values_are_refused(make_graph: Any, given: dict[str, Any]) -> None:
    make_graph(task='reacher', time_limit_s=1.0, **given)
    parameters = Parameters(Node('x', automatically_declare_parameters_from_overrides=True))
    with pytest.raises(ConfigError, match='observation_hz'):
        parameters.declare(PlantSettings)
