"""Figures of a model on held-out episodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.models.protocol import TrainedModel
from wm_eval_ros.training import evaluate as module
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset


@pytest.fixture(scope='module')
def model(linear_world: Dataset) -> TrainedModel:
    return train(linear_world, TrainSettings(family='mlp', steps=2, hidden=4), 'cart').model


@pytest.mark.parametrize('most', [30, 20, 16, 15])
def test_no_more_windows_are_evaluated_than_the_most(
    most: int, model: TrainedModel, linear_world: Dataset, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'MOST_WINDOWS', most)
    # 40 slots have 31 windows of 9 transitions
    assert evaluate(model, linear_world.trajectories[:1], 9)['windows'] == most


@pytest.mark.parametrize('slots', [0, 1])
def test_episodes_without_a_slot_to_imagine_are_refused(
    slots: int, model: TrainedModel, linear_world: Dataset,
) -> None:
    first = linear_world.trajectories[0]
    short = [replace(first, features=first.features[:1], actions=first.actions[:1])][:slots]
    with pytest.raises(BagError, match='no held-out episode has 2 consecutive slots'):
        evaluate(model, short, 10)
