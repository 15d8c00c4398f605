"""Runs whose planner and supervisor are one process: what is refused, and that they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.cli.graph import processes
from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.run import check_names
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.perturber import Perturber
from wm_eval_ros.perturb.injector import Change, Outcome
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.scoring.evidence import differences

FAULTS = ('timing.planner_kill', 'timing.planner_stop', 'timing.recorder_kill',
          'command.second_publisher')


def perturbed(name: str, composed: bool = True) -> Any:
    return load_scenario(find_scenario('reacher'), {
        'composed': composed, 'clock': 'realtime',
        'perturbations': [{'name': name, 'severity': 0.5}]})


@pytest.mark.parametrize('name', FAULTS)
def test_faults_of_processes_are_refused_in_one_line(name: str) -> None:
    check_names(perturbed(name, composed=False))
    with pytest.raises(ConfigError, match=f'{name} is done to a process, and with composed: true'):
        check_names(perturbed(name))


def test_every_other_fault_is_let_through() -> None:
    check_names(perturbed('timing.planner_exception'))
    check_names(perturbed('sensor.bias'))


@pytest.mark.parametrize('composed', [False, True])
def test_the_plant_does_not_tell_of_a_fault_that_nobody_carries_out(composed: bool) -> None:
    scenario = perturbed('timing.planner_kill', composed)
    told: list[Change] = []
    perturber = Perturber(scenario, make_plant(scenario), told.append, lambda apart: None,
                          process_faults=True)
    perturber.begin(0)
    perturber.step()
    assert [(c.outcome, c.why) for c in told] == [
        (Outcome.UNSUPPORTED, 'planner and supervisor are one process (composed)') if composed
        else (Outcome.APPLIED, '')]


def test_a_comparison_shows_how_either_side_ran() -> None:
    manifests = [{'settings': to_plain(perturbed('sensor.bias', composed))}
                 for composed in (False, True)]
    assert list(differences(*manifests)) == ['settings.composed']


def test_one_process_takes_the_place_of_two() -> None:
    apart = load_scenario(find_scenario('reacher'))
    assert processes(apart) == ('supervisor', 'planner', 'monitor', 'recorder')
    assert processes(perturbed('sensor.bias')) == ('device', 'monitor', 'recorder')


@pytest.mark.slow
def test_a_composed_device_is_timed_and_scored_as_one_that_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main(['hil', 'hil', '--set', 'composed=true', '--seconds', '5', '--out', str(out),
                 '--json']) == 0
    points = json.loads(capsys.readouterr().out)['points']
    assert [p['device'] for p in points] == ['echo', 'planner']
    for point in points:
        folder = out / point['folder']
        assert {p.stem for p in (folder / 'log').glob('*.log')} == {
            'device', 'monitor', 'recorder', 'plant'}
        assert point['figures']['p50']['n'] > 50
        card = json.loads((folder / 'score' / 'scorecard.json').read_text())
        assert card['manifest']['settings']['composed'] is True
        assert json.loads((folder / 'live.json').read_text())['values'] == card['values']


@pytest.mark.slow
def test_in_lockstep_one_process_decides_as_two_do(tmp_path: Path) -> None:
    cards = []
    for composed in ('false', 'true'):
        out = tmp_path / composed
        assert main(['run', 'reacher', '--clock', 'lockstep', '--episodes', '2', '--set',
                     f'composed={composed}', '--out', str(out), '--json']) == 0
        cards.append(json.loads((out / 'score' / 'scorecard.json').read_text()))
    apart, together = cards
    assert together['values'] == apart['values']
    assert together['episodes'] == apart['episodes']
