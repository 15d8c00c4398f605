"""`wm-eval correlate` from the outside: exit codes, files, what is refused."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.errors import BagError

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


def of_one_feature(steps: int = 3, features: int = 1) -> Any:
    """Return an episode beside the simulator's: feature 0 goes 1, 2, ... and is imagined so."""
    imagined = pytest.importorskip('wm_eval_ros.training.imagined')
    real = np.tile(np.arange(1.0, steps + 1)[:, None], (1, features))
    return imagined.Dreamed(np.arange(1, steps + 1), 1.1 * real, real, np.zeros_like(real))


def test_a_dream_that_cannot_be_followed_is_named_and_the_others_are_used(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = [of_one_feature()] * 2

    def read(bag: Path) -> list[Any]:
        if bag.parent.name in ('8', '16'):
            raise BagError(f'{bag}: clock realtime')
        return good

    monkeypatch.setattr('wm_eval_ros.training.imagined.dreamed_episodes', read)
    code, text = ask(capsys, runs / 'world', runs / 'dream', '--json')
    assert code == 0
    found = json.loads(text)
    assert found['depth'][0]['n'] == 6
    [note] = [n for n in found['notes'] if 'by depth' in n]
    assert note.startswith('2 of 5 dreams are not in the error by depth: ')
    assert note.index('16/bag: clock realtime') < note.index('8/bag: clock realtime')


def test_where_no_dream_can_be_followed_the_reasons_stand_in_place_of_the_figure(
    runs: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    of_one_feature()
    code, text = ask(capsys, runs / 'world', runs / 'dream', '--json')
    assert code == 0
    [first, _] = json.loads(text)['depth']
    assert first['value'] is None
    assert f'{runs}/dream/16/bag: ' in first['why']
    assert first['why'].endswith('; 2 more')


def test_dreams_of_different_tasks_are_refused_before_anything_of_them_is_put_together(
    runs: Path, tmp_path: Path, outcome_bag: Callable[..., Path],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {'planner': {'samples': 128},
                'plant': {'kind': 'dream', 'model_sha256': SHA, 'model': 'other'}}
    outcome_bag(tmp_path / 'odd' / 'bag', 'S' * 10, settings=settings, run_id='odd',
                clock='lockstep', task='pusher')
    monkeypatch.setattr(
        'wm_eval_ros.training.imagined.dreamed_episodes',
        lambda bag: [of_one_feature(features=2 if bag.parent.name == 'odd' else 1)] * 2)
    assert main(['correlate', str(runs / 'world'), '--dream', str(runs / 'dream'),
                 str(tmp_path / 'odd')]) == 2
    told = capsys.readouterr().err
    assert 'of task pusher: nothing of theirs is comparable' in told
    assert len(told.splitlines()) == 1


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
