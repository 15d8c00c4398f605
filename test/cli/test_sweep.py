"""`wm-eval sweep`: from bags, from runs, again after an interruption, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.sweep import parse_vary
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError

Recorded = Callable[..., Path]


@pytest.fixture
def recorded(scenes: ModuleType) -> Recorded:
    """Write the bag of a run of a scenario in which the first `won` of its episodes succeed."""

    def write(folder: Path, scenario: Scenario, won: int, episodes: int | None = None,
              **changes: Any) -> Path:
        facts = {'scenario': scenario.name, 'clock': scenario.clock, 'seed': scenario.seed,
                 'episodes': scenario.episodes, 'settings': to_plain(scenario), **changes}
        records = [scenes.info(**facts)]
        for e in range(scenario.episodes if episodes is None else episodes):
            end = 'SUCCESS' if e < won else 'TIMEOUT'
            records += [scenes.event('START', e, 1000 * e, '', scenario.seed + e),
                        scenes.cycle(e, episode=e, stamp_ms=1000 * e + 1),
                        scenes.event(end, e, 1000 * e + 900, '', 0.9)]
        return scenes.write_bag(folder, records)

    return write


def scenario_with(**overrides: object) -> Scenario:
    base: dict[str, object] = {'clock': 'lockstep', 'episodes': 6, 'planner.model': '',
                               'planner.model_sha256': '', 'planner.planner': 'random'}
    return load_scenario(find_scenario('reacher'), {**base, **overrides})


@pytest.fixture
def bags(recorded: Recorded, tmp_path: Path) -> list[str]:
    return [str(recorded(tmp_path / f'h{h}', scenario_with(**{'planner.horizon': h}), won))
            for h, won in ((20, 5), (5, 2), (10, 5))]


def test_bags_alone_give_the_curve_and_the_setting_that_was_varied(
    bags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['sweep', '--bags', *bags, '--out', str(tmp_path / 'out')]) == 0
    said, talk = capsys.readouterr()
    lines = said.splitlines()
    assert lines[0] == 'reacher, lockstep'
    assert lines[1].split()[:3] == ['planner.horizon', 'n', 'success']
    assert [line.split()[:3] for line in lines[3:6]] == [
        ['5', '6', '0.333'], ['10', '6', '0.833'], ['20', '6', '0.833']]
    assert 'planning_horizon' in said
    assert 'INCONCLUSIVE' in said
    assert 'sweep.json' in talk
    data = json.loads((tmp_path / 'out' / 'sweep.json').read_text())
    assert [p['bag'] for p in data['points']] == ['../h5', '../h10', '../h20']
    assert data['points'][0]['success']['interval']['method'] == 'Clopper-Pearson'
    assert main(['sweep', '--bags', *reversed(bags), '--vary', 'planner.horizon', '--json',
                 '--out', str(tmp_path / 'out')]) == 0
    assert json.loads(capsys.readouterr().out) == data


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param([], 'either a scenario and --vary, or --bags', id='nothing'),
    pytest.param(['reacher'], 'write KEY=V1,V2', id='no-vary'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5'], 'two or more', id='one-value'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,5'], 'there twice', id='twice'),
    pytest.param(['reacher', '--vary', 'planner.horizn=5,6'], "did you mean 'horizon'",
                 id='unknown-key'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,x'], 'a whole number', id='wrong-type'),
    pytest.param(['reacher', '--vary', 'planner.latency_ms=5,9'], 'charged in lockstep only',
                 id='latency-in-realtime'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,6', '--bound', '1'], '--bound',
                 id='bound'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,6', '--vary', 'planner.horizon=7,8'],
                 'given twice', id='key-twice'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,6', '--vary', 'seed=1,2'],
                 'one task and clock mode on the same starts', id='second-is-fixed'),
    pytest.param(['reacher', '--vary', 'planner.horizon=5,6', '--vary', 'planner.latency_ms=1,2'],
                 'charged in lockstep only', id='second-is-latency-in-realtime'),
    pytest.param(['reacher', '--clock', 'lockstep', '--vary', 'planner.period_ms=25,50'],
                 'planner.period_ms is 25', id='a-period-that-is-not-the-models'),
    pytest.param(['--bags', 'nowhere'], 'no such file', id='no-bag'),
    pytest.param(['--bags', 'nowhere', '--vary', 'a=1,2'], 'the values are in the bags',
                 id='values-with-bags'),
])
def test_wrong_input_gets_one_line_and_exit_code_2(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['sweep', *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith('wm-eval sweep:')
    assert says in said[0]
    assert list(tmp_path.iterdir()) == []


def test_bags_that_differ_in_two_settings_or_in_none_are_refused(
    bags: list[str], recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    odd = recorded(tmp_path / 'odd', scenario_with(**{'planner.samples': 16}), 3)
    assert main(['sweep', '--bags', bags[0], str(odd)]) == 2
    assert 'planner.horizon, planner.samples' in capsys.readouterr().err
    assert main(['sweep', '--vary', 'planner.horizon', '--bags', bags[0], str(odd)]) == 2
    assert 'differs from' in capsys.readouterr().err
    assert main(['sweep', '--bags', bags[0], bags[0]]) == 2
    assert 'no setting' in capsys.readouterr().err


@pytest.fixture
def graph(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand for the graph: a run writes its bag at once; returns the points that were run."""
    from wm_eval_ros.cli import sweep_runs
    done: list[str] = []

    def execute(run: Any, scenario: Scenario, domain: int | None) -> None:
        done.append(run.folder.name)
        recorded(run.bag, scenario, scenario.planner.horizon % 7)

    monkeypatch.setattr(sweep_runs, 'execute', execute)
    return done


