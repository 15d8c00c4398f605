"""`wm-eval retrain`: the worked case from alarms to the registry, and what is refused before."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import re
import shutil
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip('torch')

from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.retrain_case import open_registry, require_apart
from wm_eval_ros.cli.retrain_gate import ALPHA
from wm_eval_ros.cli.retrain_watch import watch_bag
from wm_eval_ros.errors import CheckpointError, ConfigError, RunError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_spec
from wm_eval_ros.records import ClockMode
from wm_eval_ros.report.retraining import text
from wm_eval_ros.stats.exact_power import no_loss_power
from wm_eval_ros.training.case import case_names, load_case, scenario_of, USES

#: a quick case: one round on as much as three explore, and margins as wide as so few episodes
#: want; of 24 two may be lost of the old condition (the interval of 0 - 2 of 24 begins at -0.258)
SMALL = [word for entry in ('rounds=1', 'nominal_episodes=24', 'shifted_episodes=24',
                            'explore_episodes=120', 'margin=0.26', 'back_margin=0.3')
         for word in ('--set', entry)]


@pytest.mark.parametrize('name', case_names())
def test_a_shipped_case_loads_with_its_scenario(name: str) -> None:
    case = load_case(name, {})
    old, new = (scenario_of(case, 'm', 'ab', shifted=shifted) for shifted in (False, True))
    assert old.clock is new.clock is ClockMode.LOCKSTEP
    assert (old.perturbations, new.perturbations) == ((), case.shift)
    assert old.seed == new.seed


@pytest.mark.parametrize('name', case_names())
def test_no_start_that_a_model_learns_from_is_one_it_is_judged_on(name: str) -> None:
    case = load_case(name, {})
    blocks = list(case.seeds().values())
    everything = [seed for block in blocks for seed in block]
    assert len(everything) == len(set(everything))
    of_use = {use: scenario_of(case, 'm', 'ab', shifted=True, use=use).seed
              for use in USES}
    assert len(set(of_use.values())) == len(USES) == 6


@pytest.mark.parametrize('name', case_names())
def test_a_shipped_case_has_the_episodes_that_its_questions_need(name: str) -> None:
    case = load_case(name, {})
    # a model that loses a start in a hundred passes four times in five, whatever the round, and
    # one that loses two nine times in ten when asked again; under the shift four may be lost
    assert no_loss_power(0.0, 0.01, case.nominal_episodes, case.margin, ALPHA / case.rounds) >= 0.8
    assert no_loss_power(0.0, 0.02, case.nominal_episodes, case.margin, ALPHA) >= 0.9
    assert no_loss_power(0.0, 0.04, case.shifted_episodes, case.back_margin,
                         ALPHA / case.rounds) >= 0.8


def test_the_documented_chances_are_those_of_the_shipped_case() -> None:
    case = load_case('reacher_friction', {})
    page = (Path(__file__).parents[2] / 'docs' / 'retraining.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (0\.\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$', page,
                      re.MULTILINE)
    asked = [(n, margin, alpha) for n, margin in ((case.nominal_episodes, case.margin),
                                                  (case.shifted_episodes, case.back_margin))
             for alpha in (ALPHA / case.rounds, ALPHA)]
    assert len(rows) == 5
    for loss, *chances in rows:
        assert chances == [f'{no_loss_power(0.0, float(loss), n, margin, alpha):.2f}'
                           for n, margin, alpha in asked]


def test_a_case_whose_exploration_meets_its_evaluation_is_refused() -> None:
    with pytest.raises(ConfigError, match='starts to evaluate and to explore overlap'):
        load_case('reacher_friction', {'explore_seed': 1010})


def test_a_file_that_is_no_mapping_is_refused_as_such_with_settings_over_it(
        tmp_path: Path) -> None:
    (path := tmp_path / 'list.yaml').write_text('- 1')
    with pytest.raises(ConfigError, match='expected a mapping of settings, found a list'):
        load_case(str(path), {'seed': 3})


def test_settings_are_laid_over_a_case() -> None:
    case = load_case('reacher_friction', {'train.steps': 7, 'margin': 0.2})
    assert (case.train.steps, case.margin, case.train.new_share) == (7, 0.2, 0.8)


@pytest.mark.parametrize(('words', 'said'), [
    pytest.param(['reacher_frictoin'], "did you mean 'reacher_friction'", id='no-such-case'),
    pytest.param(['reacher_friction', '--set', 'train.stepz=3'], "unknown key 'stepz'",
                 id='no-such-setting'),
    pytest.param(['reacher_friction', '--set', 'mine.reasons=[fun]'], "no 'fun'",
                 id='no-such-reason'),
    pytest.param(['reacher_friction', '--set', 'shift=[{name: nuisance.blur}]'],
                 'nothing shifts', id='a-nuisance-is-no-shift'),
    pytest.param(['reacher_friction', '--set', 'margin'], 'write KEY=VALUE', id='no-value'),
    pytest.param(['reacher_friction', '--threads', '0'],
                 '--threads: 0; at least 1 and at most 256', id='no-thread'),
    pytest.param(['reacher_friction', '--threads', '257'],
                 '--threads: 257; at least 1 and at most 256', id='threads'),
    pytest.param(['reacher_friction', '--registry', '/dev/null/r'],
                 '/dev/null/r: cannot be written', id='registry'),
    pytest.param(['reacher_friction', '--data', 'a', '--data', 'b/../a'],
                 'b/../a: is given twice, first as a; its episodes would count double',
                 id='data-twice'),
    pytest.param(['reacher_friction', '--data', 'a', '--replay', 'a'], 'a: is given twice',
                 id='data-as-replay'),
    pytest.param(['reacher_friction', '--model', 'raecher'], 'no checkpoint', id='no-such-model'),
    pytest.param(['reacher_friction', '--model', 'cartpole'], 'trained for 1 command fields',
                 id='model-of-another-task'),
    pytest.param(['reacher_friction', '--set', 'shift=[{name: physical.frictoin}]'],
                 "did you mean 'physical.friction'", id='no-such-shift'),
])
def test_bad_input_is_one_line_and_nothing_is_run(
        words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    assert main(['retrain', *words, '--out', str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count('\n') == 1
    assert not out.exists()


def test_an_out_that_cannot_be_written_is_refused_before_anything_is_run(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['retrain', 'reacher_friction', '--out', str(tmp_path / 'file' / 'x')]) == 2
    error = capsys.readouterr().err
    assert 'file/x: cannot be written' in error
    assert error.count('\n') == 1


def test_a_case_that_breaks_off_leaves_a_report_of_what_was_found(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    def end(*_: object) -> None:
        raise RunError('planner node ended with code 1')

    monkeypatch.setattr('wm_eval_ros.cli.retrain_case.run_points', end)
    assert main(['retrain', 'reacher_friction', '--out', str(tmp_path / 'out')]) == 4
    assert capsys.readouterr().err.count('\n') == 1
    report = json.loads((tmp_path / 'out' / 'retrain.json').read_text())
    assert report['unfinished'] == 'planner node ended with code 1'
    assert (report['case'], report['scenario']) == ('reacher_friction', 'reacher')
    assert not (tmp_path / 'out' / 'retrain.txt').exists()


def test_a_case_whose_starts_were_used_in_the_registry_is_refused_before_anything_is_run(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry, _ = open_registry(tmp_path / 'registry', 'reacher', '')
    registry.use_starts(1, [range(501_099, 501_100)])
    out = tmp_path / 'out'
    assert main(['retrain', 'reacher_friction', '--registry', str(tmp_path / 'registry'),
                 '--out', str(out)]) == 2
    error = capsys.readouterr().err
    assert 'starts to confirm, seeds 501000 to 501099, were used' in error
    assert '--set seed=1000000' in error
    assert error.count('\n') == 1
    assert not out.exists()


def test_an_unknown_replay_names_the_recipes_before_anything_is_run() -> None:
    with pytest.raises(ConfigError, match=r'recipes: .*reacher'):
        require_apart(load_case('reacher_friction', {}), [], ['nothing'])


@pytest.mark.parametrize('option', ['--data', '--replay'])
@pytest.mark.parametrize(('first', 'use'), [(1098, 'evaluate'), (501_000, 'confirm'),
                                            (2_001_000, 'calibrate'), (2_501_020, 'guard')])
def test_data_that_hold_a_start_of_the_case_are_refused(
        option: str, first: int, use: str, outcome_bag: Callable[..., Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    bag = outcome_bag(tmp_path / 'data', 'SSSS', seed=first)
    words = ['retrain', 'reacher_friction', '--out', str(tmp_path / 'out'), option, str(bag)]
    assert main(words) == 2
    error = capsys.readouterr().err
    # the last two of 1098 to 1101 are beyond the hundred that rounds are judged on
    held = 2 if use == 'evaluate' else 4
    assert (f'{option} {bag}: {held} of its 4 starts, such as seed {first}, '
            f'are those to {use}') in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_a_recipe_that_collects_a_start_of_the_case_is_refused() -> None:
    case = load_case('reacher_friction', {'seed': 100_149})
    with pytest.raises(ConfigError, match='--replay reacher: 1 of its 210 starts, such as seed '
                                          '100149, are those to evaluate'):
        require_apart(case, [], ['reacher'])


def test_data_of_other_starts_are_taken(outcome_bag: Callable[..., Path], tmp_path: Path) -> None:
    case = load_case('reacher_friction', {})
    # just before and just behind, and what the case would mine itself
    bags = [outcome_bag(tmp_path / str(seed), 'SS', seed=seed) for seed in (998, 1100, 1_001_000)]
    require_apart(case, bags, ['reacher'])


def test_a_registry_begins_with_a_copy_and_goes_on_with_what_is_in_force(tmp_path: Path) -> None:
    registry, first = open_registry(tmp_path, 'reacher', '')
    assert first == registry.path(1) == tmp_path / 'reacher' / 'versions' / '1'
    assert load_spec(first).sha256 == load_spec(find_checkpoint('reacher')).sha256
    registry.promote(registry.add(lambda to: shutil.copytree(first, to), {}), {})
    assert open_registry(tmp_path, 'reacher', '')[1] == registry.path(2)
    with pytest.raises(ConfigError, match='give --model'):
        open_registry(tmp_path, '', '')


def test_a_given_model_does_not_go_past_another_that_is_in_force(
        tmp_path: Path, other_weights: Callable[[Path], Path]) -> None:
    registry, first = open_registry(tmp_path / 'registry', 'reacher', 'reacher')
    # the same weights are the version in force
    assert open_registry(tmp_path / 'registry', '', 'reacher') == (registry, first)
    better = other_weights(tmp_path / 'better')
    registry.promote(registry.add(lambda to: shutil.copytree(better, to), {}), {})
    with pytest.raises(ConfigError, match=r'--model reacher: .* version 2 is in force.*; begin a '
                                          'new registry, or leave --model out'):
        open_registry(tmp_path / 'registry', 'reacher', 'reacher')
    assert registry.current() == 2
    assert open_registry(tmp_path / 'registry', '', str(better)) == (registry, registry.path(2))


def test_a_model_whose_name_leads_out_of_the_registry_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    from wm_eval_ros.models.checkpoint import load_checkpoint, save_checkpoint
    model: Any = load_checkpoint(find_checkpoint('reacher'))
    save_checkpoint(tmp_path / 'evil', replace(model.spec, name='../../away'), model.tensors)
    with pytest.raises(CheckpointError, match='cannot name a folder'):
        open_registry(tmp_path / 'registry', '', str(tmp_path / 'evil'))


def test_alarms_count_from_the_shift_on_and_are_dated_by_the_recorder(
        scenes: ModuleType, tmp_path: Path) -> None:
    records: list[Any] = [scenes.info(episodes=1, clock=ClockMode.LOCKSTEP)]
    records += [scenes.event('START', 0, 0.0, '', 100),
                scenes.event('PERTURB_ON', 0, 100.0, 'physical.friction', 0.5),
                scenes.event('FALLBACK_ON', 0, 210.0, 'surprise'),
                scenes.event('TIMEOUT', 0, 475.0, '', 0.475)]
    records += [scenes.cycle(k, episode=0, stamp_ms=50.0 * k, surprise_threshold=4.0,
                             surprise=9.0 if k in (1, 4, 5) else 0.5) for k in range(10)]
    found = watch_bag(scenes.write_bag(tmp_path / 'bag', records))
    assert (found.episodes, found.alarmed, found.handed_over) == (1, 1, 1)
    # slot 1 was an alarm before the onset at 100 ms; slot 4 begins 100 ms after it
    assert found.delay_s == pytest.approx(0.1)
    assert found.shift == 'physical.friction'
    assert found.alarm_ns is not None
    assert found.shift_ns is not None
    assert found.alarm_ns > found.shift_ns >= found.begin_ns


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_friction_shift_raises_alarms_and_is_retrained_away(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    out = tmp_path / 'case'
    assert main(['retrain', 'reacher_friction', '--out', str(out), '--json', *SMALL]) == 0
    report = json.loads(capsys.readouterr().out)
    old, last = report['success'], report['rounds'][-1]
    # the shift breaks the old model, is seen within the episode, and the supervisor takes over
    assert old['nominal_old']['value'] >= 0.9
    assert old['shifted_old']['value'] <= 0.25
    assert report['alarms']['alarmed'] >= 23
    assert report['alarms']['handed_over'] >= 23
    assert report['alarms']['delay_s'] < 1.0
    # what was hard is mined, for these reasons at least
    assert {'surprise', 'hand_over', 'failure'} <= set(report['mined']['reasons'])
    # and the retrained model is good in both worlds, though one round of three need not do for
    # being back
    assert last['success']['shifted']['value'] >= 0.7
    assert [c['verdict'] for c in last['conditions']] == ['pass', 'pass']
    for value in report['time']:
        assert value['why'] if value['value'] is None else 0 < value['value'] < 1
    folder = out / 'registry' / 'reacher'
    version = last['version']
    assert json.loads((folder / 'current.json').read_text()) == {'version': version}
    spec = load_spec(find_checkpoint(str(folder)))
    assert spec.sha256 == last['training']['sha256']
    assert spec.provenance['mined_sha256'] == [report['mined']['manifest_sha256']]
    # once more on fresh starts, in both conditions, and as deployed
    assert [c['verdict'] for c in report['confirmed']['conditions']] == ['pass', 'pass']
    assert report['guarded']['success']['low'] > old['shifted_old']['value']
    assert text(report) == (out / 'retrain.txt').read_text()


@pytest.mark.slow
def test_a_model_that_learnt_nothing_is_not_promoted(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    for name, seed in (('data', '9000000'), ('replay', '9000100')):
        assert main(['collect', 'reacher', '--episodes', '4', '--seed', seed,
                     '--out', str(tmp_path / name)]) == 0
    code = main(['retrain', 'reacher_friction', '--out', str(tmp_path / 'case'), '--json', *SMALL,
                 '--data', str(tmp_path / 'data' / 'bag'),
                 '--replay', str(tmp_path / 'replay' / 'bag'),
                 '--set', 'train.steps=1', '--set', 'train.learning_rate=1.0e-7'])
    report = json.loads(capsys.readouterr().out)
    assert (code, report['verdict']) == (1, 'fail'), 'unchanged weights are no candidate'
    assert report['registry']['in_force'] == 1
    assert 'alarms' not in report
    folder = Path(report['registry']['folder'])
    history = [json.loads(line) for line in (folder / 'history.jsonl').read_text().splitlines()]
    assert [(h['what'], h['version']) for h in history] == [
        ('added', 1), ('promoted', 1), ('added', 2), ('rejected', 2)]
