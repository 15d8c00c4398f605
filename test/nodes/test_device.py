"""Planner and supervisor in one process, over real DDS: who waits for whom, what ends whom."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Any, ClassVar

import pytest
import yaml

pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError, EXIT_BAD_INPUT, RunError
from wm_eval_ros.nodes.device import DeviceNode
from wm_eval_ros.nodes.echo import EchoNode
from wm_eval_ros.nodes.process import make_executor, Stop
from wm_eval_ros.nodes.ros import message_type, TYPES
from wm_eval_ros.records import EpisodeEvent, EventKind
from wm_eval_ros.wire import codec, topics

KIND = 'sensor_msgs/msg/JointState'
#: what a thread does while another one waits for a reader that is stopped: waits, and counts
FROZEN = """
import signal, subprocess, sys, threading, time
import rclpy
from std_msgs.msg import String
from wm_eval_ros.nodes.ros import wait_acked
READER = ("import rclpy, time; from std_msgs.msg import String; rclpy.init(); "
          "node = rclpy.create_node('reader'); "
          "node.create_subscription(String, 'said', lambda m: None, 10); time.sleep(60)")
reader = subprocess.Popen([sys.executable, '-c', READER])
rclpy.init()
publisher = rclpy.create_node('writer').create_publisher(String, 'said', 10)
while not publisher.get_subscription_count():
    time.sleep(0.05)
reader.send_signal(signal.SIGSTOP)
publisher.publish(String(data='x'))
ticks, over = [], threading.Event()
def count():
    while not over.wait(0.01):
        ticks.append(time.monotonic())
