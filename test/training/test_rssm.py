"""Training of the recurrent state space model: every setting has an effect, surprise is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.training.learners.families import make_learner
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import finite_windows, train
from wm_eval_ros.training.trajectory import Dataset

QUICK = TrainSettings(family='rssm', steps=250, hidden=16, batch=64, unroll=3, context=4,
                      deterministic=16, stochastic=4, learning_rate=1e-2)


def first_loss(data: Dataset, settings: TrainSettings) -> float:
    windows = finite_windows(data.trajectories, settings.window)
    generator = torch.Generator().manual_seed(0)
    learner = make_learner(settings, data, windows, generator)
    batch = tuple(v[None] for v in windows.gather(torch.arange(16)))
    return float(learner.loss(*batch, generator).detach())


def gradient(data: Dataset, settings: TrainSettings, part: str) -> torch.Tensor:
    windows = finite_windows(data.trajectories, settings.window)
    generator = torch.Generator().manual_seed(0)
    learner = make_learner(settings, data, windows, generator)
    batch = tuple(v[None] for v in windows.gather(torch.arange(16)))
    torch.autograd.backward(learner.loss(*batch, generator))
    found = [p.grad for p in getattr(learner._net, part).parameters()]  # type: ignore[attr-defined]
    return torch.cat([g.flatten() for g in found if g is not None])


@pytest.mark.parametrize('changes', [
    {'kl_weight': 3.0}, {'free_nats': 50.0}, {'deterministic': 8}, {'stochastic': 8},
    {'context': 6}, {'unroll': 2}])
def test_settings_change_the_loss(linear_world: Dataset, changes: dict[str, float]) -> None:
    quiet = replace(QUICK, free_nats=0.0)
    assert first_loss(linear_world, quiet) != first_loss(linear_world, replace(quiet, **changes))


def test_the_balance_moves_gradients_between_prior_and_posterior(linear_world: Dataset) -> None:
    even = replace(QUICK, free_nats=0.0, kl_balance=0.5)
    far = replace(even, kl_balance=1.0)
    assert first_loss(linear_world, even) == pytest.approx(first_loss(linear_world, far), rel=1e-5)
    assert not torch.allclose(gradient(linear_world, even, 'prior'),
                              gradient(linear_world, far, 'prior'))


def test_free_nats_cost_nothing(linear_world: Dataset) -> None:
    """So that with very many of them no gradient is left to prior and posterior by the KL."""
    free = replace(QUICK, free_nats=1000.0)
    assert torch.allclose(gradient(linear_world, free, 'posterior'),
                          gradient(linear_world, replace(free, kl_weight=7.0), 'posterior'))


def test_a_kick_is_more_surprising_than_any_ordinary_step(linear_world: Dataset) -> None:
    model = train(linear_world, QUICK, 'linear').model
    tracks = linear_world.trajectories[:10]
    features, actions = (torch.stack([torch.as_tensor(v, dtype=torch.float32) for v in values])
                         for values in ([t.features for t in tracks],
                                        [t.actions for t in tracks]))
    z, told = model.encode(features[:, 0]), []
    for t in range(1, 20):
        after = model.encode(features[:, t], z, actions[:, t - 1])
        told.append(model.divergence(z, actions[:, t - 1], after))  # type: ignore[attr-defined]
        z = after
    kick = features[:, 20] + torch.tensor([0.0, 3.0])
    kicked = model.divergence(  # type: ignore[attr-defined]
        z, actions[:, 19], model.encode(kick, z, actions[:, 19]))
    ordinary = torch.stack(told[2:])
    assert bool((ordinary >= 0).all())
    assert float(kicked.min()) > float(ordinary.max())
