"""`wm-eval red-team`: the search over made-up and over real runs, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path

import pytest

from wm_eval_ros.cli import red_team
from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.red_team_search import Plan, Search
from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.attack import Attack
from wm_eval_ros.scoring.red_team import Effect, effect, RedTeam, Successes

PLAN = Plan(budget=24, bound=0.5, alpha=0.05, confirm_episodes=20, most_confirmations=3)


def scenario(episodes: int = 10) -> Scenario:
    return load_scenario(find_scenario('reacher'), {'clock': 'lockstep', 'episodes': episodes,
                                                    'seed': 5})


class Arm:
    """Fails on a start where the perturbations are stronger than that start bears."""

    def __init__(self, bears: Callable[[int], float]) -> None:
        self.bears = bears
        self.ran: list[tuple[str, Scenario]] = []

    def __call__(self, asked: Scenario, label: str) -> Successes:
        self.ran.append((label, asked))
        felt = sum(each.severity for each in asked.perturbations)
        return {seed: felt < self.bears(seed)
                for seed in range(asked.seed, asked.seed + asked.episodes)}


def search(arm: Arm, plan: Plan = PLAN, **changes: object) -> Search:
    base = replace(scenario(), **changes)  # type: ignore[arg-type]
    attack = Attack([PerturbationSettings(name='physical.payload')], 3.0, ('severity',))
    return Search(base, attack, plan, arm)


def found_by(arm: Arm, **changes: object) -> RedTeam:
    return search(arm, **changes).result()


def test_the_mildest_that_breaks_is_found_and_confirmed_on_starts_nothing_else_saw() -> None:
    arm = Arm(lambda seed: 0.4)
    found = found_by(arm)
    assert found.confirmed is not None
    assert 0.4 <= found.confirmed.cost < 0.5
    assert len(found.trials) == 24
    assert found.confirmed.effect == Effect(20, 20, 0, 20, 0), 'of the fresh starts alone'
    assert found.confirmed.alpha == pytest.approx(0.05 / 3)
    used = {label: set(range(s.seed, s.seed + s.episodes)) for label, s in arm.ran}
    assert used['search/000'] == used['nominal'] == set(range(5, 15))
    assert used['confirm/0/perturbed'] == used['confirm/0/nominal'] == set(range(15, 35))


@pytest.mark.parametrize('seed', [5, 6, 7])
def test_a_sweep_over_the_severity_brackets_what_is_found(seed: int) -> None:
    # starts bear between 0.30 and 0.70, each its own
    arm = Arm(lambda start: 0.3 + 0.4 * (start * 0.618 % 1.0))
    made = search(arm, seed=seed)
    found = made.result()
    assert found.confirmed is not None
    nominal = arm(made.fresh(0), 'again')
    grid = [0.05 * step for step in range(21)]
    broken = [effect(nominal, arm(replace(made.fresh(0), perturbations=(
        PerturbationSettings(name='physical.payload', severity=severity),)), 'sweep')).breaks(
            0.5, 0.05) for severity in grid]
    first = broken.index(True)
    assert broken == [False] * first + [True] * (21 - first)
    # the starts of the search and the fresh ones differ: a step of the sweep more either way
    assert grid[first - 2] < found.confirmed.cost <= grid[first + 1]


def test_what_breaks_only_the_starts_of_the_search_is_not_claimed() -> None:
    arm = Arm(lambda seed: 0.4 if seed < 15 else 2.0)
    found = found_by(arm)
    assert found.confirmed is None
    assert len(found.confirmations) == 3
    fresh = [set(range(s.seed, s.seed + s.episodes)) for label, s in arm.ran
             if label.endswith('/perturbed')]
    assert not fresh[0] & fresh[1]
    assert found.verdict.startswith('not confirmed: what broke the task on the starts of the '
                                    'search did not on 3 sets of fresh ones')


def test_where_nothing_breaks_it_says_how_much_was_tried_and_no_more() -> None:
    found = found_by(Arm(lambda seed: 2.0))
    assert found.confirmations == ()
    assert found.verdict == ('none found: 24 of 24 sets of perturbations were run with 10 '
                             'episodes each, and none of them broke the task; others were not '
                             'tried')


def test_a_fall_that_is_not_significant_breaks_nothing() -> None:
    # 3 of 10 fail: exact McNemar of 3 to 0 is 0.25
    found = found_by(Arm(lambda seed: 0.1 if seed % 3 == 2 else 2.0))
    assert not any(trial.breaks for trial in found.trials)


@pytest.mark.parametrize(('found', 'violation'), [
    (Effect(10, 10, 8, 2, 0), 0.3),                 # three successes too many
    (Effect(10, 10, 5, 5, 0), 0.1),                 # 5 to 0: p = 0.0625
    (Effect(10, 10, 4, 6, 0), 0.0),                 # 6 to 0: p = 0.03125
    (Effect(10, 4, 4, 0, 0), 0.1)])                 # nothing fell
def test_how_far_from_broken(found: Effect, violation: float) -> None:
    assert found.violation(0.5, 0.05) == pytest.approx(violation)


def test_too_few_successes_to_begin_with_are_refused() -> None:
    with pytest.raises(ConfigError, match='without a perturbation 5 of 10 episodes succeed'):
        found_by(Arm(lambda seed: 1.0 if seed < 10 else -1.0))


def test_the_same_seed_is_the_same_search() -> None:
    first, again = (found_by(Arm(lambda seed: 0.4)).to_json() for _ in range(2))
    assert first == again


def test_the_scenarios_other_perturbations_stay_on() -> None:
    arm = Arm(lambda seed: 0.7)
    other = PerturbationSettings(name='nuisance.sensor_noise', severity=0.2)
    found_by(arm, perturbations=(other,))
    assert all(s.perturbations[0] == other for _, s in arm.ran)
    assert {len(s.perturbations) for label, s in arm.ran if label == 'nominal'} == {1}


@pytest.mark.parametrize(('words', 'says'), [
    ([], 'schedules no perturbation; name one'),
    (['--perturbation', 'physical.paylod'], "did you mean 'physical.payload'"),
    (['--perturbation', 'physical.payload', '--over', 'sevrity'], '--over sevrity: known are'),
    (['--perturbation', 'physical.payload', '--over', ''], 'nothing to search'),
    (['--perturbation', 'physical.payload', '--range', 'x'], '--range x: write'),
    (['--perturbation', 'physical.payload', '--range', 'physical.payload.ratio=nan:1'],
     'perturbation physical.payload: ratio: nan is no finite number'),
    (['--perturbation', 'physical.payload', '--budget', '0'], '--budget 0'),
    (['--perturbation', 'physical.payload', '--bound', '1'], '--bound 1'),
    # 2 * 0.5^n is 0.0625 with five, at 0.05; with six 0.031, at 0.05 / 3
    (['--perturbation', 'physical.payload', '--episodes', '5'],
     '--episodes 5: even the loss of all would not be significant at a level of 0.05; give 6'),
    (['--perturbation', 'physical.payload', '--confirm-episodes', '6'],
     '--confirm-episodes 6: even the loss of all would not be significant at a level of 0.0167; '
     'give 7'),
    (['--perturbation', 'physical.payload', '--perturbation', 'timing.drop'],
     '--perturbation timing.drop: unsupported: in lockstep'),
    (['--perturbation', 'physical.gravity', '--over', 'onset,duration'],
     '--perturbation physical.gravity: unsupported: '),
    (['--perturbation', 'visual.blur'], '--perturbation visual.blur: unsupported: there is no'),
    (['--perturbation', 'physical.payload', '--set', 'planner.latency_ms=-1'],
     'no run would be repeatable'),
    (['--perturbation', 'physical.payload', '--set', 'plant.kind=hardware', '--clock',
      'realtime'], 'a robot is not broken on purpose')])
def test_what_cannot_be_searched_is_refused_in_one_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['red-team', 'reacher', '--out', str(tmp_path / 'out'), *words]) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert '\n' not in said
    assert not (tmp_path / 'out').exists()


def test_result_table_and_a_scenario_that_shows_it_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    arm = Arm(lambda seed: 0.4)
    monkeypatch.setattr(red_team, 'graph_run', lambda folder, domain: arm)
    words = ['red-team', 'reacher', '--perturbation', 'physical.payload', '--over', 'severity',
             '--episodes', '10', '--budget', '12', '--out', str(tmp_path / 'out')]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert 'on fresh starts:' in said
    assert 'a milder one may exist' in said
    data = json.loads((tmp_path / 'out' / 'red_team.json').read_text())
    assert data['confirmed']['drop']['value'] == 1.0
    assert 'never' not in data['verdict']
    shown = load_scenario(tmp_path / 'out' / 'broken.yaml')
    # what was confirmed is what the file runs
    last = next(s for label, s in arm.ran if label == data['confirmed']['label'])
    assert to_plain(shown) == to_plain(last)
    assert main([*words[:-1], str(tmp_path)]) == 2, 'a folder of something else'


@pytest.mark.slow
def test_a_fault_that_was_not_applied_is_not_taken_for_robustness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as one that is found out only amid an episode
    monkeypatch.setattr(red_team, '_require_supported', lambda *_: None)
    assert main(['red-team', 'reacher', '--perturbation', 'timing.drop', '--episodes', '6',
                 '--budget', '1', '--out', str(tmp_path / 'out')]) == 2
    assert '--perturbation timing.drop: unsupported: in lockstep' in capsys.readouterr().err


@pytest.mark.slow
def test_on_the_graph_a_biased_sensor_breaks_the_reacher_and_nothing_is_run_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    words = ['red-team', 'reacher', '--perturbation', 'sensor.bias', '--over', 'severity',
             '--episodes', '8', '--budget', '1', '--confirm-episodes', '8', '--confirmations',
             '1', '--out', str(tmp_path / 'out'), '--json']
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert [trial['cost'] for trial in first['trials']] == [1.0]
    assert first['confirmed']['drop']['low'] > 0.0
    bags = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('metadata.yaml')}
    assert len(bags) == 4
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert bags == {path: path.stat().st_mtime_ns
                    for path in (tmp_path / 'out').rglob('metadata.yaml')}
