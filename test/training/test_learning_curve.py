"""A learning curve trains on what a learner that stopped there would have had."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from wm_eval_ros.cli.learning_curve import command_of
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.training.learning_curve import halvings, learn, Lesson, lessons, prefix
from wm_eval_ros.training.recipe import Recipe, Round
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trajectory import Dataset


def test_the_first_episodes_are_kept_whole_and_in_order(linear_world: Dataset) -> None:
    few, more = (prefix(linear_world, n, 'cart') for n in (3, 7))
    assert [t.episode for t in few.trajectories] == [0, 1, 2]
    assert (few.episodes, few.transitions) == (3, 3 * 39)
    # nested: what the shorter one has, the longer one has too
    for a, b in zip(few.trajectories, more.trajectories, strict=False):
        assert np.array_equal(a.features, b.features)
    assert few.sources == ('the first 3 of 30 episodes of recipe cart:', 'made up')


@pytest.mark.parametrize(('total', 'points', 'want'), [
    (80, 4, (10, 20, 40, 80)), (5, 9, (2, 5)), (3, 1, (3,)), (1, 3, ())])
def test_amounts_are_halved_down_to_two_episodes(
    total: int, points: int, want: tuple[int, ...],
) -> None:
    assert halvings(total, points) == want


def test_every_amount_is_learnt_with_every_seed() -> None:
    assert lessons(210, [210, 15], 2, 5) == (
        Lesson('e015_s5', 15, 5), Lesson('e015_s6', 15, 6), Lesson('e210_s5', 210, 5),
        Lesson('e210_s6', 210, 6))


@pytest.mark.parametrize('amounts', [[1, 4], [4, 81], [4, 4], []])
def test_amounts_that_cannot_be_learnt_are_refused(amounts: list[int]) -> None:
    with pytest.raises(ConfigError, match='--amounts'):
        lessons(80, amounts, 1, 0)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of Reacher that takes a second: eight short episodes, a tiny planner."""
    pytest.importorskip('mujoco')
    scenario = load_scenario(find_scenario('reacher'), {
        'planner.samples': 8, 'planner.elites': 2, 'planner.iterations': 1, 'planner.horizon': 3,
        'plant.time_limit_s': 0.6})
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump(to_plain(scenario)))
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump({
        'scenario': str(tmp_path / 'tiny.yaml'),
        'rounds': [{'episodes': 5, 'seed': 10, 'steps': 5}, {'episodes': 3, 'seed': 90}],
        'train': {'steps': 6, 'hidden': 8, 'members': 2, 'unroll': 2},
        'trial_episodes': 3, 'trial_seed': 500}))
    return path


def test_models_say_on_how_many_environment_steps_they_were_trained(
    linear_world: Dataset,
) -> None:
    settings = TrainSettings(steps=3, hidden=4, members=2, unroll=2)
    recipe = Recipe(scenario='s', rounds=(Round(episodes=30, seed=0),), train=settings)
    wanted = lessons(30, [3, 9], 2, 0)
    found = list(learn(recipe, 'cart', linear_world, wanted, lambda title: lambda *told: None))
    assert [lesson.label for lesson, _ in found] == ['e3_s0', 'e3_s1', 'e9_s0', 'e9_s1']
    made = [result.model.spec.provenance for _, result in found]
    assert [(m['transitions'], m['episodes'], m['settings']['seed']) for m in made] == [
        (117, 3, 0), (117, 3, 1), (351, 9, 0), (351, 9, 1)]
    assert made[2]['sources'][0] == 'the first 9 of 30 episodes of recipe cart:'


