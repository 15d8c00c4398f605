"""Rehearsals on recordings of real robots: what their sensors said, at the time they said it."""

from __future__ import annotations

from itertools import pairwise
import json
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import yaml

pytest.importorskip('rclpy')

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.robot_map import load_map
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.records import (
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Mode,
    RunInfo,
)
from wm_eval_ros.wire import topics

pytestmark = pytest.mark.slow

MS = 1_000_000
Times = NDArray[np.int64]


def scenario(folder: Path, robot: str, planned: str, **changes: Any) -> str:
    """Write a scenario of the topics of a shipped map; each key lays over a section."""
    raw: dict[str, Any] = {
        'name': robot, 'episodes': 3, 'interface': to_plain(load_map(robot).interface),
        'plant': {'kind': 'hardware', 'task': 'drive', 'time_limit_s': 5.0},
        'planner': {'planner': planned, 'period_ms': 100.0, 'deadline_ms': 100.0,
                    'budget_ms': 60.0, 'stale_ms': 400.0},
        'supervisor': {'stale_periods': 5.0, 'stop_ms': 2000.0}}
    for section, values in changes.items():
        raw[section] = {**raw.get(section, {}), **values}
    path = folder / f'{robot}_{planned}.yaml'
    path.write_text(yaml.safe_dump(raw), encoding='utf-8')
    return str(path)


def times(bag: Path, topic: str) -> tuple[Times, Times]:
    """Return log times and header stamps of a topic [ns]."""
    with open_bag(bag) as opened:
        found = [(c.log_ns, c.stamps(topic)) for c in opened.columns([topic])]
    log_ns, stamps_ns = (np.concatenate(part) for part in zip(*found, strict=True))
    return log_ns, stamps_ns


def player_said(run: Path) -> str:
    return (run / 'log' / 'bag_player.log').read_text(encoding='utf-8')


def test_a_model_of_the_first_part_of_a_drive_is_rehearsed_in_shadow_on_the_rest(
    make_graph: Any, shared_data: Path, tmp_path: Path,
) -> None:
    drive = shared_data / 'dev_tb3_rasl'
    first, rest, model = (tmp_path / name for name in ('first', 'rest', 'model'))
    words = ['run', scenario(tmp_path, 'turtlebot3', 'explore'), '--replay', str(drive)]
    assert main([*words, '--out', str(first)]) == 0
    assert main(['train', str(first / 'bag'), '--out', str(model), '--steps', '50',
                 '--hidden', '16', '--members', '2']) == 0
    robot = make_graph(scenario='reacher')         # the domain that a robot would be in
    heard = [robot.listen('nav_msgs/msg/Odometry', 'odom', topics.SENSOR),
             robot.listen('geometry_msgs/msg/TwistStamped', 'cmd_vel', topics.COMMAND)]
    before_ns = time.time_ns()
    path = scenario(
        tmp_path, 'turtlebot3', 'cem', supervisor={'shadow': True}, plant={'time_limit_s': 10.0},
        replay={'bag': str(drive), 'start_s': 40.0},
        planner={'model': str(model), 'objective': [
            {'features': ['odom.twist.twist.linear.x'], 'target': ['0.1']}]})
    assert main(['run', path, '--out', str(rest)]) == 0
    robot.until(lambda: True)
    assert heard == [[], []], 'a replay is in a domain of its own'

    bag = rest / 'bag'
    with open_bag(bag) as opened:
        records = list(opened.records())
        assert '/cmd_vel' not in opened.topics
    cycles = [r for r in records if isinstance(r, CycleRecord)
              and r.status is not CycleStatus.WARMUP]
    ends = [r.label for r in records if isinstance(r, EpisodeEvent) and r.kind is EventKind.ABORT]
    assert ends == ['the bag has ended']
    assert {c.mode for c in cycles} == {Mode.SHADOW}
    # on a busy host a slot may be skipped: then nothing was looked at
    planned = [c for c in cycles if c.status is not CycleStatus.SKIPPED]
    assert len(planned) > 150 and all(c.inputs for c in planned)
    assert {c.status for c in planned} <= {CycleStatus.OK, CycleStatus.LATE}

    _same_sensor(drive, bag, '/odom', before_ns, start_s=40.0, ahead_ms=778.3)
    assert "/odom: header stamps are 778 ms ahead of the recorder's clock: taken off" in (
        player_said(rest))
    card = json.loads((rest / 'score' / 'scorecard.json').read_text())
    assert card['values'] == json.loads((rest / 'live.json').read_text())['values']
    info = next(r for r in records if isinstance(r, RunInfo))
    assert info.settings['replay']['bag'] == str(drive)
    assert 'in a replay of' in (rest / 'score' / 'summary.md').read_text()