RUN = ['sweep', 'reacher', '--clock', 'lockstep', '--episodes', '6', '--set',
       'planner.planner=random', '--set', "planner.model=''"]


def test_finished_points_are_kept_and_new_values_are_added(
    graph: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch')
    out = ['--out', str(tmp_path / 's')]
    assert main([*RUN, '--vary', 'planner.horizon=3,5', *out]) == 0
    assert main([*RUN, '--vary', 'planner.horizon=3,5,9', *out]) == 0
    assert graph == ['horizon_3', 'horizon_5', 'horizon_9']
    said = capsys.readouterr().err
    assert 'planner.horizon = 3 (1 of 3): finished before' in said
    data = json.loads((tmp_path / 's' / 'sweep.json').read_text())
    assert [(p['value'], p['bag'], p['success']['value']) for p in data['points']] == [
        (3, 'points/horizon_3/bag', 0.5), (5, 'points/horizon_5/bag', pytest.approx(5 / 6)),
        (9, 'points/horizon_9/bag', pytest.approx(2 / 6))]


def test_several_settings_are_varied_in_every_combination(
    graph: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch')
    out = ['--out', str(tmp_path / 's')]
    vary = ['--vary', 'planner.samples=16,8', '--vary', 'planner.horizon=3,12']
    assert main([*RUN, *vary, *out]) == 0
    assert graph == ['samples_16_horizon_3', 'samples_16_horizon_12', 'samples_8_horizon_3',
                     'samples_8_horizon_12']
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == 'planner.samples,planner.horizon'
    assert lines[1].split()[-3:] == ['CPU', '[ms]', 'efficient']
    # of 6 starts 3 at a horizon of 3 and 5 at one of 12; a decision takes 8 ms in each
    words = [line.split() for line in lines[3:7]]
    assert [(*each[:4], 'yes' in each) for each in words] == [
        ('8,', '3', '6', '0.5', False), ('8,', '12', '6', '0.833', True),
        ('16,', '3', '6', '0.5', False), ('16,', '12', '6', '0.833', True)]
    data = json.loads((tmp_path / 's' / 'sweep.json').read_text())
    assert [p['value'] for p in data['points']] == [[8, 3], [8, 12], [16, 3], [16, 12]]
    bags = [str(p) for p in (tmp_path / 's').glob('points/*/bag')]
    keys = ['--vary', 'planner.samples', '--vary', 'planner.horizon']
    assert main(['sweep', '--bags', *bags, *keys, '--json', *out]) == 0
    assert json.loads(capsys.readouterr().out) == data
    assert main(['sweep', '--bags', *bags]) == 2
    assert 'planner.horizon, planner.samples' in capsys.readouterr().err


def test_an_interrupted_point_is_set_aside_and_run_again(
    graph: list[str], recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch')
    points = tmp_path / 's' / 'points'
    recorded(points / 'horizon_3' / 'bag', scenario_with(**{'planner.horizon': 3}), 1, episodes=2)
    (points / 'horizon_5').mkdir()
    (points / 'horizon_5' / 'scenario.yaml').write_text('x')
    assert main([*RUN, '--vary', 'planner.horizon=3,5', '--out', str(tmp_path / 's')]) == 0
    assert graph == ['horizon_3', 'horizon_5']
    assert (points / 'horizon_3.unfinished1' / 'bag').is_dir()
    assert (points / 'horizon_5.unfinished1' / 'scenario.yaml').is_file()
    assert 'unfinished run is now' in capsys.readouterr().err


def test_finished_points_of_other_settings_are_not_mixed_in(
    graph: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch')
    vary = ['--vary', 'planner.horizon=3,5', '--out', str(tmp_path / 's')]
    assert main([*RUN, *vary]) == 0
    assert main([*RUN, '--set', 'planner.samples=16', *vary]) == 2
    assert 'was run with planner.samples = 64, asked for is 16' in capsys.readouterr().err
    assert graph == ['horizon_3', 'horizon_5']


@pytest.mark.parametrize(('text', 'values'), [
    ('a.b=1,2.5', [1, 2.5]), ('a.b=[1, 2]', [1, 2]), ('a.b=x,y', ['x', 'y']),
    ('a.b=[[1, 2], [3]]', [[1, 2], [3]])])
def test_values_are_separated_by_commas_or_written_as_a_list(
    text: str, values: list[object],
) -> None:
    assert parse_vary(text) == ('a.b', values)


@pytest.mark.parametrize('text', ['a.b', '=1,2', 'a.b=', 'a.b=1', 'a.b=[1', 'a.b=1,,2'])
def test_a_list_of_values_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match='--vary'):
        parse_vary(text)


@pytest.mark.slow
def test_a_sweep_on_the_graph_is_recomputed_from_its_bags_to_the_byte(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')

    def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                              capture_output=True, text=True, timeout=180, check=False)

    out = tmp_path / 's'
    words = [*RUN[:5], '2', *RUN[6:], '--vary', 'planner.latency_ms=5,120', '--out', str(out)]
    first = wm_eval(*words)
    assert first.returncode == 0, first.stderr
    again = wm_eval(*words)
    assert again.stdout == first.stdout
    assert again.stderr.count('finished before') == 2
    kept = (out / 'sweep.json').read_bytes()
    from_bags = wm_eval('sweep', '--out', str(out), '--bags',
                        *(str(p) for p in sorted(out.glob('points/*/bag'))))
    assert from_bags.returncode == 0, from_bags.stderr
    assert (out / 'sweep.json').read_bytes() == kept
    figures = {v['name']: v for v in json.loads(kept)['figures']}
    assert set(figures) == {'latency_at_bound', 'latency_robustness'}


@pytest.mark.parametrize('vary', ['clock=lockstep,free', 'seed=1,2', 'episodes=5,10'])
def test_what_makes_another_question_is_not_varied(
    vary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['sweep', 'reacher', '--vary', vary, '--out', str(tmp_path / 'out')]) == 2
    assert 'a sweep is of one task and clock mode on the same starts' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'bag').mkdir()
    words = ['sweep', 'reacher', '--clock', 'lockstep', '--vary', 'planner.latency_ms=15,30']
    assert main([*words, '--out', str(tmp_path)]) == 2
    assert 'exists and holds no sweep' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['bag']
