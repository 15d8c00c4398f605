"""Whole runs whose recorder dies or whose disk is full: told, ended, and read again."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.records import EpisodeEvent, EventKind

PATIENCE_S = 120


def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                          capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'said'), [
    ('timing.recorder_kill', 'recorder node was killed by timing.recorder_kill, as scheduled'),
    ('timing.disk_full', 'File too large'),
])
def test_the_run_ends_with_74_and_what_was_written_is_readable_onset_included(
    tmp_path: Path, name: str, said: str,
) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', 'reacher', '--set', 'planner.planner=hold', '--set', "planner.model=''",
                   '--clock', 'realtime', '--episodes', '20', '--perturb', f'{name}:1:0.3',
                   '--out', str(out))
    assert done.returncode == 74, done.stderr
    assert said in done.stderr
    assert 'Traceback' not in done.stderr
    whole = tmp_path / 'whole'
    recovered = wm_eval('recover', str(out / 'bag'), '--out', str(whole))
    assert recovered.returncode in (0, 3), recovered.stderr
    with open_bag(whole) as bag:
        events = [r for r in bag.records() if isinstance(r, EpisodeEvent)]
    assert name in [e.label for e in events if e.kind is EventKind.PERTURB_ON]
