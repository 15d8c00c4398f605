"""`wm-eval score --history`: figures that take several runs of one robot over time."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.main import main

HOUR_MS = 3600e3


def episodes(scenes: ModuleType, folder: Path, outcomes: str, at_h: float, model: dict[str, Any],
             *, shift: bool = False, **manifest: Any) -> Path:
    """Write a run of ten slots an episode; under the shift the detector raises an alarm."""
    records: list[Any] = [scenes.info(episodes=len(outcomes), model=model, **manifest)]
    for e, letter in enumerate(outcomes):
        begin = at_h * HOUR_MS + 500.0 * e
        kind = 'SUCCESS' if letter == 's' else 'TIMEOUT'
        records += [scenes.event('START', e, begin, '', 100 + e),
                    scenes.event(kind, e, begin + 475, '', 0.475)]
        records += [scenes.cycle(10 * e + k, episode=e, stamp_ms=begin + 50 * k,
                                 surprise=9.0 if shift and k >= 4 else 0.5,
                                 surprise_threshold=4.0) for k in range(10)]
        if shift:
            records.append(scenes.event('PERTURB_ON', e, begin + 100, 'physical.mass', 0.5))
    made: Path = scenes.write_bag(folder, records)
    return made


@pytest.fixture
def bags(scenes: ModuleType, tmp_path: Path) -> dict[str, Path]:
    """Return a run before a shift, one under it, and one of a model trained an hour later."""
    alarm_ns = scenes.ROS + round((HOUR_MS + 200) * 1e6)
    new = {'sha256': 'new', 'trained_at_ns': alarm_ns + 3600 * 10**9, 'train_cpu_s': 1800.0}
    # all of 20 before and after: the lower limit of the difference is -0.123
    return {
        'before': episodes(scenes, tmp_path / 'before', 's' * 20, 0, {'sha256': 'old'}),
        'shift': episodes(scenes, tmp_path / 'shift', 'ttt', 1, {'sha256': 'old'}, shift=True),
        'after': episodes(scenes, tmp_path / 'after', 's' * 20, 3, new, shift=True)}


def board(folder: Path) -> dict[str, Any]:
    card = json.loads((folder / 'scorecard.json').read_text(encoding='utf-8'))
    return {v['name']: v for v in (*card['values'], *card['host'])}


def test_the_history_gives_the_time_to_retrain(bags: dict[str, Path], tmp_path: Path) -> None:
    history = ['--history', str(bags['before']), str(bags['shift'])]
    assert main(['score', str(bags['after']), '--out', str(tmp_path / 'out'), *history]) == 0
    found = board(tmp_path / 'out')
    # the alarm is raised in slot 4, 200 ms into the first shifted episode
    assert found['time_to_retrain']['value'] == 1.0
    assert found['retrain_cpu_time']['value'] == 0.5


def test_a_retrained_model_that_never_met_the_shift_shows_nothing(
        bags: dict[str, Path], scenes: ModuleType, tmp_path: Path) -> None:
    new = {'sha256': 'new', 'trained_at_ns': scenes.ROS + round(2 * HOUR_MS * 1e6)}
    calm = episodes(scenes, tmp_path / 'calm', 'ssssssssss', 3, new)
    history = ['--history', str(bags['before']), str(bags['shift'])]
    assert main(['score', str(calm), '--out', str(tmp_path / 'out'), *history]) == 0
    found = board(tmp_path / 'out')['time_to_retrain']
    assert found['value'] is None
    assert found['why'] == ('no model trained after the alarm has 10 decided episodes under '
                            'physical.mass')


def test_alone_the_run_says_what_it_takes(bags: dict[str, Path], tmp_path: Path) -> None:
    assert main(['score', str(bags['after']), '--out', str(tmp_path / 'out')]) == 0
    found = board(tmp_path / 'out')['time_to_retrain']
    assert found['value'] is None
    assert found['why'].startswith('takes several runs')


def test_a_run_in_simulated_time_is_refused(
    bags: dict[str, Path], scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    lockstep = episodes(scenes, tmp_path / 'lockstep', 's', 0, {'sha256': 'old'},
                        clock=scenes.ClockMode.LOCKSTEP)
    words = ['score', str(bags['after']), '--out', str(tmp_path / 'out'), '--history']
    assert main([*words, str(lockstep)]) == 2
    line = capsys.readouterr().err.strip()
    assert line.count('\n') == 0
    assert 'its time is simulated (lockstep)' in line
    assert 'leave it out of --history' in line