def _same_sensor(original: Path, bag: Path, topic: str, before_ns: int, start_s: float,
                 ahead_ms: float) -> None:
    """Hold a replayed topic against its original: count, order, stamps, ages, rate, now."""
    log_ns, stamps_ns = times(original, topic)
    played = log_ns - log_ns[0] >= round(start_s * 1e9)
    log_ns, stamps_ns = log_ns[played], stamps_ns[played]
    log_now_ns, stamps_now_ns = times(bag, topic)
    assert len(log_now_ns) == len(log_ns), 'nothing is lost'
    moved = stamps_now_ns - stamps_ns
    assert set(moved) == {moved[0]}, 'all by the same'
    assert before_ns < stamps_now_ns[0] < stamps_now_ns[-1] < time.time_ns()
    age_ms = (log_ns - stamps_ns) / MS + ahead_ms
    age_now_ms = (log_now_ns - stamps_now_ns) / MS
    assert np.median(age_now_ms) == pytest.approx(np.median(age_ms), abs=5.0)
    assert np.mean(np.diff(log_now_ns)) == pytest.approx(np.mean(np.diff(log_ns)), rel=0.01)


def test_a_walking_robot_at_174_hz_is_played_whole_by_a_player_started_elsewhere(
    shared_data: Path, tmp_path: Path, domain_id: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    walk = shared_data / 'dev_go2_test4' / 'bag'
    path = scenario(tmp_path, 'unitree_go2', 'hold', plant={'time_limit_s': 30.0})
    out = tmp_path / 'walk'
    before_ns = time.time_ns()
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.bag_player', '--ros-args', '-p',
             f'scenario:={path}', '-p', f'bag:={walk}', '-p', 'start_s:=25.0']
    player = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert main(['run', path, '--domain', str(domain_id), '--out', str(out)]) == 0
    finally:
        player.send_signal(signal.SIGINT)
        _, said = player.communicate(timeout=30)
    _same_sensor(walk, out / 'bag', '/joint_states', before_ns, start_s=25.0, ahead_ms=0.0)
    sent = re.search(r'sent: /joint_states (\d+); more than 10 ms late: (\d+)', said)
    assert sent is not None
    log_ns, _ = times(walk, '/joint_states')
    count = int(np.count_nonzero(log_ns - log_ns[0] >= 25_000_000_000))
    assert count > 2000
    assert int(sent[1]) == count, 'the player drops nothing'
    assert int(sent[2]) < 0.2 * count, 'nor is it late, but where the host is busy'


def test_a_vehicle_with_a_clock_66_days_behind_and_one_without_stamps_is_now(
    make_graph: Any, shared_data: Path, tmp_path: Path,
) -> None:
    from wm_eval_ros.bag.playback import Playback
    from wm_eval_ros.config.replay import ReplaySettings
    with open_bag(shared_data / 'dev_gps_nav_1') as bag:
        playback = Playback(bag, ('/odometry', '/vehicle_pose', '/gps'), ReplaySettings())
        found = list(playback.messages())
    assert len(found) == len(playback) == 2143 + 2034 + 107
    assert all(a.due_ns <= b.due_ns for a, b in pairwise(found))
    age_ms = {topic: np.array([(t.due_ns - (t.stamp_ns or 0)) / MS for t in found
                               if t.topic == topic])
              for topic in ('/odometry', '/vehicle_pose', '/gps')}
    assert set(age_ms['/vehicle_pose']) == {0.0}
    for topic in ('/odometry', '/gps'):
        assert -5.0 < np.quantile(age_ms[topic], 0.02) < np.median(age_ms[topic]) < 50.0
    notes = ' '.join(playback.notes)
    assert '66' in notes and '2034 of 2034 header stamps are zero' in notes
