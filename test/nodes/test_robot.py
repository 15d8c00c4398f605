"""A robot of its own instead of a simulator: episodes by time, NaN and silence are recorded."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag  # noqa: E402
from wm_eval_ros.cli.processes import NodeProcess  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.ros import message_type  # noqa: E402
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402


def robot_scenario(folder: Path, episodes: int) -> Path:
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['plant'] |= {'kind': 'hardware', 'task': 'desk', 'time_limit_s': 2.0}
    raw['planner'] |= {'planner': 'random', 'model': '', 'model_sha256': ''}
    raw['episodes'] = episodes
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(raw))
    return path


class Robot:
    """Publishes what a two-link arm would, at 50 Hz; tells NaN or nothing when asked to."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.joints = graph.publisher('sensor_msgs/msg/JointState', 'joint_states', topics.SENSOR)
        self.tip = graph.publisher('geometry_msgs/msg/PoseStamped', 'tip_pose', topics.SENSOR)
        self.goal = graph.publisher('geometry_msgs/msg/PoseStamped', 'goal', topics.LATCHED)
        self.commands = graph.listen('sensor_msgs/msg/JointState', 'joint_command',
                                     topics.COMMAND)
        self.goal.publish(self._stamped('geometry_msgs/msg/PoseStamped'))

    def tell(self, position: float) -> None:
        state = self._stamped('sensor_msgs/msg/JointState')
        state.name = ['joint0', 'joint1']
        state.position, state.velocity = [position, 0.0], [0.0, 0.0]
        self.joints.publish(state)
        self.tip.publish(self._stamped('geometry_msgs/msg/PoseStamped'))

    def _stamped(self, kind: str) -> Any:
        message = message_type(kind)()
        codec.set_stamp(message.header.stamp, time.time_ns())
        return message


@pytest.mark.slow
def test_a_run_with_a_robot_records_nan_and_silence_as_missed_slots(
    make_graph: Any, domain_id: int, tmp_path: Path,
) -> None:
    out = tmp_path / 'run'
    run = subprocess.Popen(
        [sys.executable, '-m', 'wm_eval_ros.cli.main', 'run',
         str(robot_scenario(tmp_path, episodes=3)), '--out', str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'})
    robot = Robot(make_graph(scenario='reacher'))
    end = time.monotonic() + 90
    begun = None
    while run.poll() is None and time.monotonic() < end:
        if begun is None and robot.commands:
            begun = time.monotonic()
        since = 0.0 if begun is None else time.monotonic() - begun
        if not 3.0 < since < 3.5:                       # silent in the second episode
            robot.tell(math.nan if 0.5 < since < 1.0 else 0.1)
        robot.graph.executor.spin_once(timeout_sec=0.02)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 0, said
    with open_bag(out / 'bag') as bag:
        found = list(bag.records())
    cycles = [r for r in found if isinstance(r, CycleRecord) and r.status != CycleStatus.WARMUP]
    statuses = {c.status for c in cycles}
    assert statuses >= {CycleStatus.OK, CycleStatus.NO_INPUT, CycleStatus.STALE_INPUT}
    assert any('not finite' in c.reason for c in cycles)
    kinds = [r.kind for r in found if isinstance(r, EpisodeEvent)]
    assert kinds.count(EventKind.TIMEOUT) == 3
    assert EventKind.FALLBACK_ON in kinds, 'the gate took over while nothing came'
    assert all(math.isfinite(e) for m in robot.commands for e in m.effort)
    card = json.loads((out / 'score' / 'scorecard.json').read_text())
    live = json.loads((out / 'live.json').read_text())
    assert card['values'] == live['values']
    success = next(v for v in card['values'] if v['name'] == 'success_rate')
    assert success['value'] is None
    assert 'robot' in success['why']


@pytest.mark.slow
def test_the_reset_service_aborts_the_episode_and_starts_with_the_seed(
    make_graph: Any, tmp_path: Path,
) -> None:
    graph = make_graph()
    told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
    plant = NodeProcess('plant', {'scenario': 'reacher', 'nodes': ['plant'], 'episodes': 2},
                        tmp_path / 'log', os.environ)
    try:
        graph.until(lambda: told, timeout_s=40.0)
        kind = message_type('wm_eval_ros/srv/ResetEpisode')
        client = graph.node.create_client(kind, topics.RESET_EPISODE)
        assert client.wait_for_service(timeout_sec=10.0)
        answer = client.call_async(kind.Request(seed=4711))
        graph.until(answer.done)
        assert answer.result().success
        graph.until(lambda: len(told) >= 3)
        events = [codec.event_from_msg(m) for m in told[:3]]
        assert [e.kind for e in events] == [EventKind.START, EventKind.ABORT, EventKind.START]
        assert events[2].value == 4711.0
        refused = client.call_async(kind.Request(seed=1, options='{"x": 1}'))
        graph.until(refused.done)
        assert not refused.result().success
        assert 'options' in refused.result().message
    finally:
        plant.interrupt()
        assert plant.wait() == 0
