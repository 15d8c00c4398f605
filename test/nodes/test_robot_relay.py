"""A run with a robot behind the relay: what was true and what the planner saw are both told."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.ros import message_type  # noqa: E402
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

IMAGE = 'sensor_msgs/msg/Image'


def robot_scenario(folder: Path) -> Path:
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['plant'] |= {'kind': 'hardware', 'task': 'desk', 'time_limit_s': 2.5}
    raw['planner'] |= {'planner': 'random', 'model': '', 'model_sha256': ''}
    raw['interface']['images'] = [{'topic': 'front/image_raw', 'width': 4, 'height': 4}]
    raw['episodes'] = 2
    raw['perturbations'] = [
        {'name': 'sensor.bias', 'start_s': 0.5, 'duration_s': 0.5, 'topics': ['joint_states']},
        {'name': 'timing.drop', 'start_s': 1.5, 'duration_s': 0.5, 'topics': ['tip_pose']},
        {'name': 'visual.occlusion', 'topics': ['front/image_raw']},
        {'name': 'physical.payload'}]
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(raw))
    return path


class Robot:
    """Publishes a two-link arm that stands still, and what its camera sees."""

    def __init__(self, graph: Any) -> None:
        kinds = {'joint_states': 'sensor_msgs/msg/JointState',
                 'tip_pose': 'geometry_msgs/msg/PoseStamped', 'front/image_raw': IMAGE}
        self.graph = graph
        self.publishers = {topic: (kind, graph.publisher(kind, topic, topics.SENSOR))
                           for topic, kind in kinds.items()}
        goal = graph.publisher('geometry_msgs/msg/PoseStamped', 'goal', topics.LATCHED)
        goal.publish(message_type('geometry_msgs/msg/PoseStamped')())

    def tell(self) -> None:
        for kind, publisher in self.publishers.values():
            message = message_type(kind)()
            codec.set_stamp(message.header.stamp, time.time_ns())
            if hasattr(message, 'velocity'):
                message.name = ['joint0', 'joint1']
                message.position, message.velocity = [0.1, 0.2], [0.0, 0.0]
            elif kind == IMAGE:
                message.height, message.width, message.step = 4, 4, 12
                message.encoding, message.data = 'rgb8', bytes([200] * 48)
            publisher.publish(message)


@pytest.mark.slow
def test_a_robot_behind_the_relay_is_recorded_as_it_is_and_as_it_was_told(
    make_graph: Any, domain_id: int, tmp_path: Path,
) -> None:
    out = tmp_path / 'run'
    run = subprocess.Popen(
        [sys.executable, '-m', 'wm_eval_ros.cli.main', 'run', str(robot_scenario(tmp_path)),
         '--out', str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'})
    robot = Robot(make_graph(scenario='reacher'))
    end = time.monotonic() + 90
    while run.poll() is None and time.monotonic() < end:
        robot.tell()
        robot.graph.executor.spin_once(timeout_sec=0.02)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 0, said
    with open_bag(out / 'bag') as bag:
        found = list(bag.records())
        seen = {topic: [(codec.stamp_ns(m.header.stamp), m) for _, m in bag.decoded([topic])]
                for topic in ('/joint_states', '/perturbed/joint_states', '/tip_pose',
                              '/perturbed/tip_pose', '/perturbed/front/image_raw')}
    cycles = [r for r in found if isinstance(r, CycleRecord) and r.status is CycleStatus.OK]
    assert {ref.topic for c in cycles for ref in c.inputs} >= {
        '/perturbed/joint_states', '/perturbed/tip_pose', '/perturbed/front/image_raw'}
    # every sample that was used is in the bag, under the stamp that it was used by
    stamps = {stamp for stamp, _ in seen['/perturbed/joint_states']}
    used = [ref.stamp_ns for c in cycles for ref in c.inputs if 'joint' in ref.topic]
    assert set(used) <= stamps
    events = [r for r in found if isinstance(r, EpisodeEvent) and r.source == 'perturb_relay']
    for episode in (0, 1):
        own = {(e.kind, e.label.partition(':')[0]): e for e in events if e.episode == episode}
        assert (EventKind.PERTURB_SKIPPED, 'physical.payload') in own
        on, off = (own[kind, 'sensor.bias'].stamp_ns for kind in (
            EventKind.PERTURB_ON, EventKind.PERTURB_OFF))
        assert 0.4e9 < off - on < 0.7e9
        # 20 ms of grace: an event is stamped just after what it tells of
        within = [m for t, m in seen['/perturbed/joint_states'] if on + 2e7 < t < off - 2e7]
        assert within
        assert all(abs(m.velocity[0]) == pytest.approx(2.0) for m in within)
        true = [m for t, m in seen['/joint_states'] if on < t < off]
        assert all(m.velocity[0] == 0.0 for m in true)
        on, off = (own[kind, 'timing.drop'].stamp_ns for kind in (
            EventKind.PERTURB_ON, EventKind.PERTURB_OFF))
        assert [t for t, _ in seen['/tip_pose'] if on + 2e7 < t < off - 2e7]
        assert not [t for t, _ in seen['/perturbed/tip_pose'] if on + 2e7 < t < off - 2e7]
    # every picture that was used is there, hidden but for those before the onset
    pictures = {t: np.asarray(m.data) for t, m in seen['/perturbed/front/image_raw']}
    hidden = [bool((pictures[ref.stamp_ns] == 127).all()) for c in cycles for ref in c.inputs
              if 'front' in ref.topic]
    assert sum(hidden) > 0.9 * len(cycles)
    card = json.loads((out / 'score' / 'scorecard.json').read_text())
    live = json.loads((out / 'live.json').read_text())
    assert card['values'] == live['values']
    assert any(v['name'] == 'staleness[/perturbed/joint_states].p50' for v in card['values']), [
        v['name'] for v in card['values'] if 'staleness' in v['name']]
