"""`wm-eval export-model` on a real run; what it writes plans, and plans the same again."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

import pytest

from wm_eval_ros.cli.main import main

RUN = ['--set', 'clock=lockstep', '--set', 'episodes=1', '--set', 'planner.latency_ms=20']


def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                          capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--states', '1'], '--states', id='states'),
    pytest.param(['--seed', '-1'], '--seed', id='seed'),
    pytest.param([], 'no such file', id='no-bag'),
])
def test_wrong_options_get_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str,
) -> None:
    pytest.importorskip('torch')
    out = str(tmp_path / 'out')
    assert main(['export-model', str(tmp_path / 'bag'), '--out', out, *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert says in said[0]


def test_a_folder_that_is_there_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['export-model', 'bag', '--out', str(tmp_path)]) == 2
    assert 'exists already' in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused_before_the_bag_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['export-model', 'bag', '--out', str(tmp_path / 'file' / 'x')]) == 2
    error = capsys.readouterr().err
    assert 'file/x: cannot be written' in error
    assert error.count('\n') == 1


@pytest.mark.slow
def test_an_exported_model_drives_in_int8_and_its_decisions_are_planned_again(
    tmp_path: Path
) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    pytest.importorskip('openvino', reason='the extra `fast` is not installed')
    first, second, made = tmp_path / 'fp32', tmp_path / 'int8', tmp_path / 'model'
    done = wm_eval('run', 'reacher', '--out', str(first), *RUN)
    assert done.returncode in (0, 1), done.stderr
    done = wm_eval('export-model', str(first / 'bag'), '--out', str(made), '--json')
    assert done.returncode == 0, done.stderr
    trials = {(t['engine'], t['precision']): t for t in json.loads(done.stdout)['trials']}
    assert trials['openvino', 'fp32']['rank'] > 0.9999
    assert trials['openvino', 'int8']['rank'] >= 0.985
    done = wm_eval('run', 'reacher', '--out', str(second), *RUN,
                   '--set', f'planner.model={made}', '--set', 'planner.engine=openvino',
                   '--set', 'planner.precision=int8')
    assert done.returncode in (0, 1), done.stderr
    done = wm_eval('replay-decision', str(second / 'bag'), '--all', '--json')
    assert done.returncode == 0, done.stdout
    counts = json.loads(done.stdout)['counts']
    assert set(counts) == {'identical'}
    assert counts['identical'] > 5
