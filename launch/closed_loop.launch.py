"""Simulation: plant, planner, supervisor, monitor and recorder, ended by the last episode."""

from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from launch import LaunchDescription


def generate_launch_description():
    """Declare the arguments, start the nodes, take the planner to active."""
    run = {
        'scenario': LaunchConfiguration('scenario'),
        'clock': ParameterValue(LaunchConfiguration('clock'), value_type=str),
        'seed': ParameterValue(LaunchConfiguration('seed'), value_type=int),
        'episodes': ParameterValue(LaunchConfiguration('episodes'), value_type=int),
    }
    bag = {'bag': ParameterValue(LaunchConfiguration('bag'), value_type=str)}
    scorecard = {'scorecard': ParameterValue(LaunchConfiguration('scorecard'), value_type=str)}
    composed = LaunchConfiguration('composed')
    planner = LifecycleNode(package='wm_eval_ros', executable='planner_node', name='planner',
                            namespace='', parameters=[run], output='screen',
                            condition=UnlessCondition(composed))

    def change(transition):
        return EmitEvent(event=ChangeState(
            lifecycle_node_matcher=matches_action(planner), transition_id=transition))

    return LaunchDescription([
        DeclareLaunchArgument('scenario', default_value='reacher',
                              description='scenario file, or the name of a shipped scenario'),
        DeclareLaunchArgument('clock', default_value='',
                              description="realtime, lockstep or free; empty: the scenario's"),
        DeclareLaunchArgument('seed', default_value='-1',
                              description="seed of the run; -1: the scenario's"),
        DeclareLaunchArgument('episodes', default_value='0',
                              description="number of episodes; 0: the scenario's"),
        DeclareLaunchArgument('composed', default_value='false', choices=['false', 'true'],
                              description='planner and supervisor in one process; the scenario '
                                          'must have composed: true as well'),
        DeclareLaunchArgument('bag', default_value='',
                              description='folder of the bag; empty: bag_ and the time of day'),
        DeclareLaunchArgument('scorecard', default_value='',
                              description='file of the live scorecard; empty: none is written'),
        RegisterEventHandler(OnProcessStart(
            target_action=planner, on_start=[change(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=planner, goal_state='inactive',
            entities=[change(Transition.TRANSITION_ACTIVATE)])),
        planner,
        Node(package='wm_eval_ros', executable='supervisor_node', parameters=[run],
             output='screen', condition=UnlessCondition(composed)),
        Node(package='wm_eval_ros', executable='device_node', parameters=[run], output='screen',
             arguments=['--ros-args', '-p', 'planner:autostart:=true'],
             condition=IfCondition(composed)),
        Node(package='wm_eval_ros', executable='monitor_node', parameters=[run, scorecard],
             output='screen'),
        Node(package='wm_eval_ros', executable='recorder_node', parameters=[run, bag],
             output='screen'),
        Node(package='wm_eval_ros', executable='plant_node', parameters=[run], output='screen',
             on_exit=Shutdown(reason='the last episode has ended')),
    ])
