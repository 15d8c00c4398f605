"""Latency of a device: its nodes, the test host's, or both on one machine."""

from launch.actions import DeclareLaunchArgument, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription


def generate_launch_description():
    """Declare the arguments, start the nodes of the role."""
    run = {'scenario': LaunchConfiguration('scenario')}
    bag = {'bag': ParameterValue(LaunchConfiguration('bag'), value_type=str)}
    patience = {'ready_timeout_s': ParameterValue(LaunchConfiguration('ready_timeout_s'),
                                                  value_type=float)}

    def part(role, further='True'):
        return IfCondition(PythonExpression([
            "'", LaunchConfiguration('role'), f"' in ('{role}', 'both') and (", *further, ')']))

    echo = ["'", LaunchConfiguration('echo'), "' == 'true'"]
    composed = ["'", LaunchConfiguration('composed'), "' == 'true'"]
    return LaunchDescription([
        DeclareLaunchArgument('scenario', default_value='hil',
                              description='scenario file, or the name of a shipped scenario; '
                                          'plant.link must be true, and both hosts use the same'),
        DeclareLaunchArgument('role', default_value='both', choices=['device', 'host', 'both'],
                              description='whose nodes are started: planner and supervisor of '
                                          'the device, stimulus, monitor and recorder of the '
                                          'host, or both on one machine'),
        DeclareLaunchArgument('echo', default_value='false', choices=['false', 'true'],
                              description='an echo takes the place of the planner: the floor'),
        DeclareLaunchArgument('composed', default_value='false', choices=['false', 'true'],
                              description='planner and supervisor of the device in one process; '
                                          'the scenario must have composed: true as well'),
        DeclareLaunchArgument('bag', default_value='',
                              description='folder of the bag; empty: bag_ and the time of day'),
        DeclareLaunchArgument('ready_timeout_s', default_value='60.0',
                              description='how long the host waits for the device [s]'),
        Node(package='wm_eval_ros', executable='planner_node', name='planner', output='screen',
             parameters=[run, {'autostart': True}],
             condition=part('device', ['not ', *echo, ' and not ', *composed])),
        Node(package='wm_eval_ros', executable='echo_node', name='planner', output='screen',
             parameters=[run], condition=part('device', [*echo, ' and not ', *composed])),
        Node(package='wm_eval_ros', executable='supervisor_node', parameters=[run],
             output='screen', condition=part('device', ['not ', *composed])),
        Node(package='wm_eval_ros', executable='device_node', output='screen', parameters=[run],
             arguments=['--ros-args', '-p', 'planner:autostart:=true'],
             condition=part('device', ['not ', *echo, ' and ', *composed])),
        Node(package='wm_eval_ros', executable='echo_device_node', output='screen',
             parameters=[run], condition=part('device', [*echo, ' and ', *composed])),
        Node(package='wm_eval_ros', executable='monitor_node', parameters=[run], output='screen',
             condition=part('host')),
        Node(package='wm_eval_ros', executable='recorder_node', parameters=[run, bag],
             output='screen', condition=part('host')),
        Node(package='wm_eval_ros', executable='plant_node', parameters=[run, patience],
             output='screen', condition=part('host'),
             on_exit=Shutdown(reason='the last episode has ended')),
    ])
