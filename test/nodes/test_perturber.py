"""Perturbations at the plant, over real DDS: what is published, what the service answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')
pytest.importorskip('mujoco')

from wm_eval_ros.cli.processes import NodeProcess  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.ros import message_type  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

#: what the plant is told to do in its one episode of 2.5 s
SCHEDULE = [
    {'name': 'sensor.bias', 'severity': 0.5, 'start_s': 0.3, 'duration_s': 0.3,
     'topics': ['joint_states']},
    {'name': 'timing.drop', 'severity': 1.0, 'start_s': 0.8, 'duration_s': 0.3,
     'topics': ['tip_pose']},
    {'name': 'timing.stale_stamp', 'severity': 0.2, 'start_s': 1.3, 'duration_s': 0.3,
     'topics': ['tip_pose']},
    {'name': 'visual.blur', 'severity': 0.5, 'start_s': 0.1},
    {'name': 'timing.planner_kill', 'severity': 0.5, 'start_s': 0.1}]


class Bench:
    """A plant by itself in its process, and ears."""

    def __init__(self, graph: Any, folder: Path, time_limit_s: float,
                 schedule: list[dict[str, Any]]) -> None:
        self.graph = graph
        raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
        raw |= {'episodes': 1, 'perturbations': schedule}
        raw['plant'] |= {'time_limit_s': time_limit_s}
        path = folder / 'scenario.yaml'
        path.write_text(yaml.safe_dump(raw))
        self._events = graph.listen('wm_eval_ros/msg/EpisodeEvent', topics.EPISODE_EVENT,
                                    topics.LATCHED)
        self.joints = graph.listen('sensor_msgs/msg/JointState', 'joint_states', topics.SENSOR)
        self.tips = graph.listen('geometry_msgs/msg/PoseStamped', 'tip_pose', topics.SENSOR)
        self.plant = NodeProcess('plant', {'scenario': str(path), 'nodes': ['plant', 'monitor']},
                                 folder / 'plant.log', os.environ)
        # the plant waits for the monitor: for us
        ready = graph.publisher('std_msgs/msg/String', topics.NODE_READY, topics.LATCHED)
        graph.until(lambda: all(graph.node.count_publishers(t) for t in (
            topics.EPISODE_EVENT, 'joint_states', 'tip_pose')), timeout_s=60.0)
        ready.publish(message_type('std_msgs/msg/String')(data='monitor'))

    @property
    def events(self) -> list[EpisodeEvent]:
        return [codec.event_from_msg(m) for m in self._events]

    def heard(self, kind: EventKind) -> EpisodeEvent | None:
        return next((e for e in self.events if e.kind is kind), None)

    def span(self, label: str) -> tuple[int, int]:
        on, off = (e.stamp_ns for e in self.events
                   if e.label == label and e.kind is not EventKind.PERTURB_SKIPPED)
        return on, off

    def ask(
        self, name: str, severity: float, parameters: str = '', duration_s: float = 0.0,
    ) -> tuple[str, str]:
        kind = message_type('wm_eval_ros/srv/InjectPerturbation')
        client = self.graph.node.create_client(kind, topics.INJECT_PERTURBATION)
        self.graph.until(client.service_is_ready)
        request = kind.Request(name=name, severity=severity, parameters=parameters,
                               duration_s=duration_s)
        future = client.call_async(request)
        self.graph.until(future.done)
        self.graph.node.destroy_client(client)
        return future.result().outcome, future.result().message

    def close(self) -> None:
        self.plant.interrupt()
        self.plant.wait()


@pytest.fixture
def make_bench(make_graph: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(time_limit_s: float, schedule: list[dict[str, Any]] = SCHEDULE) -> Bench:
        made.append(Bench(make_graph(), tmp_path, time_limit_s, schedule))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def stamp_s(message: Any, start_ns: int) -> float:
    return (codec.stamp_ns(message.header.stamp) - start_ns) * 1e-9


def within(messages: list[Any], span: tuple[int, int]) -> list[Any]:
    """Return the messages of a span, without those within 15 ms of its ends: two ticks."""
    low, high = span[0] + 15_000_000, span[1] - 15_000_000
    return [m for m in messages if low < codec.stamp_ns(m.header.stamp) < high]


def test_what_is_scheduled_is_published_told_and_over_with_the_episode(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(2.5)
    bench.graph.until(lambda: bench.heard(EventKind.TIMEOUT), timeout_s=40.0)
    start = bench.heard(EventKind.START)
    assert start is not None
    told = [(e.kind.name, e.label.partition(':')[0]) for e in bench.events]
    assert told == [
        ('START', ''), ('PERTURB_SKIPPED', 'visual.blur'),
        ('PERTURB_SKIPPED', 'timing.planner_kill'),
        ('PERTURB_ON', 'sensor.bias'), ('PERTURB_OFF', 'sensor.bias'),
        ('PERTURB_ON', 'timing.drop'), ('PERTURB_OFF', 'timing.drop'),
        ('PERTURB_ON', 'timing.stale_stamp'), ('PERTURB_OFF', 'timing.stale_stamp'),
        ('TIMEOUT', 'time limit')]
    # nobody commands: the arm stands, and joint1 is off by 0.5 * 2 units of 0.2 rad
    before = [m.position[1] for m in bench.joints if stamp_s(m, start.stamp_ns) < 0.28]
    during = [m.position[1] for m in within(bench.joints, bench.span('sensor.bias'))]
    assert min(len(before), len(during)) > 10
    assert abs(abs(during[0] - before[-1]) - 0.2) < 0.02
    assert within(bench.tips, bench.span('timing.drop')) == []
    on, off = bench.span('timing.stale_stamp')
    # stamps of 0.2 s ago: the last 0.2 s of the span are nobody's, and 0.2 s before are twice
    assert within(bench.tips, (on + 100_000_000, off)) == []
    before_it, twice = (len(within(bench.tips, (at - 200_000_000, at))) for at in (
        on - 300_000_000 + 100_000_000, on))
    assert twice > 1.5 * before_it


def test_the_service_begins_and_ends_perturbations_and_says_why_not(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(60.0)
    bench.graph.until(lambda: bench.heard(EventKind.START), timeout_s=40.0)
    assert bench.ask('physical.payload', 0.5, '{"ratio": 3.0}') == ('applied', '')
    assert bench.ask('physical.payload', 0.5) == ('skipped', 'it is on already')
    assert bench.ask('physical.payload', 0.0) == ('applied', '')
    outcome, why = bench.ask('sensor.nose', 0.5)
    assert (outcome, "did you mean 'sensor.noise'" in why) == ('unsupported', True)
    outcome, why = bench.ask('timing.slow_inference', 0.5)
    assert (outcome, 'schedule it in the scenario' in why) == ('unsupported', True)
    outcome, why = bench.ask('sensor.noise', 0.5, '[1]')
    assert (outcome, 'parameters' in why) == ('unsupported', True)
    for severity in (7.0, -1.0, float('nan')):
        outcome, why = bench.ask('sensor.noise', severity)
        assert (outcome, 'outside [0, 1]' in why) == ('unsupported', True)
    for duration_s in (-1.0, float('nan'), float('inf')):
        outcome, why = bench.ask('sensor.noise', 0.5, duration_s=duration_s)
        assert (outcome, 'duration_s' in why) == ('unsupported', True)
    for parameters in ('{"std": -1.0}', '{"stdd": 1.0}'):
        outcome, why = bench.ask('sensor.noise', 0.5, parameters)
        assert (outcome, 'std' in why) == ('unsupported', True)
    # what is no perturbation at all is answered, and none in the bag
    assert bench.ask('visual.blur', 0.5) == ('unsupported', 'there is no camera')
    bench.graph.until(lambda: 'visual.blur: unsupported: there is no camera' in [
        e.label for e in bench.events])
    assert not [e.label for e in bench.events if e.label.startswith('sensor.noise')]
    bench.graph.until(lambda: [e.kind.name for e in bench.events
                               if e.label == 'physical.payload'] == ['PERTURB_ON', 'PERTURB_OFF'])


def test_actuators_that_ask_for_what_nobody_offers_hear_no_command_until_it_is_over(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(60.0, [{'name': 'timing.qos_mismatch', 'severity': 1.0, 'start_s': 0.5,
                               'duration_s': 2.0}])
    command = bench.graph.publisher('sensor_msgs/msg/JointState', 'joint_command', topics.COMMAND)
    bench.graph.until(lambda: command.get_subscription_count() == 1, timeout_s=40.0)
    bench.graph.until(lambda: bench.heard(EventKind.PERTURB_ON), timeout_s=40.0)
    bench.graph.until(lambda: command.get_subscription_count() == 0)
    assert bench.graph.node.count_subscribers('joint_command') == 1
    assert bench.heard(EventKind.PERTURB_OFF) is None
    bench.graph.until(lambda: bench.heard(EventKind.PERTURB_OFF))
    bench.graph.until(lambda: command.get_subscription_count() == 1)
    # and what it hears moves the arm
    message = message_type('sensor_msgs/msg/JointState')(
        name=['joint0', 'joint1'], effort=[1.0, 1.0])
    still = bench.joints[-1].position[1]
    command.publish(message)
    bench.graph.until(lambda: abs(bench.joints[-1].position[1] - still) > 0.3)


def test_at_a_doubled_rate_one_topic_has_fresh_samples_between(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(4.0, [{'name': 'timing.double_rate', 'severity': 1.0, 'start_s': 0.5,
                              'duration_s': 3.0, 'topics': ['tip_pose']}])
    bench.graph.until(lambda: bench.heard(EventKind.TIMEOUT), timeout_s=40.0)
    span = bench.span('timing.double_rate')
    joints, tips = within(bench.joints, span), within(bench.tips, span)
    # depth 1, best effort: some are missed by whoever listens
    assert len(joints) > 100
    assert 1.6 < len(tips) / len(joints) < 2.1
    assert len({codec.stamp_ns(m.header.stamp) for m in tips}) == len(tips)
