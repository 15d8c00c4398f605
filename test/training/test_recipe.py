"""Recipes: what is collected and tried is what the scenario says."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.config.scenario import find_scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
from wm_eval_ros.training.recipe import load_recipe, Recipe, RecipeRunner, Round
from wm_eval_ros.training.settings import TrainSettings

pytest.importorskip('mujoco')


def silent(done: int, total: int, words: str) -> None:
    """Tell nothing."""


@pytest.fixture
def held(tmp_path: Path) -> Recipe:
    text = find_scenario('reacher').read_text().replace('planner: cem', 'planner: hold')
    (tmp_path / 'held.yaml').write_text(text)
    return Recipe(
        scenario=str(tmp_path / 'held.yaml'), rounds=(Round(episodes=2, seed=7),),
        train=TrainSettings(), limit_s=0.5, trial_episodes=2)


@pytest.fixture
def runner(held: Recipe) -> RecipeRunner:
    return RecipeRunner(held)


def test_episodes_collected_may_be_shorter_than_the_scenarios(runner: RecipeRunner) -> None:
    data = runner.collect(Round(episodes=2, seed=7), None, silent)
    # half a second at 20 Hz, and the state at the end
    assert [len(t.features) for t in data.trajectories] == [11, 11]


def test_a_trial_is_of_the_scenarios_planner_and_time_limit(runner: RecipeRunner) -> None:
    outcomes = runner.trial(load_checkpoint(find_checkpoint('reacher')), silent)
    assert len(outcomes) == 2
    for outcome in outcomes:
        actions = outcome.trajectory.actions
        assert len(actions) > 11
        # the planner `hold` draws one command and keeps it
        assert np.array_equal(actions, np.broadcast_to(actions[0], actions.shape))


def test_a_trial_is_never_slower_than_the_recipe_says(held: Recipe) -> None:
    # 5 ms is one step of the plant, and less than a trial begins with otherwise
    quick = RecipeRunner(replace(held, latency_low_ms=0.0, latency_high_ms=5.0))
    assert len(quick.trial(load_checkpoint(find_checkpoint('reacher')), silent)) == 2


def test_latencies_that_none_can_be_drawn_from_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'r.yaml'
    path.write_text('scenario: reacher\nrounds: [{episodes: 2, seed: 1}]\nlatency_high_ms: 4.0\n')
    with pytest.raises(ConfigError, match=r'/r\.yaml: latency_low_ms: 5; at most'):
        load_recipe(str(path))


def test_observations_older_than_the_period_are_refused(
    held: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(RecipeRunner(replace(held, age_ms=50.0)).collect(
        Round(episodes=1, seed=7), None, silent).trajectories[0].features) == 11
    path = tmp_path / 'r.yaml'
    path.write_text('scenario: reacher\nrounds: [{episodes: 2, seed: 1}]\nage_ms: 60.0\n')
    assert main(['train', '--recipe', str(path), '--out', str(tmp_path / 'made')]) == 2
    error = capsys.readouterr().err
    assert 'age_ms: 60; at most planner.period_ms of the scenario reacher, 50' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize('error', [ConfigError('no'), RuntimeError('no'), KeyboardInterrupt()])
def test_a_model_is_kept_whatever_becomes_of_its_trial(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(RecipeRunner, 'trial', fails)
    (tmp_path / 'r.yaml').write_text(
        'scenario: reacher\nrounds: [{episodes: 2, seed: 1}]\ntrain: {steps: 2, hidden: 4}\n'
        'limit_s: 1.0\n')
    with suppress(RuntimeError, KeyboardInterrupt):
        assert main(['train', '--recipe', str(tmp_path / 'r.yaml'), '--out',
                     str(tmp_path / 'made')]) != 0
    assert load_checkpoint(tmp_path / 'made').spec.name == 'reacher'
    assert 'Closed loop' not in (tmp_path / 'made' / 'card.md').read_text()
    assert f'written: {tmp_path / "made"}' in capsys.readouterr().err
