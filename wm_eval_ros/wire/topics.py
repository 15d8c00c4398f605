"""Topic names, types and quality of service of the interface, as data."""

from __future__ import annotations

from dataclasses import dataclass

RUN_INFO = 'run_info'
PLANNER_CYCLE = 'planner_cycle'
EPISODE_EVENT = 'episode_event'
METRICS = 'metrics'
#: messages between a test host and a device under test, and what the clocks of both say
LINK_EVENT = 'link_event'
CLOCK_EXCHANGE = 'clock_exchange'
#: what the recorder has safely on disk
RECORDER_STATUS = 'recorder_status'
CLOCK = '/clock'
#: latched by every node of a run once it can take part; the plant waits for them
NODE_READY = 'node_ready'
CAMERA_IMAGE = 'camera/image_raw'
CAMERA_COMPRESSED = 'camera/image_raw/compressed'
#: services of the plant (or of the relay before a robot)
RESET_EPISODE = 'reset_episode'
INJECT_PERTURBATION = 'inject_perturbation'
#: service of the relay of commands
INJECT_COMMAND_PERTURBATION = 'inject_command_perturbation'
#: services of the supervisor: an operator takes over (SetBool), a stop is lifted (Trigger)
TAKE_OVER = 'take_over'
CLEAR_STOP = 'clear_stop'
#: service of a device under test: what its system clock says
CLOCK_PROBE = 'clock_probe'
#: the operator's commands while he has taken over: the command's type, or a joystick
OPERATOR_JOY = 'joy'

TYPES = {
    RUN_INFO: 'std_msgs/msg/String',
    PLANNER_CYCLE: 'wm_eval_ros/msg/PlannerCycle',
    EPISODE_EVENT: 'wm_eval_ros/msg/EpisodeEvent',
    METRICS: 'wm_eval_ros/msg/MetricArray',
    RECORDER_STATUS: 'wm_eval_ros/msg/RecorderStatus',
    LINK_EVENT: 'wm_eval_ros/msg/LinkEvent',
    CLOCK_EXCHANGE: 'wm_eval_ros/msg/ClockExchange',
    CLOCK: 'rosgraph_msgs/msg/Clock',
    NODE_READY: 'std_msgs/msg/String',
    CAMERA_IMAGE: 'sensor_msgs/msg/Image',
    CAMERA_COMPRESSED: 'sensor_msgs/msg/CompressedImage',
}


def camera(encoding: str) -> str:
    """Return the topic of the rendered camera: ``raw``, or a compressed encoding."""
    return CAMERA_IMAGE if encoding == 'raw' else CAMERA_COMPRESSED


def proposed(command_topic: str) -> str:
    """Return the topic of the planner's proposal for a command topic."""
    return f'proposed/{command_topic.lstrip("/")}'


def perturbed(topic: str) -> str:
    """Return the topic on which the relay passes a robot's topic on to the planner."""
    return f'perturbed/{topic.lstrip("/")}'


def unperturbed(command_topic: str) -> str:
    """Return the topic on which the supervisor hands its command to the relay of commands."""
    return f'unperturbed/{command_topic.lstrip("/")}'


@dataclass(frozen=True)
class Qos:
    """Quality of service, without ROS."""

    depth: int
    reliable: bool = True
    latched: bool = False
    #: longest time between two messages of a publisher [ns]; 0: not watched
    deadline_ns: int = 0
    #: a publisher not heard of for this long is not alive [ns]; 0: not watched
    lease_ns: int = 0


#: what the loop asks of a sensor: the newest sample, never an old one sent again
SENSOR = Qos(depth=1, reliable=False)
#: what a simulated sensor offers: a recorder may ask for every sample, the loop still takes SENSOR
SENSOR_OFFER = Qos(depth=100)
#: what a listener asks of a robot's sensor: as much as comes, whatever the robot offers
ROBOT_SENSOR = Qos(depth=100, reliable=False)
COMMAND = Qos(depth=1)
TELEMETRY = Qos(depth=1000)
#: run info, episode events, readiness
LATCHED = Qos(depth=1000, latched=True)


def proposal(deadline_ns: int, lease_ns: int) -> Qos:
    """
    Return the quality of service of proposals in realtime, watched by DDS itself.

    Who publishes must offer at most the deadline and the lease that the reader asks for.
    """
    return Qos(depth=COMMAND.depth, deadline_ns=deadline_ns, lease_ns=lease_ns)
