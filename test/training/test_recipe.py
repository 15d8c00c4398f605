"""Recipes: what is collected and tried is what the scenario says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wm_eval_ros.config.scenario import find_scenario
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
from wm_eval_ros.training.recipe import Recipe, RecipeRunner, Round
from wm_eval_ros.training.settings import TrainSettings

pytest.importorskip('mujoco')


def silent(done: int, total: int, words: str) -> None:
    """Tell nothing."""


@pytest.fixture
def runner(tmp_path: Path) -> RecipeRunner:
    text = find_scenario('reacher').read_text().replace('planner: cem', 'planner: hold')
    (tmp_path / 'held.yaml').write_text(text)
    return RecipeRunner(Recipe(
        scenario=str(tmp_path / 'held.yaml'), rounds=(Round(episodes=2, seed=7),),
        train=TrainSettings(), limit_s=0.5, trial_episodes=2))


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