thread = threading.Thread(target=count)
thread.start()
begun = time.monotonic()
acked = wait_acked(publisher, 0.5)
ended = time.monotonic()
over.set()
thread.join()
reader.kill()
print(acked, sum(begun < at < ended for at in ticks))
"""
#: of a supervisor that nothing but what is tried alarms
PATIENT = {'stale_periods': 1200.0, 'late_periods': 1200.0, 'stop_ms': 60000.0, 'age_ms': 30000.0}


def write(folder: Path, **changes: Any) -> str:
    """Write the scenario of a latency test, changed; return its file."""
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('hil'), changes))
    path = folder / 'composed.yaml'
    path.write_text(yaml.safe_dump(raw), encoding='utf-8')
    return str(path)


class Running:
    """A device in threads of its own, and a probe that is plant and robot."""

    def __init__(self, graph: Any, make: Callable[[], Any]) -> None:
        self.graph, self.stop, self.error = graph, Stop(), None
        self.samples = graph.publisher(KIND, 'joint_states', topics.SENSOR_OFFER)
        self.events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        self.out = graph.listen(KIND, 'joint_command', topics.TELEMETRY)
        self.ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY,
                                  topics.LATCHED)
        self.device = DeviceNode(make)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        executor = make_executor('supervisor')
        executor.add_node(self.device.node)
        try:
            try:
                self.device.spin(executor, self.stop)
            finally:
                self.device.finish(executor)
        except Exception as error:  # noqa: BLE001 the test looks at it
            self.error = error
        executor.remove_node(self.device.node)
        self.device.node.destroy_node()

    def names(self) -> set[str]:
        return {message.data for message in self.ready}

    def start(self) -> None:
        event = EpisodeEvent(time.time_ns(), 0, EventKind.START, '', 0.0, 'probe')
        self.events.publish(codec.event_to_msg(event, TYPES))
        self.graph.until(lambda: {'planner 0', 'supervisor 0'} <= self.names())

    def sample(self) -> None:
        message = message_type(KIND)()
        message.name, message.position = ['joint0', 'joint1'], [0.0, 0.0]
        message.velocity = [0.0, 0.0]
        codec.set_stamp(message.header.stamp, time.time_ns())
        self.samples.publish(message)

    def end(self) -> None:
        self.stop.request()
        self.graph.until(lambda: not self.thread.is_alive())


@pytest.fixture
def run(make_graph: Callable[..., Any], tmp_path: Path) -> Any:
    running: list[Running] = []

    def start(make: Callable[[], Any] = EchoNode, **changes: Any) -> Running:
        path = write(tmp_path, composed=True, **changes)
        graph = make_graph(scenario=path, nodes=['planner', 'supervisor'])
        running.append(Running(graph, make))
        return running[-1]

    yield start
    for each in running:
        each.stop.request()
        each.thread.join()


def test_what_the_planner_proposes_passes_the_gate_and_the_last_command_is_zero(run: Any) -> None:
    device = run()
    device.graph.until(lambda: {'planner', 'supervisor'} <= device.names())
    device.start()
    for n in range(1, 21):
        device.sample()
        device.graph.until(lambda: len(device.out) >= n)  # noqa: B023
    before = len(device.out)
    device.end()
    assert device.error is None
    device.graph.until(lambda: len(device.out) > before)
    assert list(device.out[-1].effort) == [0.0, 0.0]


class Failing(EchoNode):
    """Ends with an error once it is in an episode."""

    def spin(self, executor: Any, stop: Stop) -> None:
        while self._episodes.current is None:
            executor.spin_once(timeout_sec=0.05)
        raise RunError('planning thread: it failed')


def test_a_planner_that_fails_ends_the_gate_which_leaves_nothing_in_force(run: Any) -> None:
    device = run(Failing)
    event = EpisodeEvent(time.time_ns(), 0, EventKind.START, '', 0.0, 'probe')
    device.graph.until(lambda: 'supervisor' in device.names() or device.error)
    device.events.publish(codec.event_to_msg(event, TYPES))
    device.graph.until(lambda: not device.thread.is_alive())
    assert str(device.error) == 'planning thread: it failed'
    device.graph.until(lambda: device.out)
    assert list(device.out[-1].effort) == [0.0, 0.0]


class Held(EchoNode):
    """Answers no sample until it is let go."""

    entered, go_on = threading.Event(), threading.Event()

    def _answer(self, data: bytes) -> None:
        self.entered.set()
        self.go_on.wait(15.0)


def test_the_gate_does_not_wait_for_the_planners_callbacks(run: Any) -> None:
    device = run(Held)
    device.graph.until(lambda: {'planner', 'supervisor'} <= device.names())
    device.start()
    device.sample()
    assert Held.entered.wait(10.0)
    before = len(device.out)
    # nothing is proposed: the fallback commands, each period
    device.graph.until(lambda: len(device.out) >= before + 3)
    Held.go_on.set()


class Where(EchoNode):
    """Says on which processors its thread may run."""

    found: ClassVar[set[int]] = set()

    def spin(self, executor: Any, stop: Stop) -> None:
        Where.found |= os.sched_getaffinity(0)
        super().spin(executor, stop)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='one processor')
def test_the_planners_thread_has_its_processors_whatever_the_gates_has(run: Any) -> None:
    last = max(os.sched_getaffinity(0))
    device = run(Where, pinned_cpus=[last])
    device.graph.until(lambda: {'planner', 'supervisor'} <= device.names())
    assert Where.found == {last}


def test_a_proposal_is_with_the_gate_when_publish_returns(make_graph: Any) -> None:
    """Fast DDS hands it over within the process: no socket, no other thread."""
    graph = make_graph()
    node = graph.node
    publisher = graph.publisher(KIND, 'proposed/joint_command', topics.proposal(10**9, 10**9))
    subscription = node.create_subscription(message_type(KIND), 'proposed/joint_command',
                                            lambda message: None, 1)
    graph.until(lambda: publisher.get_subscription_count() == 1)
    took = 0
    for _ in range(200):
        publisher.publish(message_type(KIND)())
        with subscription.handle:
            took += subscription.handle.take_message(subscription.msg_type, False) is not None
    assert took == 200


def gate(make_graph: Any, tmp_path: Path, composed: bool) -> Any:
    """Return a gate in an episode whose planner, the probe, has proposed once."""
    from wm_eval_ros.nodes.supervisor import SupervisorNode
    path = write(tmp_path, composed=composed, **{f'supervisor.{k}': v for k, v in PATIENT.items()})
    graph = make_graph(scenario=path, nodes=['supervisor'], authorised='probe',
                       liveliness_ms=100.0)
    proposals = graph.publisher(KIND, 'proposed/joint_command', topics.proposal(10**8, 10**8))
    events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                             topics.LATCHED)
    supervisor = graph.add(SupervisorNode())
    graph.until(lambda: proposals.get_subscription_count() == 1)
    event = EpisodeEvent(time.time_ns(), 0, EventKind.START, '', 0.0, 'probe')
    events.publish(codec.event_to_msg(event, TYPES))
    message = message_type(KIND)()
    message.name, message.effort = ['joint0', 'joint1'], [0.0, 0.0]
    codec.set_stamp(message.header.stamp, time.time_ns())
    proposals.publish(message)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        graph.executor.spin_once(timeout_sec=0.02)
    return supervisor.gate


@pytest.mark.parametrize('composed', [False, True])
def test_a_silent_planner_of_the_gates_own_process_is_not_dead(
    make_graph: Any, tmp_path: Path, composed: bool
) -> None:
    found = gate(make_graph, tmp_path, composed)
    assert bool(found.state.name == 'FALLBACK') is not composed, found.state


@pytest.mark.parametrize(('module', 'composed', 'says'), [
    ('planner', True, 'start device_node in place of planner_node'),
    ('supervisor', True, 'start device_node in place of supervisor_node'),
    ('echo_device', False, 'only where the scenario has composed: true'),
])
def test_what_the_manifest_says_is_what_runs(
    module: str, composed: bool, says: str, tmp_path: Path, domain_id: int
) -> None:
    words = [sys.executable, '-m', f'wm_eval_ros.nodes.{module}', '--ros-args', '-p',
             f'scenario:={write(tmp_path, composed=composed)}']
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == EXIT_BAD_INPUT
    assert says in done.stderr.splitlines()[-1]


def test_under_ros_security_two_nodes_are_two_processes(
    tmp_path: Path, domain_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.device', '--ros-args', '-p',
             f'scenario:={write(tmp_path, composed=True)}']
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.splitlines() == [
        'SecurityError: ROS_SECURITY_ENABLE=true: an enclave is a process, and the planner must '
        'not have the rights of the supervisor; set composed: false']


def test_not_on_a_robot() -> None:
    with pytest.raises(ConfigError, match='composed: not on a robot'):
        load_scenario(find_scenario('reacher'), {'composed': True, 'plant.kind': 'hardware'})


@pytest.mark.usefixtures('domain_id')
def test_a_reader_that_is_frozen_does_not_hold_the_other_threads() -> None:
    """As rclpy's own wait does: the gate would stand still while the planner takes its leave."""
    done = subprocess.run([sys.executable, '-c', FROZEN], capture_output=True, text=True,
                          check=True, timeout=60)
    acked, ticks = done.stdout.split()
    assert acked == 'False'
    assert int(ticks) > 10, 'looks of another thread in 0.5 s, one every 10 ms'
