"""Every family that is trained here learns a linear world, and is the same when read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wm_eval_ros.models.checkpoint import load_checkpoint, save_checkpoint
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.training.continued import continue_training, ContinueSettings
from wm_eval_ros.training.settings import FAMILIES, TrainSettings
from wm_eval_ros.training.trainer import train, TrainResult
from wm_eval_ros.training.trajectory import Dataset

QUICK = TrainSettings(steps=300, hidden=32, batch=64, unroll=3, context=4, members=2)


@pytest.fixture(scope='module', params=FAMILIES)
def trained(request: pytest.FixtureRequest, linear_world: Dataset) -> TrainResult:
    return train(linear_world, replace(QUICK, family=request.param), 'linear')


def test_it_beats_persistence_and_keeps_the_protocol(trained: TrainResult) -> None:
    assert trained.report['one_step_ratio'] < 0.5
    assert trained.report['rmse'][9] < 0.5 * trained.report['persistence'][9]
    assert check_world_model(trained.model) == []


def test_a_checkpoint_gives_the_same_model(trained: TrainResult, tmp_path: Path) -> None:
    model = trained.model
    save_checkpoint(tmp_path / 'c', model.spec, dict(model.tensors))
    again = load_checkpoint(tmp_path / 'c', interface=model.spec.interface)
    z = model.encode(torch.tensor([[0.3, -0.2], [1.0, 0.4]]))
    actions = torch.rand(2, 5, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(model.predict(z, actions), again.predict(z, actions))


def test_the_same_seed_gives_the_same_weights(trained: TrainResult, linear_world: Dataset) -> None:
    settings = replace(QUICK, family=trained.model.spec.family, steps=5)
    one, two = (train(linear_world, settings, 'linear').model.tensors for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_training_goes_on_from_a_checkpoint(trained: TrainResult, linear_world: Dataset) -> None:
    further = continue_training(trained.model, linear_world, None,
                                ContinueSettings(steps=100, learning_rate=1e-4), {})
    assert further.model.spec.architecture == trained.model.spec.architecture
    assert further.report['one_step_rmse'] < 1.5 * trained.report['one_step_rmse']
