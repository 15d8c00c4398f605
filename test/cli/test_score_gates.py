"""Gates from the outside: exit codes, JUnit, results and table on real bags."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from wm_eval_ros.cli.gating import require_conditions
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.gate import load_gates
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError

SUCCESS = {'metric': 'success_rate', 'at_least': 0.8}


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, outcome_bag: Callable[..., Path]) -> Path:
    """20 of 20 episodes solved, in realtime, 200 slots met."""
    return outcome_bag(tmp_path_factory.mktemp('run') / 'bag', 'S' * 20)


def gates_file(folder: Path, *gates: dict[str, Any], **changes: Any) -> str:
    path = folder / 'mine.yaml'
    path.write_text(yaml.safe_dump({'name': 'mine', 'gates': list(gates), **changes}))
    return str(path)


@pytest.mark.parametrize(('gate', 'code', 'tag'), [
    pytest.param(SUCCESS, 0, 'system-out', id='pass'),
    pytest.param({'metric': 'success_rate', 'at_most': 0.8}, 1, 'failure', id='fail'),
    pytest.param({'metric': 'success_rate', 'at_least': 0.9}, 3, 'skipped', id='inconclusive')])
def test_the_verdict_is_exit_code_junit_results_table_and_file(
        bag: Path, tmp_path: Path, gate: dict[str, Any], code: int, tag: str,
        capsys: pytest.CaptureFixture[str]) -> None:
    word = {0: 'pass', 1: 'fail', 3: 'inconclusive'}[code]
    out = tmp_path / 'out'
    asked = gates_file(tmp_path, gate)
    assert main(['score', str(bag), '--gates', asked, '--out', str(out)]) == code
    printed = capsys.readouterr().out
    assert printed.endswith(f'gates mine: {word.upper()}\n')
    suite = ElementTree.parse(out / 'junit.xml').getroot()
    (case,) = [c for c in suite.iter('testcase') if c.get('classname') == 'wm_eval_ros.gate']
    assert case.get('name') == f'success_rate {"<=" if "at_most" in gate else ">="} ' \
        f'{gate.get("at_least", gate.get("at_most"))}'
    assert [child.tag for child in case] == [tag]
    assert [suite.get(k) for k in ('failures', 'errors')] == ['1' if code == 1 else '0', '0']
    summary = json.loads((out / 'results.jsonl').read_text().splitlines()[-1])
    assert summary['verdict'] == word
    assert list(summary['gates'].values()) == [word]
    assert json.loads((out / 'gates.json').read_text())['verdict'] == word


def test_json_on_stdout_is_the_scorecard_and_the_gates(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = gates_file(tmp_path, SUCCESS)
    assert main(['score', str(bag), '--gates', asked, '--json', '--out', str(tmp_path)]) == 0
    data = json.loads(capsys.readouterr().out)
    gates = data.pop('gates')
    assert data == json.loads((tmp_path / 'scorecard.json').read_text())
    assert gates == json.loads((tmp_path / 'gates.json').read_text())
    assert gates['results'][0]['figure']['value'] == 1.0


def test_a_run_of_another_clock_ends_with_2_and_an_error_in_junit(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = gates_file(tmp_path, SUCCESS, clock='lockstep')
    assert main(['score', str(bag), '--gates', asked, '--out', str(tmp_path)]) == 2
    assert capsys.readouterr().out.endswith('gates mine: ERROR\n')
    suite = ElementTree.parse(tmp_path / 'junit.xml').getroot()
    assert (suite.get('errors'), suite.get('failures')) == ('1', '0')


def test_a_dream_ends_with_2_unless_the_profile_takes_it_and_is_called_one_everywhere(
        outcome_bag: Callable[..., Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    dreamed = outcome_bag(tmp_path / 'run' / 'bag', 'S' * 20, settings={
        'plant': {'kind': 'dream', 'model': 'reacher'}})
    for plants, code in (({}, 2), ({'plants': ['mujoco', 'dream']}, 0)):
        asked = gates_file(tmp_path, SUCCESS, **plants)
        out = tmp_path / f'out{code}'
        assert main(['score', str(dreamed), '--gates', asked, '--out', str(out)]) == code
        printed = capsys.readouterr().out
        assert 'in the dream of reacher' in printed.splitlines()[0]
        for name in ('summary.md', 'junit.xml', 'gates.json', 'results.jsonl'):
            assert 'in the dream of reacher' in (out / name).read_text(), name


def test_a_run_in_a_dream_is_refused_before_it_is_spent() -> None:
    profile = load_gates('manipulation_20hz')
    require_conditions(profile, load_scenario(find_scenario('reacher')))
    dreamed = load_scenario(find_scenario('reacher'), {'plant.kind': 'dream',
                                                       'plant.model': 'reacher'})
    with pytest.raises(ConfigError, match='--gates manipulation_20hz: plant: dream'):
        require_conditions(profile, dreamed)


@pytest.mark.parametrize('salvage', [False, True])
def test_a_cut_bag_is_an_error_and_no_failure_salvaged_or_not(
        bag: Path, tmp_path: Path, salvage: bool, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / 'bag_0.mcap'
    whole = next(bag.glob('*.mcap')).read_bytes()
    cut.write_bytes(whole[:int(len(whole) * 0.9)])
    asked = gates_file(tmp_path, {'metric': 'success_rate', 'at_most': 0.1})
    words = ['score', str(cut), '--gates', asked, '--out', str(tmp_path / 'out')]
    assert main([*words, *(['--salvage'] if salvage else [])]) == 2
    suite = ElementTree.parse(tmp_path / 'out' / 'junit.xml').getroot()
    assert int(suite.get('errors', '0')) >= 1
    if not salvage:
        assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--gates', 'automotive'], 'automotive_50ms', id='unknown-profile'),
    pytest.param(['--gates', 'MINE'], "did you mean 'success_rate'", id='unknown-figure')])
def test_gates_that_cannot_be_held_are_one_line(
        bag: Path, tmp_path: Path, words: list[str], says: str) -> None:
    asked = gates_file(tmp_path, {'metric': 'succes_rate', 'at_least': 0.5})
    words = [asked if word == 'MINE' else word for word in words]
    done = subprocess.run(
        [sys.executable, '-m', 'wm_eval_ros.cli.main', 'score', str(bag), '--out', str(tmp_path),
         *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count('\n') == 1
    assert not (tmp_path / 'scorecard.json').exists()


def test_a_robots_own_bag_has_no_gates(shared_data: Path, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    words = ['score', str(shared_data / 'dev_tb3_rasl'), '--out', str(tmp_path)]
    assert main([*words, '--gates', 'edge_battery']) == 2
    assert 'leave --gates out' in capsys.readouterr().err


def test_a_run_that_cannot_meet_the_conditions_is_refused_before_it_starts(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ['run', 'reacher', '--clock', 'lockstep', '--out', str(tmp_path / 'run')]
    assert main([*words, '--gates', 'automotive_50ms']) == 2
    said = capsys.readouterr().err
    assert 'clock: lockstep, where the profile asks realtime' in said and said.count('\n') == 1
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_the_profiles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['list', '--json']) == 0
    listed = json.loads(capsys.readouterr().out)['gate profiles']
    assert set(listed) >= {'automotive_50ms', 'manipulation_20hz', 'edge_battery'}
    assert all(about and not about.startswith('not usable') for about in listed.values())
