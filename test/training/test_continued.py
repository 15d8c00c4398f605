"""Training that goes on: what it keeps, what it mixes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
import math
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.training.card import card
from wm_eval_ros.training.continued import continue_training, ContinueSettings
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.fit import Fit
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


@pytest.mark.parametrize('family', ['ensemble', 'mlp', 'rssm'])
def test_a_training_that_makes_nothing_better_keeps_what_it_began_with_and_says_so(
        family: str, linear_world: Dataset) -> None:
    good = train(linear_world, TrainSettings(
        family=family, steps=200, hidden=16, batch=32, unroll=2, members=2, context=2,
        deterministic=8, stochastic=4), 'linear')
    told: list[str] = []
    kept = continue_training(good.model, linear_world, None, ContinueSettings(
        steps=4, learning_rate=1.0), {}, lambda done, total, words: told.append(words))
    assert not kept.improved
    assert kept.model.tensors.keys() == good.model.tensors.keys()
    assert all(torch.equal(t, kept.model.tensors[n]) for n, t in good.model.tensors.items())
    made = kept.model.spec.provenance
    assert made['improved'] is False
    assert made['validation_before'] <= made['validation_lowest']
    assert told[-1].endswith(f'best {made["validation_before"]:.4f} before it began')
    text = card(kept.model.spec, kept, 'wm-eval retrain')
    assert 'NOT IMPROVED' in text
    assert f'theirs is {made["validation_before"]:.4g}' in text


def test_one_that_does_better_says_no_such_thing(old: TrainResult, shifted: Dataset) -> None:
    new = continue_training(old.model, shifted, None, QUICK, {})
    made = new.model.spec.provenance
    assert new.improved
    assert made['improved'] is True
    assert made['validation_lowest'] < made['validation_before']
    assert 'NOT IMPROVED' not in card(new.model.spec, new, 'wm-eval retrain')


def test_where_nothing_since_was_finite_that_is_an_error_though_it_began_well(
        old: TrainResult, shifted: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [0.5]
    monkeypatch.setattr(Fit, '_validate', lambda self: found.pop() if found else math.nan)
    with pytest.raises(ConfigError, match='no validation was finite in 4 steps'):
        continue_training(old.model, shifted, None, replace(QUICK, steps=4), {})


def test_it_stops_for_want_of_gain_over_what_came_since_not_over_what_it_began_with(
        old: TrainResult, shifted: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [1.0, 9.0, 8.0, 7.0, 6.0]
    monkeypatch.setattr(Fit, '_validate', lambda self: found.pop(0))
    result = continue_training(old.model, shifted, None, replace(QUICK, steps=4, patience=2), {})
    assert (result.steps, found, result.improved) == (4, [], False)
