"""`wm-eval fidelity` on real runs, the oracle's among them, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType

import pytest

from wm_eval_ros.cli.main import main

REACHER = ['reacher', '--clock', 'lockstep', '--set', 'planner.samples=16']


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--samples', '3'], 'an even number', id='odd'),
    pytest.param(['--samples', '0'], '--samples', id='no-candidates'),
    pytest.param(['--states', '0'], '--states', id='no-states'),
    pytest.param(['--horizon', '-1'], '--horizon', id='horizon'),
    pytest.param(['--threads', '0'], '--threads', id='threads'),
    pytest.param([], 'no such file', id='no-bag'),
])
def test_wrong_options_get_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str,
) -> None:
    pytest.importorskip('torch')
    assert main(['fidelity', str(tmp_path / 'bag'), *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith('wm-eval fidelity:')
    assert says in said[0]


def test_a_bag_without_states_is_refused_with_what_it_lacks(
    scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch')
    bag = scenes.write_bag(tmp_path / 'bag', [scenes.info(), scenes.cycle(0)])
    assert main(['fidelity', str(bag)]) == 2
    assert 'interface' in capsys.readouterr().err
    bag = scenes.write_bag(tmp_path / 'other', [scenes.cycle(0)])
    assert main(['fidelity', str(bag)]) == 2
    assert 'not the bag of a run' in capsys.readouterr().err


def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                          capture_output=True, text=True, timeout=300, check=False)


def figures(path: Path) -> dict[str, float | None]:
    return {v['name']: v['value'] for v in json.loads(path.read_text())['values']}


@pytest.mark.slow
def test_the_model_of_a_run_is_found_and_asked(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    run = wm_eval('run', *REACHER, '--episodes', '5', '--out', str(tmp_path / 'run'))
    assert run.returncode == 0, run.stderr
    bag = str(tmp_path / 'run' / 'bag')
    done = wm_eval('fidelity', bag, '--states', '20', '--samples', '8')
    assert done.returncode == 0, done.stderr
    assert 'the model of the run' in done.stdout.splitlines()[0]
    kept = tmp_path / 'run' / 'score' / 'fidelity.json'
    found = figures(kept)
    # the world of a lockstep run is foreseen to the rounding of its record
    for name, most in (('oracle_ratio[h=1]', 1e-10), ('probe_ratio[h=5]', 0.2),
                       ('top1_regret_share', 0.5)):
        value = found[name]
        assert value is not None
        assert value < most
    again = wm_eval('fidelity', bag, '--states', '20', '--samples', '8', '--json',
                    '--model', 'reacher', '--out', str(tmp_path / 'again'))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(kept.read_text())
    other = wm_eval('fidelity', bag, '--model', 'cartpole')
    assert other.returncode == 2
    assert 'trained' in other.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_run_of_the_oracle_foresees_everything_and_gives_the_planning_gap(
    tmp_path: Path,
) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    for model in ('oracle', 'reacher'):
        run = wm_eval('run', *REACHER, '--episodes', '2', '--set', f'planner.model={model}',
                      '--out', str(tmp_path / model))
        assert run.returncode == 0, run.stderr
    card = json.loads((tmp_path / 'oracle' / 'score' / 'scorecard.json').read_text())
    assert card['manifest']['model']['family'] == 'oracle'
    found = {v['name']: v['value'] for v in card['values']}
    assert found['success_rate'] == 1.0
    assert found['prediction_ratio[h=1]'] < 1e-9
    gap = wm_eval('compare', str(tmp_path / 'oracle' / 'bag'), str(tmp_path / 'reacher' / 'bag'),
                  '--out', str(tmp_path / 'gap'))
    assert 'counterfactual_planning_gap = 0' in gap.stdout


@pytest.mark.slow
def test_the_oracle_in_realtime_is_refused_before_the_world_moves(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    run = wm_eval('run', 'reacher', '--episodes', '1', '--set', 'planner.model=oracle',
                  '--out', str(tmp_path / 'run'))
    assert run.returncode == 2
    assert 'clock lockstep' in run.stderr.strip().splitlines()[-1]
