"""Nodes in this process, over real DDS, in a domain of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import gc
import json
import time
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402


class Graph:
    """A context, an executor and a node of the test's own beside the node under test."""

    def __init__(self) -> None:
        from rclpy.executors import SingleThreadedExecutor
        self.executor = SingleThreadedExecutor()
        self.node = rclpy.create_node('probe')
        self.added: list[Any] = []
        self.executor.add_node(self.node)
        from wm_eval_ros.config.scenario import find_scenario, load_scenario
        from wm_eval_ros.nodes.ros import Endpoints
        self.ends = Endpoints(self.node, load_scenario(find_scenario('reacher')), ())

    def add(self, runnable: Any) -> Any:
        self.executor.add_node(runnable.node)
        self.added.append(runnable.node)
        return runnable

    def close(self) -> None:
        # a node that lives on goes on taking part in its domain, and in the next test of it
        self.executor.shutdown()
        for node in (self.node, *self.added):
            node.destroy_node()

    def publisher(self, type_name: str, topic: str, qos: Any) -> Any:
        return self.ends.publisher(type_name, topic, qos)

    def listen(self, type_name: str, topic: str, qos: Any) -> list[Any]:
        heard: list[Any] = []
        self.ends.subscription(type_name, topic, qos, heard.append)
        return heard

    def until(self, done: Callable[[], object], timeout_s: float = 15.0) -> None:
        end = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < end, 'it never happened'
            self.executor.spin_once(timeout_sec=0.02)


MS = 1_000_000
#: in one process DDS takes a planner between two proposals for dead; the probe is the planner
PATIENT = {'scenario': 'reacher', 'nodes': ['supervisor'], 'authorised': 'probe',
           'stale_periods': 1200.0, 'late_periods': 1200.0, 'stop_ms': 60000.0,
           'liveliness_ms': 60000.0, 'age_ms': 30000.0}


class Scene:
    """A supervisor, somebody who proposes, somebody who listens to what comes out."""

    kind = 'sensor_msgs/msg/JointState'

    def __init__(self, graph: Graph) -> None:
        from wm_eval_ros.nodes.supervisor import SupervisorNode
        self.graph = graph
        # as the planner offers it
        self.proposals = graph.publisher(self.kind, 'proposed/joint_command',
                                         topics.proposal(50 * MS, 300 * MS))
        self.cycles = graph.publisher(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                                      topics.TELEMETRY)
        self.events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        self.out = graph.listen(self.kind, 'joint_command', topics.TELEMETRY)
        self.told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)
        self.ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY,
                                  topics.LATCHED)
        self.supervisor = graph.add(SupervisorNode())
        graph.until(lambda: self.proposals.get_subscription_count() == 1)
        graph.until(lambda: self.events.get_subscription_count() >= 2)

    def say(self, kind: EventKind, label: str = '') -> None:
        from wm_eval_ros.nodes.ros import TYPES
        event = EpisodeEvent(time.time_ns(), 0, kind, label, 0.0, 'probe')
        self.events.publish(codec.event_to_msg(event, TYPES))

    def start(self) -> None:
        self.say(EventKind.START)
        self.graph.until(lambda: 'supervisor 0' in [m.data for m in self.ready])

    def command(self, *effort: float) -> Any:
        from wm_eval_ros.nodes.ros import message_type
        message = message_type(self.kind)()
        message.name = ['joint0', 'joint1']
        message.effort = list(effort)
        self.stamp_ns = time.time_ns()
        codec.set_stamp(message.header.stamp, self.stamp_ns)
        return message

    def propose(self, *effort: float) -> None:
        self.proposals.publish(self.command(*effort))

    def score(self, surprise: float, threshold: float) -> None:
        from wm_eval_ros.nodes.ros import TYPES
        cycle = CycleRecord(time.time_ns(), 0, 0, CycleStatus.OK, 0, 0, 0, 0, 0, 0, 50 * MS,
                            50 * MS, surprise=surprise, surprise_threshold=threshold)
        self.cycles.publish(codec.cycle_to_msg(cycle, TYPES))

    def said(self) -> list[EpisodeEvent]:
        return [codec.event_from_msg(m) for m in self.told]

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.said()]


@pytest.fixture
def make_graph(domain_id: int) -> Iterator[Callable[..., Graph]]:
    """Make a graph whose nodes get these parameters, as from a command line."""
    from rclpy.signals import SignalHandlerOptions
    made: list[Graph] = []

    def make(**parameters: object) -> Graph:
        words = ['--ros-args']
        for key, value in parameters.items():
            words += ['-p', f'{key}:={json.dumps(value)}']
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        made.append(Graph())
        return made[-1]

    yield make
    for graph in made:
        graph.close()
    made.clear()
    rclpy.try_shutdown()
    gc.collect()


@pytest.fixture
def make_scene(make_graph: Callable[..., Graph]) -> Callable[..., Scene]:
    """Make a supervisor with nobody in a hurry, but for the settings given."""
    def make(**settings: object) -> Scene:
        return Scene(make_graph(**{**PATIENT, **settings}))

    return make