@pytest.mark.slow
def test_it_writes_checkpoints_that_say_their_steps_and_a_sweep_over_them(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'curve'
    assert main(['learning-curve', str(recipe), '--out', str(out), '--amounts', '8,2',
                 '--seeds', '2', '--episodes', '2']) == 0
    specs = {p.name: load_spec(p) for p in sorted((out / 'models').iterdir())}
    assert list(specs) == ['e2_s0', 'e2_s1', 'e8_s0', 'e8_s1']
    # 0.6 s at 20 Hz: 12 steps an episode
    assert [s.provenance['transitions'] for s in specs.values()] == [24, 24, 96, 96]
    assert specs['e2_s1'].provenance['settings']['seed'] == 1
    assert specs['e2_s0'].provenance['sources'][0].startswith('the first 2 of 8 episodes')
    data = json.loads((out / 'sweep.json').read_text())
    assert data['key'] == 'planner.model'
    assert data['clock'] == 'in process, latency drawn from 10 to 40 ms'
    assert [(p['x'], p['bag'], len(p['episodes'])) for p in data['points']] == [
        (24, '', 2), (24, '', 2), (96, '', 2), (96, '', 2)]
    assert {e['seed'] for p in data['points'] for e in p['episodes']} == {500, 501}
    assert [v['name'] for v in data['figures']] == ['sample_efficiency', 'success_asymptote']
    said = capsys.readouterr().out
    assert 'models/e8_s1' in said
    assert 'a result that counts comes from bags' in said
    assert main(['learning-curve', str(recipe), '--out', str(out)]) == 2
    assert 'not empty' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--amounts', '2,x'], 'whole numbers', id='amounts'),
    pytest.param(['--amounts', '2,9'], '9 episodes', id='more-than-there-are'),
    pytest.param(['--points', '0'], '--points', id='points'),
    pytest.param(['--seeds', '0'], '--seeds', id='seeds'),
    pytest.param(['--threads', '0'], '--threads: 0; at least 1 and at most 256', id='no-thread'),
    pytest.param(['--threads', '257'], '--threads: 257; at least 1 and at most', id='threads'),
    pytest.param(['--steps', '0'], 'train.steps', id='steps'),
    pytest.param(['--episodes', '0'], 'trial_episodes', id='episodes'),
])
def test_wrong_options_are_refused_before_anything_is_collected(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str,
) -> None:
    assert main(['learning-curve', str(recipe), '--out', str(tmp_path / 'o'), *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert 'collecting' not in said
    assert not (tmp_path / 'o').exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_collected(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['learning-curve', str(recipe), '--out', str(tmp_path / 'file' / 'x')]) == 2
    said = capsys.readouterr().err
    assert 'file/x: cannot be written' in said
    assert said.count('\n') == 1


def test_the_command_on_a_card_makes_the_models_again() -> None:
    args = argparse.Namespace(recipe='reacher', amounts='2,8', points=6, seeds=2, episodes=None,
                              steps=40, threads=1, graph=True, out=Path('c'))
    assert command_of(args) == (
        'wm-eval learning-curve reacher --amounts 2,8 --seeds 2 --steps 40 --graph --out c')


def test_an_unknown_recipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['learning-curve', 'reachr', '--out', str(tmp_path / 'o')]) == 2
    assert "did you mean 'reacher'" in capsys.readouterr().err


@pytest.mark.slow
def test_on_the_graph_every_model_has_its_bag(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    import subprocess
    import sys
    out = tmp_path / 'curve'

    def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                              capture_output=True, text=True, timeout=300, check=False)

    done = wm_eval('learning-curve', str(recipe), '--out', str(out), '--amounts', '2,8',
                   '--episodes', '2', '--graph')
    assert done.returncode == 0, done.stderr
    data = json.loads((out / 'sweep.json').read_text())
    assert [(p['x'], p['bag']) for p in data['points']] == [
        (24, 'points/e2_s0/bag'), (96, 'points/e8_s0/bag')]
    assert data['clock'] == 'lockstep'
    again = wm_eval('sweep', '--vary', 'planner.model', '--out', str(out), '--bags',
                    *(str(p) for p in sorted(out.glob('points/*/bag'))))
    assert again.returncode == 0, again.stderr
    assert json.loads((out / 'sweep.json').read_text()) == data
