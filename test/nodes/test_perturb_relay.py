"""The relay over DDS: bytes untouched without a fault, and each kind of fault on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import math
from pathlib import Path
import threading
import time
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import ReliabilityPolicy  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.errors import ConfigError  # noqa: E402
from wm_eval_ros.nodes.perturb_relay import RelayNode  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

JOINTS, POSE = 'sensor_msgs/msg/JointState', 'geometry_msgs/msg/PoseStamped'
#: of a message
STAMP_NS = 1_700_000_000_123_456_789


class Flag:
    """Ends a loop from another thread."""

    def __init__(self) -> None:
        self.up = False

    def __bool__(self) -> bool:
        return self.up


class Robot:
    """A relay in a thread of its own, between a robot and somebody who listens behind it."""

    def __init__(self, graph: Any, name: str, reliable: bool) -> None:
        from wm_eval_ros.nodes.topic_list import COMMAND_RELAY
        self.graph, self.stamp_ns = graph, STAMP_NS
        commands = name == COMMAND_RELAY
        offered = topics.COMMAND if commands else topics.Qos(10, reliable=reliable)
        come = ('unperturbed/joint_command',) if commands else ('joint_states', 'tip_pose')
        goes = ('joint_command',) if commands else ('perturbed/joint_states', 'perturbed/tip_pose')
        kinds = (JOINTS, POSE)
        self.into = [graph.publisher(k, t, offered)
                     for k, t in zip(kinds, come, strict=False)]
        self.events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        self.told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)
        #: steady time and bytes of what comes out
        self.out: list[tuple[int, bytes]] = []
        self.outs = [graph.ends.subscription(
            k, t, topics.Qos(100, reliable=reliable or commands),
            lambda data: self.out.append((time.monotonic_ns(), data)), raw=True)
            for k, t in zip(kinds[:1], goes, strict=False)]
        self.relay, self.stop = RelayNode(name), Flag()
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.relay.node)
        self.thread = threading.Thread(target=self.relay.spin, args=(self.executor, self.stop))
        self.thread.start()
        graph.until(lambda: all(p.get_subscription_count() for p in self.into)
                    and all(s.get_publisher_count() for s in self.outs)
                    and self.events.get_subscription_count() == 2)

    def close(self) -> None:
        self.stop.up = True
        self.thread.join()
        self.relay.finish(self.executor)
        self.executor.shutdown()
        self.relay.node.destroy_node()

    def say(self, kind: EventKind, seed: float = 0.0) -> None:
        self.events.publish(codec.event_to_msg(
            EpisodeEvent(time.time_ns(), 3, kind, '', seed, 'plant'), TYPES))

    def heard(self) -> list[EpisodeEvent]:
        return [e for m in self.told if (e := codec.event_from_msg(m)).source != 'plant']

    def begin(self, changes: int = 1) -> None:
        """Begin an episode; wait until so many perturbations have begun, or will not."""
        self.say(EventKind.START)
        self.graph.until(lambda: len(self.heard()) >= changes)

    def tell(self, effort: float = 0.25) -> bytes:
        message = message_type(JOINTS)()
        codec.set_stamp(message.header.stamp, self.stamp_ns)
        message.header.frame_id = 'base'
        message.name = ['joint0', 'joint1', 'gripper']
        message.position, message.velocity = [0.1, -0.2, 7.0], [0.5, 0.0, 9.0]
        message.effort = [effort, -0.5, 0.0]
        data = serialize_message(message)
        self.into[0].publish(data)
        return bytes(data)

    def received(self, count: int = 1) -> list[bytes]:
        self.graph.until(lambda: len(self.out) >= count)
        return [data for _, data in self.out]

    def quiet(self, seconds: float = 0.3) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.graph.executor.spin_once(timeout_sec=0.02)


Make = Callable[..., Robot]


@pytest.fixture
def make_robot(make_graph: Any, tmp_path: Path) -> Iterator[Make]:
    made: list[Robot] = []

    def make(*perturbations: dict[str, Any], name: str = 'perturb_relay',
             reliable: bool = True, kind: str = 'hardware') -> Robot:
        raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
        raw['plant'] |= {'kind': kind}
        raw['perturbations'] = list(perturbations)
        path = tmp_path / 'robot.yaml'
        path.write_text(yaml.safe_dump(raw))
        graph = make_graph(scenario=str(path), nodes=['perturb_relay', 'command_relay'])
        made.append(Robot(graph, name, reliable))
        return made[-1]

    yield make
    for robot in made:
        robot.close()


def test_without_a_fault_every_byte_passes(make_robot: Make) -> None:
    robot = make_robot({'name': 'sensor.bias', 'start_s': 100.0})
    sent = [robot.tell(0.1 * i) for i in range(5)]          # before an episode
    robot.received(5)
    robot.say(EventKind.START)
    robot.quiet()
    sent += [robot.tell(0.1 * i) for i in range(5)]         # and in one
    assert robot.received(10) == sent


def test_what_a_fault_does_not_act_on_passes_byte_by_byte(make_robot: Make) -> None:
    robot = make_robot({'name': 'sensor.bias', 'topics': ['tip_pose']})
    robot.begin()
    sent = robot.tell()
    assert robot.received(1)[-1] == sent


def test_a_biased_sensor_changes_the_interfaces_numbers_and_nothing_else(make_robot: Make) -> None:
    robot = make_robot({'name': 'sensor.bias', 'severity': 0.5, 'topics': ['joint_states']})
    robot.begin()
    sent = robot.tell()
    (data,) = robot.received()
    assert len(data) == len(sent), 'nothing is appended'
    message = deserialize_message(data, message_type(JOINTS))
    # 0.5 of 2 units, of 0.2 rad and 1 rad/s
    assert [abs(v) for v in (message.position[0] - 0.1, message.position[1] + 0.2)] == (
        pytest.approx([0.2, 0.2]))
    assert [abs(v) for v in (message.velocity[0] - 0.5, message.velocity[1])] == (
        pytest.approx([1.0, 1.0]))
    assert (message.position[2], message.velocity[2]) == (7.0, 9.0), 'nobody named the gripper'
    assert list(message.effort) == [0.25, -0.5, 0.0]
    assert codec.stamp_ns(message.header.stamp) == STAMP_NS
    (event,) = robot.heard()
    assert (event.kind, event.label, event.value, event.episode, event.source) == (
        EventKind.PERTURB_ON, 'sensor.bias', 0.5, 3, 'perturb_relay')


def test_a_delayed_message_leaves_that_much_later_as_it_came(make_robot: Make) -> None:
    robot = make_robot({'name': 'timing.delay', 'severity': 1.0,
                        'parameters': {'longest': 0.15}})
    robot.begin()
    sent_ns = time.monotonic_ns()
    sent = robot.tell()
    assert robot.received() == [sent]
    assert robot.out[0][0] - sent_ns >= 150_000_000


def test_what_is_held_back_at_the_end_of_an_episode_never_leaves(make_robot: Make) -> None:
    robot = make_robot({'name': 'timing.delay', 'parameters': {'longest': 0.8}})
    robot.begin()
    robot.tell()
    robot.quiet(0.2)                                       # topics keep no order between them
    robot.say(EventKind.TIMEOUT)
    robot.graph.until(lambda: len(robot.heard()) == 2)
    assert robot.heard()[1].kind is EventKind.PERTURB_OFF
    robot.quiet(0.9)
    assert robot.out == []


def test_drop_duplicate_and_stale_stamps(make_robot: Make) -> None:
    robot = make_robot({'name': 'timing.duplicate', 'duration_s': 0.5},
                       {'name': 'timing.stale_stamp', 'parameters': {'age': 1.5},
                        'duration_s': 0.5},
                       {'name': 'timing.drop', 'start_s': 0.8})
    robot.begin(changes=2)
    sent = robot.tell()
    first, second = robot.received(2)
    assert first == second
    assert first[12:] == sent[12:], 'all behind the stamp'
    message = deserialize_message(first, message_type(JOINTS))
    assert codec.stamp_ns(message.header.stamp) == STAMP_NS - 1_500_000_000
    robot.graph.until(lambda: len(robot.heard()) == 5)     # both off, the drop on
    robot.tell()
    robot.quiet()
    assert len(robot.out) == 2


def test_copies_of_a_changed_message_have_one_stamp(make_robot: Make) -> None:
    robot = make_robot({'name': 'sensor.noise', 'severity': 0.1}, {'name': 'timing.duplicate'},
                       {'name': 'timing.clock_jump', 'parameters': {'jump': 3.0}})
    robot.begin(changes=3)
    robot.tell()
    first, second = robot.received(2)
    assert first == second
    message = deserialize_message(first, message_type(JOINTS))
    assert codec.stamp_ns(message.header.stamp) == STAMP_NS + 3_000_000_000


@pytest.mark.parametrize(('name', 'why'), [
    ('physical.payload', 'not the body'), ('timing.planner_kill', 'no process'),
    ('visual.blur', 'no camera')])
def test_what_a_relay_cannot_do_is_told_as_unsupported(
    make_robot: Make, name: str, why: str,
) -> None:
    robot = make_robot({'name': name})
    robot.begin()
    (event,) = robot.heard()
    assert event.kind is EventKind.PERTURB_SKIPPED
    assert event.label.startswith(f'{name}: unsupported: ')
    assert why in event.label


def test_a_perturbation_is_injected_by_a_call(make_robot: Make) -> None:
    robot = make_robot()
    kind = message_type('wm_eval_ros/srv/InjectPerturbation')
    client = robot.graph.node.create_client(kind, topics.INJECT_PERTURBATION)
    assert client.wait_for_service(timeout_sec=10.0)

    def ask(**asked: Any) -> Any:
        answer = client.call_async(kind.Request(**asked))
        robot.graph.until(answer.done)
        return answer.result()

    assert ask(name='timing.drop', severity=1.0).outcome == 'skipped'
    robot.say(EventKind.START)
    robot.quiet()
    refused = ask(name='timing.drop', severity=1.0, parameters='[1]')
    assert (refused.outcome, 'parameters' in refused.message) == ('unsupported', True)
    assert ask(name='timing.drop', severity=1.0, duration_s=0.3).outcome == 'applied'
    robot.tell()
    robot.graph.until(lambda: len(robot.heard()) == 2)
    assert robot.out == []
    sent = robot.tell()
    assert robot.received() == [sent]


@pytest.mark.parametrize('reliable', [True, False])
def test_the_relay_offers_what_the_robot_offers(make_robot: Make, reliable: bool) -> None:
    robot = make_robot(reliable=reliable)
    (info,) = robot.graph.node.get_publishers_info_by_topic('/perturbed/joint_states')
    assert (info.qos_profile.reliability is ReliabilityPolicy.RELIABLE) is reliable
    sent = robot.tell()
    assert robot.received() == [sent]


def test_a_simulated_plant_needs_no_relay(make_robot: Make) -> None:
    with pytest.raises(ConfigError, match=r'plant\.kind: mujoco; a simulated plant perturbs'):
        make_robot(kind='mujoco')


@pytest.fixture
def make_named(make_graph: Any, tmp_path: Path) -> Callable[..., Any]:
    """Make a graph whose scenario perturbs a topic of a robot; its goal is an image besides."""
    def make(topic: str, name: str = 'visual.blur') -> Any:
        raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
        raw['plant'] |= {'kind': 'hardware'}
        raw['interface']['goal_image'] = {'topic': 'goal_image'}
        raw['perturbations'] = [{'name': name, 'topics': [topic]}]
        path = tmp_path / 'robot.yaml'
        path.write_text(yaml.safe_dump(raw))
        return make_graph(scenario=str(path), match_timeout_s=20.0)

    return make


def test_a_topic_that_is_neither_observation_nor_image_is_refused(
    make_named: Callable[..., Any],
) -> None:
    graph = make_named('map_pose')
    pose = graph.publisher(POSE, 'map_pose', topics.LATCHED)
    relay = graph.add(RelayNode())
    with pytest.raises(ConfigError, match='map_pose is a geometry_msgs/msg/PoseStamped; name'):
        relay.spin(graph.executor, Flag())
    assert pose.get_subscription_count() == 0


def test_a_topic_of_the_interface_is_named_as_the_interface_names_it(
    make_named: Callable[..., Any],
) -> None:
    make_named('/tip_pose', 'timing.drop')
    with pytest.raises(ConfigError, match=r"no topic '/tip_pose' to act on; there are joint_st"):
        RelayNode()


@pytest.mark.parametrize('goal', ['goal', 'goal_image'])
def test_a_perturbation_of_the_goal_is_refused_since_the_planner_would_not_see_it(
    make_named: Callable[..., Any], goal: str,
) -> None:
    make_named(goal)
    with pytest.raises(ConfigError, match=rf'visual\.blur: topics: {goal} is the goal, which'):
        RelayNode()


def test_a_changed_command_stays_within_the_limits(make_robot: Make) -> None:
    robot = make_robot({'name': 'command.bias', 'parameters': {'size': 20.0}},
                       name='command_relay')
    robot.begin()
    robot.tell()
    message = deserialize_message(robot.received()[0], message_type(JOINTS))
    # 20 units of 0.1 Nm up or down: at the limit of 1 Nm
    assert [abs(v) for v in message.effort] == [1.0, 1.0, 0.0]


def test_the_last_command_passes_as_it_came_when_the_episode_ends(make_robot: Make) -> None:
    robot = make_robot({'name': 'command.nan', 'severity': 1.0}, name='command_relay')
    robot.begin()
    robot.tell(0.9)
    last = robot.tell(0.0)
    robot.quiet()
    assert robot.out == [], 'no actuator takes a number that is none'
    robot.say(EventKind.TIMEOUT)
    assert robot.received() == [last]
    message = deserialize_message(last, message_type(JOINTS))
    assert all(math.isfinite(v) for v in message.effort)
