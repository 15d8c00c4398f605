"""The robot to rehearse with: delays, a driver that stops by itself, a drive on the graph."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

pytest.importorskip('rclpy')

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.fake_robot import Delayed, FakeRobotNode, MS
from wm_eval_ros.nodes.ros import message_type
from wm_eval_ros.wire import codec, topics

JOINTS = 'sensor_msgs/msg/JointState'


@given(delay=st.floats(0.0, 50.0), jitter=st.floats(0.0, 20.0), seed=st.integers(0, 99),
       gaps=st.lists(st.integers(0, 30 * MS), min_size=1, max_size=30))
def test_nothing_comes_out_before_its_time_or_out_of_order(
    delay: float, jitter: float, seed: int, gaps: list[int]
) -> None:
    line = Delayed(delay, jitter, np.random.default_rng(seed))
    at = np.cumsum(gaps).tolist()
    for number, now in enumerate(at):
        line.add(now, number)
    out = []
    for now in range(0, at[-1] + 600 * MS, 5 * MS):
        for number in line.due(now):
            assert now >= at[number] + round(delay * MS)
            out.append(number)
    assert out == list(range(len(at)))


def robot(make_graph: Any, **settings: Any) -> tuple[Any, FakeRobotNode]:
    graph = make_graph(scenario='reacher', seed=5, **settings)
    made: FakeRobotNode = graph.add(FakeRobotNode())
    made._put(time.monotonic_ns())
    return graph, made


def until(graph: Any, made: FakeRobotNode, done: Any) -> None:
    def moved() -> object:
        made.step(time.monotonic_ns())
        return done()
    graph.until(moved)


def test_a_sample_carries_the_time_it_was_taken_and_comes_later(make_graph: Any) -> None:
    graph, made = robot(make_graph, sensor_delay_ms=60.0, jitter_ms=0.0)
    came: list[tuple[int, int]] = []
    graph.ends.subscription(JOINTS, 'joint_states', topics.SENSOR_OFFER, lambda m: came.append(
        (time.time_ns(), codec.stamp_ns(m.header.stamp))))
    goals = graph.listen('geometry_msgs/msg/PoseStamped', 'goal', topics.LATCHED)
    until(graph, made, lambda: len(came) > 5 and goals)
    ages = [now - stamp for now, stamp in came]
    assert min(ages) >= 59 * MS
    stamps = [stamp for _, stamp in came]
    assert stamps == sorted(set(stamps))


def test_a_command_acts_after_its_delay_and_the_driver_stops_without_one(
    make_graph: Any
) -> None:
    graph, made = robot(make_graph, command_delay_ms=80.0, jitter_ms=0.0, driver_timeout_ms=300.0)
    out = graph.publisher(JOINTS, 'joint_command', topics.COMMAND)
    graph.until(lambda: out.get_subscription_count())
    message = message_type(JOINTS)()
    message.name, message.effort = ['joint0', 'joint1'], [0.4, -0.2]
    out.publish(message)
    sent = time.monotonic()
    until(graph, made, lambda: made.acting.any())
    assert time.monotonic() - sent >= 0.079
    assert made.acting.tolist() == [0.4, -0.2]
    until(graph, made, lambda: not made.acting.any())
    assert time.monotonic() - sent >= 0.3
    message.effort = [float('nan'), 0.0]
    out.publish(message)
    for _ in range(20):
        graph.executor.spin_once(timeout_sec=0.01)
        made.step(time.monotonic_ns())
    assert not made.acting.any(), 'a driver that takes no numbers that are none'


def test_it_is_put_to_another_start_now_and_then(make_graph: Any) -> None:
    graph, made = robot(make_graph, restart_s=0.2)
    before = made.plant.state().copy()
    until(graph, made, lambda: made._seed == 6)
    assert not np.array_equal(before, made.plant.state())


def test_what_is_no_task_of_the_simulator_is_refused(make_graph: Any) -> None:
    make_graph(scenario='hil')
    with pytest.raises(ConfigError, match=r'plant\.kind: stimulus'):
        FakeRobotNode()


@pytest.mark.slow
def test_a_whole_drive_is_rehearsed_against_it(
    tmp_path: Path, domain_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wm_eval_ros.cli.main import main
    from wm_eval_ros.cli.reading import score_bag
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id)}
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.fake_robot', '--ros-args', '-p',
             'scenario:="reacher"', '-p', 'command_delay_ms:=12.0', '-p', 'restart_s:=4.0']
    with subprocess.Popen(words, env=environment) as driven:
        try:
            code = main(['run', 'reacher', '--set', 'plant.kind=hardware', '--episodes', '2',
                         '--domain', str(domain_id), '--out', str(tmp_path / 'drive')])
        finally:
            driven.send_signal(signal.SIGINT)
            assert driven.wait(timeout=30) == 0
    assert code == 0
    card = score_bag(tmp_path / 'drive' / 'bag')
    assert [e.outcome for e in card.episodes] == ['timeout', 'timeout'], 'success is not known'
    assert card['deadline_miss_rate'].n > 60
    staleness = card['staleness[/joint_states].p50'].value
    assert staleness is not None
    assert staleness >= 4.0, 'the sensor takes its time'
