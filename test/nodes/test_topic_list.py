"""Who reads and writes what in a run, with and without relays before a robot."""

from __future__ import annotations

import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.nodes.topic_list import (
    ALL_NODES,
    COMMAND_RELAY,
    readers,
    relayed_images,
    run_topics,
    SENSOR_RELAY,
    writers,
)

BOTH = (*ALL_NODES, SENSOR_RELAY, COMMAND_RELAY)


@pytest.fixture
def scenario() -> Scenario:
    return load_scenario(find_scenario('reacher'), {'perturbations': [
        {'name': 'visual.blur', 'topics': ['front/image_raw']}]})


def test_without_a_relay_the_planner_hears_the_sensors_themselves(scenario: Scenario) -> None:
    assert readers(scenario)['joint_states'] == {'planner', 'monitor', 'recorder'}
    assert writers(scenario)['joint_command'] == 'supervisor'
    assert not [t for t in run_topics(scenario, (), ALL_NODES) if 'perturbed' in t]


def test_relays_stand_between_and_all_is_recorded(scenario: Scenario) -> None:
    read, written = readers(scenario, BOTH), writers(scenario, BOTH)
    assert read['joint_states'] == {SENSOR_RELAY, 'recorder'}
    assert read['perturbed/joint_states'] == {'planner', 'monitor', 'recorder'}
    assert written['perturbed/joint_states'] == SENSOR_RELAY
    assert read['unperturbed/joint_command'] == {COMMAND_RELAY, 'recorder'}
    assert (written['unperturbed/joint_command'], written['joint_command']) == (
        'supervisor', COMMAND_RELAY)
    listed = run_topics(scenario, (), BOTH)
    assert listed['perturbed/tip_pose'] == listed['tip_pose']
    # of a robot's camera nobody tells the type
    assert (listed['front/image_raw'], listed['perturbed/front/image_raw']) == ('', '')


def test_the_sensors_relay_alone_leaves_the_commands_to_the_supervisor(
    scenario: Scenario,
) -> None:
    nodes = (*ALL_NODES, SENSOR_RELAY)
    assert writers(scenario, nodes)['joint_command'] == 'supervisor'
    assert 'unperturbed/joint_command' not in readers(scenario, nodes)


def test_the_planners_own_cameras_are_relayed_whether_a_perturbation_names_them_or_not() -> None:
    seeing = load_scenario(find_scenario('reacher'), {
        'plant.kind': 'hardware', 'interface.images': [{'topic': 'front/image_raw'}],
        'perturbations': [{'name': 'visual.blur', 'topics': ['back/image_raw']}]})
    assert relayed_images(seeing) == ('back/image_raw', 'front/image_raw')
    read, written = readers(seeing, BOTH), writers(seeing, BOTH)
    assert read['front/image_raw'] == {SENSOR_RELAY, 'recorder'}
    assert read['perturbed/front/image_raw'] == {'planner', 'recorder'}
    assert written['perturbed/front/image_raw'] == SENSOR_RELAY
    # the other is for whoever listens
    assert read['back/image_raw'] == {SENSOR_RELAY, 'recorder'}
    assert read['perturbed/back/image_raw'] == {'recorder'}
    assert written['perturbed/back/image_raw'] == SENSOR_RELAY
    listed = run_topics(seeing, (), BOTH)
    assert listed['perturbed/front/image_raw'] == listed['front/image_raw'] == (
        'sensor_msgs/msg/Image')
    assert (listed['back/image_raw'], listed['perturbed/back/image_raw']) == ('', '')
    # and without a relay it hears them as they are
    assert readers(seeing)['front/image_raw'] == {'planner', 'recorder'}
    assert 'perturbed/front/image_raw' not in run_topics(seeing, (), ALL_NODES)
