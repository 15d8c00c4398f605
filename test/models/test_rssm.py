"""The recurrent state space model: what its latent holds, and how far an observation moves it."""

from __future__ import annotations

from dataclasses import replace
import math

import pytest
import torch

from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.protocol import KnowsDivergence, KnowsSpread, WorldModelSpec
from wm_eval_ros.models.rssm import gaussian_kl, RssmArchitecture, RssmModel, RssmNetwork

SIZES = {'features': 3, 'actions': 2, 'hidden': 8, 'layers': 2, 'activation': 'silu',
         'deterministic': 6, 'stochastic': 4}


@pytest.fixture
def model(spec: WorldModelSpec) -> RssmModel:
    torch.manual_seed(0)
    net = RssmNetwork(RssmArchitecture(**SIZES))
    net.feature_scale.copy_(torch.tensor([2.0, 0.5, 4.0]))
    net.delta_scale.copy_(torch.tensor([0.2, 0.1, 0.4]))
    return RssmModel(replace(spec, family='rssm', architecture=dict(SIZES)), net.state_dict())


def test_it_keeps_the_protocol(model: RssmModel) -> None:
    assert check_world_model(model) == []
    assert isinstance(model, KnowsDivergence)
    assert isinstance(model, KnowsSpread)
    assert {n: tuple(t.shape) for n, t in model.tensors.items()} == model.tensor_shapes(model.spec)


@pytest.mark.parametrize(('mean_q', 'std_q', 'mean_p', 'std_p', 'want'), [
    pytest.param(0.0, 1.0, 0.0, 1.0, 0.0, id='the-same'),
    pytest.param(3.0, 2.0, 1.0, 2.0, 0.5, id='one-deviation-away'),
    # ln 2 + (1/4 - 1) / 2 and -ln 2 + (4 - 1) / 2
    pytest.param(0.0, 0.5, 0.0, 1.0, math.log(2) - 0.375, id='half-as-wide'),
    pytest.param(0.0, 1.0, 0.0, 0.5, 1.5 - math.log(2), id='twice-as-wide'),
])
def test_the_divergence_of_gaussians_is_as_worked_out_by_hand(
    mean_q: float, std_q: float, mean_p: float, std_p: float, want: float,
) -> None:
    numbers = (torch.tensor([v]) for v in (mean_q, math.log(std_q), mean_p, math.log(std_p)))
    assert float(gaussian_kl(*numbers)) == pytest.approx(want, abs=1e-6)


def test_the_latent_is_features_command_and_state(model: RssmModel) -> None:
    obs, command = torch.tensor([[4.0, 0.5, -4.0]]), torch.tensor([[0.25, -0.5]])
    z = model.encode(obs, None, command, torch.tensor([False]))
    assert z[0, :5].tolist() == [2.0, 1.0, -1.0, 0.25, -0.5]
    assert z.shape[1] == len(model.latent_names) == 3 + 2 + 6 + 2 * 4
    assert z[0, 5:11].tolist() == [0.0] * 6, 'nothing is remembered at the start'
    assert bool(((z[0, -4:] > -5.0) & (z[0, -4:] < 1.0)).all()), 'logarithmic deviations'


def test_only_what_was_not_foreseen_is_surprising(model: RssmModel) -> None:
    z = model.encode(torch.zeros(2, 3))
    command = torch.tensor([[0.5, 0.5], [-0.5, 0.1]])
    foreseen = model.predict(z, command[:, None])[:, 0]
    assert model.divergence(z, command, foreseen).tolist() == [0.0, 0.0]
    seen = model.encode(torch.ones(2, 3), z, command)
    _, mean_q, log_q = model.net.parts(seen[:, 5:])
    _, mean_p, log_p = model.net.parts(foreseen[:, 5:])
    want = gaussian_kl(mean_q, log_q, mean_p, log_p)
    assert torch.allclose(model.divergence(z, command, seen), want)
    assert bool((want > 0).all())


def test_an_episode_begins_anew_row_by_row(model: RssmModel) -> None:
    obs = torch.tensor([[1.0, 0.2, 3.0]]).repeat(2, 1)
    z = model.encode(obs, None, torch.ones(2, 2))
    again = model.encode(obs, z, torch.ones(2, 2), torch.tensor([True, False]))
    assert torch.allclose(again[0], model.encode(obs)[0])
    assert not torch.allclose(again[1], again[0])


def test_what_is_imagined_begins_at_what_was_observed(model: RssmModel) -> None:
    command, far = torch.zeros(1, 1, 2), torch.tensor([[20.0, -3.0, 8.0]])
    z = model.encode(far)
    moved = model.decode(model.predict(z, command))[0, 0] - far[0]
    read = model.net.read(model.net.parted(model.predict(z, command))[1])[0, 0]
    start = model.net.read(model.net.parted(z)[1])[0]
    assert torch.allclose(moved, (read - start) * model.net.feature_scale, atol=1e-5)


def test_the_spread_is_of_features_and_grows(model: RssmModel) -> None:
    z = model.encode(torch.zeros(1, 3))
    spread = model.spread(z, torch.zeros(1, 4, 2))
    assert spread.shape == (1, 4, z.shape[1])
    assert bool((spread[0, 1:, :3] > spread[0, :-1, :3]).all())
    assert float(spread[..., 3:].abs().max()) == 0.0
