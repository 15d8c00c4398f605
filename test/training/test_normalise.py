"""The scales that training measures errors in, and values that are too large to have one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wm_eval_ros.errors import BagError
from wm_eval_ros.models.checkpoint import load_checkpoint, save_checkpoint
from wm_eval_ros.training.decisions import Decisions
from wm_eval_ros.training.distill import distill, DistillSettings
from wm_eval_ros.training.learners.normalise import normalisation, require_scales
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import split, train
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.training.windows import cut, Windows


def windows(length: int) -> Windows:
    rows = np.array([[0.0], [0.0], [2.0], [6.0]])
    return cut([Trajectory(rows, np.zeros((4, 1)), np.zeros(1), 0)], length)


@pytest.mark.parametrize('length', [1, 2, 3])
def test_every_step_of_a_window_counts_once(length: int) -> None:
    # 0, 0, 2 and their changes 0, 2, 4, also where the one window begins with a step of no change
    found = normalisation(windows(length))
    assert found['feature_mean'].tolist() == pytest.approx([2 / 3])
    assert found['feature_scale'].tolist() == pytest.approx([(8 / 9) ** 0.5])
    assert found['delta_mean'].tolist() == pytest.approx([2.0])
    assert found['delta_scale'].tolist() == pytest.approx([(8 / 3) ** 0.5])


TINY = TrainSettings(steps=4, hidden=8, batch=8, unroll=2, members=2)


def with_spike(data: Dataset, value: float) -> Dataset:
    """Put one value of the velocity into an episode that is trained on."""
    episode = split(data, TINY.val_share, TINY.seed)[0][0].episode
    features = data.trajectories[episode].features.copy()
    features[3, 1] = value
    return replace(data, trajectories=tuple(
        replace(t, features=features) if t.episode == episode else t for t in data.trajectories))


@pytest.mark.parametrize('family', ['ensemble', 'mlp', 'jepa'])
@pytest.mark.parametrize('value', [1e16, -1e20, 1e30, 3e38])
def test_a_value_too_large_is_refused_by_the_name_of_its_feature(
    family: str, value: float, linear_world: Dataset,
) -> None:
    with pytest.raises(BagError, match=r'^joint_states\.velocity\[a\]: holds '):
        train(with_spike(linear_world, value), replace(TINY, family=family), 'wild')


@pytest.mark.parametrize('family', ['ensemble', 'mlp', 'jepa'])
def test_what_is_trained_on_values_not_quite_so_large_loads_again(
    family: str, linear_world: Dataset, tmp_path: Path,
) -> None:
    result = train(with_spike(linear_world, 9e14), replace(TINY, family=family), 'large')
    save_checkpoint(tmp_path, result.model.spec, dict(result.model.tensors))
    assert load_checkpoint(tmp_path).spec.name == 'large'


def test_a_policy_is_not_cloned_from_a_value_too_large(linear_world: Dataset) -> None:
    inputs = torch.zeros(40, 2)
    inputs[::10, 1] = -1e30
    decisions = Decisions(linear_world.interface, linear_world.feature_names, 0.05, inputs,
                          torch.zeros(40, 1), torch.arange(40) // 10, ('made up',), ('none',))
    with pytest.raises(BagError, match=r'^joint_states\.velocity\[a\]: holds 1e\+30'):
        distill(decisions, DistillSettings(steps=2, hidden=4), 'wild')


def test_values_that_are_not_finite_are_left_to_what_looks_for_them() -> None:
    require_scales(('a', 'b'), torch.tensor([[float('nan'), 1.0], [2.0, 1.0]]))
