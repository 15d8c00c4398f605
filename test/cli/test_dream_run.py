"""Whole runs in a dream: of the simulator itself, and of a learned model."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='no ROS 2 here')
pytest.importorskip('mujoco')

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.models.checkpoint import find_checkpoint, load_spec
from wm_eval_ros.records import RunInfo

PATIENCE_S = 240
EPISODES = 6


def run(out: Path, *settings: str, clock: str = 'lockstep', episodes: int = EPISODES) -> Path:
    words = [word for each in settings for word in ('--set', each)]
    done = subprocess.run(
        [sys.executable, '-m', 'wm_eval_ros.cli.main', 'run', 'reacher', '--clock', clock,
         '--episodes', str(episodes), '--out', str(out), *words],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return out


def outcomes(out: Path) -> dict[int, str]:
    card = json.loads((out / 'score' / 'scorecard.json').read_text())
    return {e['seed']: e['outcome'] for e in card['episodes']}


def correlated(*words: object) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, '-m', 'wm_eval_ros.cli.main', 'correlate', *map(str, words), '--json'],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_dream_of_the_simulator_is_the_world_and_its_bag_says_that_it_was_one(
    tmp_path: Path,
) -> None:
    real = run(tmp_path / 'real')
    dreamed = run(tmp_path / 'dream', 'plant.kind=dream', 'plant.model=oracle')
    assert outcomes(dreamed) == outcomes(real)
    code, found = correlated(real, '--dream', dreamed)
    assert code == 3, 'one policy decides nothing'
    [policy] = found['policies']
    assert policy['optimism']['value'] == 0.0
    depth = {v['name']: v['value'] for v in found['depth']}
    assert depth['imagination_error[h=5]'] < 1e-3 < depth['imagination_persistence[h=5]']


@pytest.mark.slow
def test_a_learned_dream_runs_twice_alike_and_publishes_at_the_period(tmp_path: Path) -> None:
    settings = ('plant.kind=dream', 'plant.model=reacher', 'plant.keyframe_steps=10')
    first, second = (run(tmp_path / name, *settings) for name in ('a', 'b'))
    assert outcomes(first) == outcomes(second)
    with open_bag(first / 'bag') as bag:
        [info] = [r for r in bag.records() if isinstance(r, RunInfo)]
        stamps = [m.header.stamp for _, m in bag.decoded(['/tip_pose'])]
    plant = info.settings['plant']
    assert (plant['kind'], plant['keyframe_steps']) == ('dream', 10)
    assert plant['model_sha256'] == load_spec(find_checkpoint('reacher')).sha256
    gaps = np.diff([s.sec * 10**9 + s.nanosec for s in stamps])
    # an episode ends within the last slot, and the next begins a step later
    assert (gaps[gaps != gaps.max()] >= 50_000_000).all()


@pytest.mark.slow
def test_in_realtime_the_dream_runs_too(tmp_path: Path) -> None:
    out = run(tmp_path / 'real', 'plant.kind=dream', 'plant.model=reacher', clock='realtime',
              episodes=2)
    assert set(outcomes(out).values()) <= {'success', 'timeout', 'failure'}
    with open_bag(out / 'bag') as bag:
        stamps = [m.header.stamp for _, m in bag.decoded(['/tip_pose'])]
    gaps = np.diff([s.sec * 10**9 + s.nanosec for s in stamps])
    # the state changes every 50 ms, whatever plant.observation_hz asks for
    assert np.median(gaps) > 40_000_000
