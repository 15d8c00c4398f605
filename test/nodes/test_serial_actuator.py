"""The node before an actuator's micro-controller, over real DDS and a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy')

from wm_eval_ros.cli.firmware import standing_in
from wm_eval_ros.config.scenario import find_scenario
from wm_eval_ros.errors import ConfigError, EXIT_BAD_INPUT, EXIT_RUN_FAILED, RunError
from wm_eval_ros.nodes.process import Stop
from wm_eval_ros.nodes.ros import message_type
from wm_eval_ros.nodes.serial_actuator import SerialActuatorNode
from wm_eval_ros.nodes.topic_list import ACTUATOR
from wm_eval_ros.records import ClockExchange, FIRMWARE, LinkEvent, LinkKind, NEVER_NS
from wm_eval_ros.wire import codec, topics

JOINTS = 'sensor_msgs/msg/JointState'
T0 = 1_700_000_000_000_000_000
NAN = float('nan')


def command(stamp_ns: int, *effort: float) -> Any:
    message = message_type(JOINTS)()
    message.name = ['joint0', 'joint1']
    message.effort = list(effort)
    codec.set_stamp(message.header.stamp, stamp_ns)
    return message


class Bench:
    """The node, a stand-in behind it, somebody who commands and somebody who listens."""

    def __init__(self, graph: Any, folder: Path, stack: ExitStack) -> None:
        self.graph, self._log = graph, folder / 'truth.jsonl'
        self._told = graph.listen(topics.TYPES[topics.LINK_EVENT], topics.LINK_EVENT,
                                  topics.TELEMETRY)
        self._asked = graph.listen(topics.TYPES[topics.CLOCK_EXCHANGE], topics.CLOCK_EXCHANGE,
                                   topics.TELEMETRY)
        self.commands = graph.publisher(JOINTS, 'joint_command', topics.COMMAND)
        self.stack = stack
        self.node: Any = None

    def start(self) -> None:
        self.node = self.graph.add(SerialActuatorNode())
        self.stack.callback(self.node.port.close)
        self.graph.until(lambda: self.commands.get_subscription_count()
                         and self.node._events.get_subscription_count()
                         and self.node._exchanges.get_subscription_count()
                         and self.node._ready.announce_when_matched())

    def events(self, kind: LinkKind) -> list[LinkEvent]:
        return [e for e in map(codec.link_from_msg, self._told) if e.kind is kind]

    def exchanges(self) -> list[ClockExchange]:
        return [codec.exchange_from_msg(m) for m in self._asked]

    def truth(self) -> dict[int, int]:
        lines = map(json.loads, self._log.read_text().splitlines())
        return {line['stamp_ns']: line['steady_ns'] for line in lines}


@pytest.fixture
def bench(make_graph: Callable[..., Any], tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        path = stack.enter_context(standing_in(
            '--clock-s', '4321', '--clock-ppm', '50', '--log', str(tmp_path / 'truth.jsonl')))
        graph = make_graph(scenario='hil', nodes=[ACTUATOR], port=path)
        made = Bench(graph, tmp_path, stack)
        made.start()
        yield made


def test_each_command_that_acts_is_told_of_with_when_it_did(bench: Bench) -> None:
    bench.graph.until(lambda: len(bench.exchanges()) >= 3)
    for number in range(20):
        bench.commands.publish(command(T0 + number, 0.5, 0.25))
        bench.graph.until(lambda n=number: len(bench.events(LinkKind.ACTUATED)) > n)
    found = bench.events(LinkKind.ACTUATED)
    assert [e.ref.stamp_ns for e in found] == [T0 + k for k in range(20)]
    assert [e.ref.sequence for e in found] == list(range(20))
    assert {e.ref.topic for e in found} == {'/joint_command'}
    # its clock's own, seconds from the host's
    assert all(4321 * 10**9 < e.ref.received_ns <= e.ref.source_ns < 4400 * 10**9 for e in found)
    assert {x.server for x in bench.exchanges()} == {FIRMWARE}
    assert all(x.client_send_ns < x.client_receive_ns for x in bench.exchanges())
    bench.stack.close()
    truth = bench.truth()
    off = [abs(e.ref.steady_ns - truth[e.ref.stamp_ns]) - e.uncertainty_ns for e in found]
    assert max(off) <= 0


def test_what_is_no_command_never_reaches_the_line_and_the_watchdog_is_told_of(
    bench: Bench
) -> None:
    bench.graph.until(lambda: bench.node._status is not None)
    bench.commands.publish(command(T0, 0.5, 0.25))
    bench.graph.until(lambda: bench.events(LinkKind.ACTUATED))
    for _ in range(5):
        bench.commands.publish(command(T0 + 1, NAN, 0.25))
        bench.commands.publish(command(T0 + 1, 1e39, 0.25))
        bench.graph.executor.spin_once(timeout_sec=0.05)
    bench.graph.until(lambda: bench.events(LinkKind.WATCHDOG))
    (trip,), (acted,) = bench.events(LinkKind.WATCHDOG), bench.events(LinkKind.ACTUATED)
    assert 200_000_000 < trip.ref.source_ns - acted.ref.source_ns < 10**9
    assert (trip.ref.stamp_ns, trip.ref.received_ns) == (0, NEVER_NS)


def test_a_port_that_goes_away_ends_the_node(make_graph: Callable[..., Any]) -> None:
    with standing_in() as path:
        graph = make_graph(scenario='hil', nodes=[ACTUATOR], port=path)
        node = graph.add(SerialActuatorNode())
    with pytest.raises(RunError, match=rf'port: {path}: went away'):
        node.spin(graph.executor, Stop())
    node.finish(graph.executor)


@pytest.mark.parametrize(('settings', 'says'), [
    ({'plant': {'link': False}}, 'plant.link: false'),
    ({'interface': {'command': {'type': 'geometry_msgs/msg/Twist',
                                'fields': ['linear.x', 'angular.z']}}}, 'carries no stamp'),
])
def test_what_could_not_be_joined_is_refused(
    make_graph: Callable[..., Any], tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    scenario = yaml.safe_load(find_scenario('hil').read_text())
    scenario['plant'] |= settings.get('plant', {})
    scenario['interface']['command'] |= settings.get('interface', {}).get('command', {})
    file = tmp_path / 'scenario.yaml'
    file.write_text(yaml.safe_dump(scenario))
    make_graph(scenario=str(file), nodes=[ACTUATOR], port='nope')
    with pytest.raises(ConfigError, match=says):
        SerialActuatorNode()


@pytest.mark.usefixtures('domain_id')
def test_the_process_says_in_one_line_what_is_wrong_with_its_port() -> None:
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.serial_actuator', '--ros-args', '-p',
             'scenario:=hil', '-p']
    done = subprocess.run([*words, 'port:=nope'], capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.splitlines() == [
        'ConfigError: port: nope: cannot be opened (No such file or directory)']
    with standing_in() as path:
        process = subprocess.Popen([*words, f'port:={path}'], stderr=subprocess.PIPE, text=True)
        port, end = os.stat(path).st_rdev, time.monotonic() + 60.0
        while port not in opened(process.pid):
            assert time.monotonic() < end, 'it never opened its port'
            time.sleep(0.1)
    _, told = process.communicate(timeout=60.0)
    assert process.returncode == EXIT_RUN_FAILED
    assert told.splitlines()[-1].startswith(f'RunError: port: {path}: went away')


def opened(pid: int) -> set[int]:
    """Return the devices that a process has open."""
    found = set()
    for link in Path(f'/proc/{pid}/fd').glob('*'):
        try:
            found.add(link.stat().st_rdev)
        except OSError:
            continue
    return found
