"""One training run: repeats itself whatever was drawn before; what learnt nothing is no model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.training.fit import Fit
from wm_eval_ros.training.settings import FAMILIES, TrainSettings
from wm_eval_ros.training.trainer import finite_windows, split, train
from wm_eval_ros.training.trajectory import Dataset

TINY = TrainSettings(steps=4, hidden=8, batch=8, unroll=2, context=2, members=2)


@pytest.mark.parametrize(('family', 'dropout'), [
    *((family, 0.0) for family in FAMILIES), pytest.param('mlp', 0.5, id='dropout')])
def test_the_weights_are_those_of_the_seed_whatever_was_drawn_before(
    family: str, dropout: float, linear_world: Dataset,
) -> None:
    settings, found = replace(TINY, family=family, dropout=dropout), []
    for before in (1, 2):
        torch.manual_seed(before)
        found.append(train(linear_world, settings, 'cart').model.tensors)
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


def test_a_fit_leaves_the_global_generator_as_it_was(linear_world: Dataset) -> None:
    windows = finite_windows(linear_world.trajectories, TINY.window)
    before = torch.get_rng_state()
    Fit(linear_world, windows, windows, replace(TINY, family='mlp', dropout=0.5)).run(
        lambda done, total, words: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_drops_other_units(linear_world: Dataset) -> None:
    a, b = (train(linear_world, replace(TINY, family='mlp', dropout=0.5, seed=seed), 'cart')
            for seed in (0, 1))
    assert any(not torch.equal(t, b.model.tensors[n]) for n, t in a.model.tensors.items())


def test_nine_steps_are_trained_as_any_other_number(linear_world: Dataset) -> None:
    assert train(linear_world, replace(TINY, steps=9), 'cart').steps == 9


@pytest.mark.parametrize('family', ['ensemble', 'mlp'])
def test_where_no_validation_was_finite_there_is_no_model(
    family: str, linear_world: Dataset,
) -> None:
    episodes = {t.episode for t in split(linear_world, TINY.val_share, TINY.seed)[1]}
    # finite as they are, but not their squares in single precision
    wild = replace(linear_world, trajectories=tuple(
        replace(t, features=1e30 * t.features) if t.episode in episodes else t
        for t in linear_world.trajectories))
    with pytest.raises(ConfigError, match=rf'^{family}: no validation was finite in 4 steps'):
        train(wild, replace(TINY, family=family), 'wild')
