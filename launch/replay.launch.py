"""A bag as the source of observations; the planner proposes in shadow mode, nothing is driven."""

from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler, Shutdown
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from launch import LaunchDescription


def generate_launch_description():
    """Declare the arguments, start the nodes; the player waits until the others read."""
    asked = LaunchConfiguration('perturb')
    # evaluates to a list, which is read as YAML
    nodes = ["['plant', 'planner', 'monitor', 'recorder'] + (['perturb_relay'] if '", asked,
             "' == 'true' else [])"]
    run = {'scenario': LaunchConfiguration('scenario'),
           'nodes': ParameterValue(PythonExpression(nodes))}
    bag = {'bag': ParameterValue(LaunchConfiguration('bag'), value_type=str),
           'exclude': ParameterValue(LaunchConfiguration('exclude'))}
    replay = {'bag': ParameterValue(LaunchConfiguration('replay'), value_type=str)}
    planner = LifecycleNode(package='wm_eval_ros', executable='planner_node', name='planner',
                            namespace='', parameters=[run, {'shadow': True}], output='screen')

    def change(transition):
        return EmitEvent(event=ChangeState(
            lifecycle_node_matcher=matches_action(planner), transition_id=transition))

    return LaunchDescription([
        DeclareLaunchArgument('replay', description='bag that is played as the sensor side'),
        DeclareLaunchArgument('scenario',
                              description="scenario file whose interface names the bag's topics "
                                          'and whose plant.kind is hardware'),
        DeclareLaunchArgument('bag', default_value='',
                              description='folder of the bag; empty: bag_ and the time of day'),
        DeclareLaunchArgument('exclude',
                              description='topics that are not recorded: a YAML list; name the '
                                          'command topic here, nobody publishes it'),
        DeclareLaunchArgument('perturb', default_value='false', choices=['false', 'true'],
                              description="pass the bag's sensors through the relay that carries "
                                          "out the scenario's perturbations"),
        RegisterEventHandler(OnProcessStart(
            target_action=planner, on_start=[change(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=planner, goal_state='inactive',
            entities=[change(Transition.TRANSITION_ACTIVATE)])),
        planner,
        Node(package='wm_eval_ros', executable='perturb_relay_node', parameters=[run],
             output='screen', condition=IfCondition(asked)),
        Node(package='wm_eval_ros', executable='monitor_node', parameters=[run], output='screen'),
        Node(package='wm_eval_ros', executable='recorder_node', parameters=[run, bag],
             output='screen'),
        Node(package='wm_eval_ros', executable='bag_player_node', parameters=[run, replay],
             output='screen'),
        Node(package='wm_eval_ros', executable='plant_node', parameters=[run], output='screen',
             on_exit=Shutdown(reason='the bag has been played, or the last episode has ended')),
    ])
