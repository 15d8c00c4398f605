"""Training that goes on: what it keeps, what it mixes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.errors import BagError
from wm_eval_ros.training.continued import continue_training, ContinueSettings
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import train, TrainResult
from wm_eval_ros.training.trajectory import Dataset, Trajectory

QUICK = ContinueSettings(steps=200, learning_rate=3e-3)


@pytest.fixture(scope='module')
def old(linear_world: Dataset) -> TrainResult:
    return train(linear_world, TrainSettings(steps=400, hidden=32, batch=64, unroll=2), 'linear')


@pytest.fixture(scope='module')
def shifted(linear_world: Dataset) -> Dataset:
    """The same cart at half the force."""
    rng = np.random.default_rng(1)
    trajectories = []
    for episode in range(20):
        rows, actions = [np.array([rng.normal(), rng.normal()])], rng.uniform(-1, 1, (40, 1))
        for before, action in zip(np.vstack([[[0.0]], actions[:-1]]), actions, strict=True):
            x, v = rows[-1]
            force = 0.3 * before[0] + 0.7 * action[0]
            rows.append(np.array([x + 0.05 * v, 0.95 * v + 0.1 * force]))
        trajectories.append(Trajectory(np.stack(rows[:-1]), actions, np.zeros(1), episode))
    return replace(linear_world, trajectories=tuple(trajectories), sources=('half the force',))


def one_step(result: TrainResult, data: Dataset) -> float:
    found: float = evaluate(result.model, data.trajectories, 1)['one_step_rmse']
    return found


def test_it_learns_the_shift_and_keeps_its_normalisation(
        old: TrainResult, shifted: Dataset) -> None:
    new = continue_training(old.model, shifted, None, QUICK, {})
    assert one_step(new, shifted) < 0.5 * one_step(old, shifted)
    for name, tensor in old.model.tensors.items():
        if name.endswith(('_mean', '_scale')):
            assert torch.equal(tensor, new.model.tensors[name])


def test_the_replay_keeps_the_old_condition(
        old: TrainResult, linear_world: Dataset, shifted: Dataset) -> None:
    alone = continue_training(old.model, shifted, None, QUICK, {})
    mixed = continue_training(old.model, shifted, linear_world, QUICK, {})
    assert one_step(mixed, linear_world) < one_step(alone, linear_world)


def test_the_share_of_new_data_has_its_effect(
        old: TrainResult, linear_world: Dataset, shifted: Dataset) -> None:
    errors = [one_step(continue_training(
        old.model, shifted, linear_world, replace(QUICK, new_share=share), {}), shifted)
        for share in (0.1, 0.9)]
    assert errors[1] < errors[0]


def test_the_model_it_began_with_is_left_as_it_was(old: TrainResult, shifted: Dataset) -> None:
    kept = {n: t.clone() for n, t in old.model.tensors.items()}
    continue_training(old.model, shifted, None, replace(QUICK, steps=20), {})
    assert all(torch.equal(t, old.model.tensors[n]) for n, t in kept.items())


def test_equal_data_and_settings_give_equal_weights(
        old: TrainResult, linear_world: Dataset, shifted: Dataset) -> None:
    quick = replace(QUICK, steps=30)
    a, b = (continue_training(old.model, shifted, linear_world, quick, {}) for _ in range(2))
    assert all(torch.equal(t, b.model.tensors[n]) for n, t in a.model.tensors.items())


def test_where_it_came_from_is_in_the_checkpoint(old: TrainResult, shifted: Dataset) -> None:
    new = continue_training(old.model, shifted, None, replace(QUICK, steps=20),
                            {'parent_sha256': 'abc', 'mined_sha256': ['def']})
    made = new.model.spec.provenance
    assert (made['parent_sha256'], made['mined_sha256'], made['new_share']) == ('abc', ['def'], 1)
    assert made['trained_at_ns'] > old.model.spec.provenance['trained_at_ns']
    assert made['train_cpu_s'] > 0
    assert made['train_wall_s'] > 0
    assert made['sources'] == ['half the force']


@pytest.mark.parametrize(('change', 'words'), [
    pytest.param({'feature_names': ('a', 'b')}, 'features a, b', id='other-features'),
    pytest.param({'dt_s': 0.1}, 'a slot of 0.1 s', id='another-period'),
    pytest.param({'trajectories': ()}, '0 usable episodes', id='nothing'),
])
def test_data_that_do_not_fit_are_refused(
        old: TrainResult, shifted: Dataset, change: dict[str, Any], words: str) -> None:
    with pytest.raises(BagError, match=words):
        continue_training(old.model, replace(shifted, **change), None, QUICK, {})


def test_windows_too_short_to_imagine_in_are_refused(old: TrainResult, shifted: Dataset) -> None:
    short = tuple(replace(t, features=t.features[:2], actions=t.actions[:2])
                  for t in shifted.trajectories)
    with pytest.raises(BagError, match='new data: no 3 consecutive slots'):
        continue_training(old.model, replace(shifted, trajectories=short), None, QUICK, {})
