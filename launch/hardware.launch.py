"""A robot instead of a simulator: its own topics are the plant, episodes are kept by time."""

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
    """Declare the arguments, start the nodes, take the planner to active."""
    relays = {name: LaunchConfiguration(argument) for name, argument in (
        ('perturb_relay', 'perturb'), ('command_relay', 'perturb_commands'))}
    # evaluates to a list, which is read as YAML
    nodes = ["['plant', 'planner', 'supervisor', 'monitor', 'recorder']"]
    for name, asked in relays.items():
        nodes += [f" + (['{name}'] if '", asked, "' == 'true' else [])"]
    run = {
        'scenario': LaunchConfiguration('scenario'),
        'episodes': ParameterValue(LaunchConfiguration('episodes'), value_type=int),
        'nodes': ParameterValue(PythonExpression(nodes)),
    }
    bag = {'bag': ParameterValue(LaunchConfiguration('bag'), value_type=str)}
    patience = {'ready_timeout_s': ParameterValue(LaunchConfiguration('ready_timeout_s'),
                                                  value_type=float)}
    planner = LifecycleNode(package='wm_eval_ros', executable='planner_node', name='planner',
                            namespace='', parameters=[run], output='screen')

    def change(transition):
        return EmitEvent(event=ChangeState(
            lifecycle_node_matcher=matches_action(planner), transition_id=transition))

    return LaunchDescription([
        DeclareLaunchArgument('scenario',
                              description="scenario file whose interface is the robot's topic map "
                                          'and whose plant.kind is hardware'),
        DeclareLaunchArgument('episodes', default_value='0',
                              description="number of episodes; 0: the scenario's"),
        DeclareLaunchArgument('bag', default_value='',
                              description='folder of the bag; empty: bag_ and the time of day'),
        DeclareLaunchArgument('ready_timeout_s', default_value='60.0',
                              description="how long the robot's topics and the nodes are waited "
                                          'for [s]'),
        DeclareLaunchArgument('perturb', default_value='false', choices=['false', 'true'],
                              description="pass the robot's sensors through the relay that "
                                          "carries out the scenario's perturbations"),
        DeclareLaunchArgument('perturb_commands', default_value='false',
                              choices=['false', 'true'],
                              description='also perturb commands, behind the supervisor: nothing '
                                          'checks them any more; needs perturb:=true'),
        RegisterEventHandler(OnProcessStart(
            target_action=planner, on_start=[change(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=planner, goal_state='inactive',
            entities=[change(Transition.TRANSITION_ACTIVATE)])),
        planner,
        *(Node(package='wm_eval_ros', executable=f'{name}_node', parameters=[run],
               output='screen', condition=IfCondition(asked)) for name, asked in relays.items()),
        Node(package='wm_eval_ros', executable='supervisor_node', parameters=[run],
             output='screen'),
        Node(package='wm_eval_ros', executable='monitor_node', parameters=[run], output='screen'),
        Node(package='wm_eval_ros', executable='recorder_node', parameters=[run, bag],
             output='screen'),
        Node(package='wm_eval_ros', executable='plant_node', parameters=[run, patience],
             output='screen', on_exit=Shutdown(reason='the last episode has ended')),
    ])
