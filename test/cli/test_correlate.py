"""`wm-eval correlate` from the outside: exit codes, files, what is refused."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from wm_eval_ros.cli.main import main

SHA = 'a' * 64
#: how ten episodes of each policy end in the world and in the dream
WORLD = {4: 'T' * 10, 8: 'SS' + 'T' * 8, 16: 'S' * 5 + 'T' * 5, 32: 'S' * 8 + 'TT', 64: 'S' * 10}
DREAM = {**WORLD, 8: 'SSS' + 'T' * 7, 32: 'S' * 7 + 'T' * 3}
BLOCKED = """
import sys
for name in ('torch', 'mujoco', 'rclpy', 'gymnasium', 'cv2'):
    sys.modules[name] = None
from wm_eval_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory, outcome_bag: Callable[..., Path]) -> Path:
    """Folders `world`, `dream` and `reversed`, one run for each policy in each."""
    folder = tmp_path_factory.mktemp('runs')
    mirrored = dict(zip(WORLD, reversed(WORLD.values()), strict=True))
    for where, ends, plant in (
            ('world', WORLD, {'kind': 'mujoco'}),
            ('dream', DREAM, {'kind': 'dream', 'model_sha256': SHA, 'model': 'other'}),
            ('reversed', mirrored, {'kind': 'dream', 'model_sha256': SHA, 'model': 'other'})):
        for samples, outcomes in ends.items():
            settings: dict[str, Any] = {'planner': {'samples': samples}, 'plant': plant}
            outcome_bag(folder / where / str(samples) / 'bag', outcomes, settings=settings,
                        run_id=f'{where}-{samples}', clock='lockstep')
    return folder


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(['correlate', *map(str, words)])
    return code, capsys.readouterr().out


def test_the_exit_code_says_what_is_shown(
        runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = ask(capsys, runs / 'world', runs / 'dream', '--at-least', 0.8)
    assert code == 0, text
    assert 'shown to be at least 0.8' in text
    code, text = ask(capsys, runs / 'world', '--dream', runs / 'reversed', '--at-least', 0.5)
    assert code == 1, text
    assert 'shown to be below 0.5' in text
    code, text = ask(capsys, runs / 'world' / '4', runs / 'world' / '64', runs / 'dream')
    assert code == 3
    assert 'fewer than 5 policies' in text


def test_json_is_the_file_and_the_same_whatever_the_order(
        runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = ask(capsys, runs / 'world', runs / 'dream', '--json', '--out', tmp_path)
    assert code == 0
    assert text == (tmp_path / 'correlate.json').read_text()
    assert (tmp_path / 'summary.md').read_text().startswith('### ')
    assert ask(capsys, runs / 'dream', runs / 'world', '--json')[1] == text
    found = json.loads(text)
    assert found['dream'] == {'model': 'other', 'model_sha256': SHA, 'keyframe_steps': None}
    assert [p['real']['value'] for p in found['policies']] == [1.0, 0.8, 0.5, 0.2, 0.0]
    assert [round(p['optimism']['value'], 9) for p in found['policies']] == [0, -0.1, 0, 0.1, 0]


def test_it_needs_no_torch_and_says_what_is_missing_then(runs: Path) -> None:
    for words in ([], ['--no-depth']):
        done = subprocess.run(
            [sys.executable, '-c', BLOCKED, 'correlate', str(runs / 'world'), str(runs / 'dream'),
             '--json', *words], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        [first, _] = json.loads(done.stdout)['depth']
        assert first['value'] is None
        assert ('--no-depth' if words else 'not installed') in first['why']


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['world', '--at-least', '2'], 'a correlation is -1 to 1', id='at-least'),
    pytest.param(['world', '--across', 'colour'], 'no condition colour', id='across'),
    pytest.param(['world'], 'no dreamed run', id='no-dream'),
    pytest.param(['dream', '--dream', 'dream'], 'given as real', id='mixed-up'),
    pytest.param(['nowhere', '--dream', 'dream'], 'not there', id='not-there'),
])
def test_what_cannot_be_asked_is_refused_in_one_line(
    runs: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(runs / w) if w in ('world', 'dream', 'nowhere') else w for w in words]
    assert main(['correlate', *given]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert len(told.splitlines()) == 1
