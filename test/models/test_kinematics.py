"""What is the integral of what, by the names of features."""

from __future__ import annotations

import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.kinematics import Circle, kinematics_of, Line, Planar
from wm_eval_ros.wire.fields import feature_names

ODOMETRY = ('odom.pose.pose.position.x', 'odom.pose.pose.position.y',
            'odom.pose.pose.orientation.z', 'odom.pose.pose.orientation.w',
            'odom.twist.twist.linear.x', 'odom.twist.twist.angular.z')


def test_a_joint_and_its_angle_are_integrals_of_its_velocity() -> None:
    found = kinematics_of(('j.position[a]:cos', 'j.position[a]:sin', 'j.position[a]',
                           'j.velocity[a]', 'j.velocity[b]'))
    assert found.lines == (Line(2, 3),)
    assert found.circles == (Circle(0, 1, 3),)
    assert found.positions == {0, 1, 2}


def test_joints_of_another_topic_or_name_are_no_pair() -> None:
    with pytest.raises(ConfigError, match='no feature is the integral of another by its name'):
        kinematics_of(('left.position[a]', 'right.velocity[a]', 'left.velocity[b]'))


def test_an_angle_without_its_sine_is_no_circle() -> None:
    with pytest.raises(ConfigError, match='train another family'):
        kinematics_of(('j.position[a]:cos', 'j.velocity[a]'))


def test_a_slide_joint_named_after_its_axis_moves_the_only_pose() -> None:
    names = ('pose.pose.position.x', 'joint_states.velocity[x]')
    assert kinematics_of(names).lines == (Line(0, 1),)
    for other in ('tip.pose.position.x', 'joint_states.position[x]'):
        found = (*names, other)
        if 'tip' in other:
            with pytest.raises(ConfigError):
                kinematics_of(found)
        else:
            assert kinematics_of(found).lines == (Line(2, 1),)


def test_an_odometry_in_the_plane_is_driven_along_its_heading() -> None:
    heading = Circle(3, 2, 5, 0.5)
    found = kinematics_of(ODOMETRY)
    assert found.planar == (Planar(0, 1, 4, None, heading),)
    assert found.circles == (heading,)
    assert found.positions == {0, 1, 2, 3}
    sideways = kinematics_of((*ODOMETRY, 'odom.twist.twist.linear.y'))
    assert sideways.planar[0].side == 6


@pytest.mark.parametrize('names', [
    pytest.param((*ODOMETRY, 'odom.pose.pose.orientation.x'), id='it-may-tilt'),
    pytest.param(ODOMETRY[:2] + ODOMETRY[4:], id='no-heading'),
])
def test_an_odometry_whose_heading_is_not_known_is_no_pair(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        kinematics_of(names)


@pytest.mark.parametrize(('scenario', 'lines', 'circles'), [
    ('reacher', 1, 2), ('cartpole', 1, 1), ('two_room', 2, 0), ('pusher', 7, 0)])
def test_the_core_tasks_have_kinematics(scenario: str, lines: int, circles: int) -> None:
    interface = load_scenario(find_scenario(scenario)).interface
    names = [n for s in interface.observations for n in feature_names(s)]
    found = kinematics_of(names)
    assert (len(found.lines), len(found.circles)) == (lines, circles)
