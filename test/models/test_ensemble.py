"""The ensemble: protocol, latent layout, and the fused rollout against a plain one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import parse_architecture
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleModel, EnsembleNet


def test_keeps_the_protocol(model: EnsembleModel) -> None:
    assert check_world_model(model) == []


def test_a_latent_is_standardised_features_and_the_command_in_force(model: EnsembleModel) -> None:
    z = model.encode(torch.tensor([[0.8, 0.4, -2.0]]), None, torch.tensor([[0.5, -0.5]]))
    assert torch.allclose(z, torch.tensor([[1.0, 1.0, -1.0, 0.5, -0.5]]))
    assert torch.allclose(model.decode(z), torch.tensor([[0.8, 0.4, -2.0]]))
    assert torch.allclose(z[0] * model.latent_scale + model.latent_mean,
                          torch.tensor([0.8, 0.4, -2.0, 0.5, -0.5]))
    assert model.latent_names[-1] == 'command.effort[wrist]'
    assert len(model.latent_names) == 5


def test_an_episode_begins_with_a_command_of_zero_in_its_own_units(model: EnsembleModel) -> None:
    obs, before = torch.zeros(2, 3), torch.ones(2, 2)
    z = model.encode(obs, None, before, torch.tensor([True, False]))
    # limits -2..4 and 0..1: zero is a third of the way up, and the lower limit
    assert torch.allclose(z[0, 3:], torch.tensor([-1 / 3, -1.0]))
    assert torch.equal(z[1, 3:], torch.ones(2))
    assert torch.allclose(model.encode(obs)[0, 3:], torch.tensor([-1 / 3, -1.0]))


def plain_rollout(model: EnsembleModel, z: torch.Tensor, actions: torch.Tensor) -> tuple[Any, Any]:
    """Step by step, member by member, as the text describes it."""
    t, f = model.tensors, model.arch.features
    x, before, latents, spreads = z[:, :f], z[:, f:], [], []
    for h in range(actions.shape[1]):
        inputs = torch.cat([x, before, actions[:, h]], -1)
        mean, _ = model.net.head(inputs.expand(model.arch.members, *inputs.shape).clone())
        change = (mean * t['delta_scale'] + t['delta_mean']) / t['feature_scale']
        spreads.append(change.std(0, correction=0).mean(-1))
        x, before = x + change.mean(0), actions[:, h]
        latents.append(torch.cat([x, before], -1))
    return torch.stack(latents, 1), torch.stack(spreads, 1)


@pytest.mark.parametrize('activation', ['silu', 'relu'])
def test_the_fused_rollout_equals_the_plain_one(spec: Any, model: Any, activation: str) -> None:
    arch = {**spec.architecture, 'activation': activation}
    spec = type(spec)(**{**vars(spec), 'architecture': arch})
    model = EnsembleModel(spec, model.tensors)
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(6, 5, generator=rng)
    actions = torch.rand(6, 9, 2, generator=rng) * 2 - 1
    latents, spread = plain_rollout(model, z, actions)
    assert torch.allclose(model.predict(z, actions), latents, atol=1e-5)
    assert torch.allclose(model.imagine(z, actions)[0], latents, atol=1e-5)
    assert torch.allclose(model.uncertainty(z, actions), spread, atol=1e-5)
    assert torch.allclose(model.predict(z[:1], actions), plain_rollout(
        model, z[:1].expand(6, -1), actions)[0], atol=1e-5)


def test_what_is_not_finite_stays_in_its_row(model: EnsembleModel) -> None:
    z, actions = torch.zeros(4, 5), torch.zeros(4, 6, 2)
    clean = model.predict(z, actions)
    z[2, 0] = torch.nan
    out = model.predict(z, actions)
    assert not bool(torch.isfinite(out[2, :, :3]).any())
    kept = [0, 1, 3]
    assert torch.equal(out[kept], clean[kept])


def test_log_variance_stays_within_its_bounds(model: EnsembleModel) -> None:
    _, logvar = model.net.head(1e4 * torch.randn(3, 50, 7))
    low, high = model.tensors['min_logvar'], model.tensors['max_logvar']
    assert bool((logvar >= low - 1e-4).all() and (logvar <= high + 1e-2).all())


@pytest.mark.parametrize(('changes', 'match'), [
    ({'members': 0}, 'members is 0'), ({'hidden': 10**9}, 'hidden'), ({'layers': 2.0}, 'layers'),
    ({'activation': 'tanh'}, 'silu, relu'), ({'depth': 3}, 'depth'),
    ({'members': True}, 'members'),
])
def test_an_architecture_out_of_bounds_is_refused(
    spec: Any, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(CheckpointError, match=match):
        parse_architecture(EnsembleArchitecture, {**spec.architecture, **changes}, 'here')


class Broken(EnsembleModel):
    """An ensemble with one promise broken."""

    how = ''

    def predict(self, z, actions, *, generator=None):  # type: ignore[no-untyped-def]
        if self.how == 'blind':
            actions = actions * 0
        out = super().predict(z, actions)
        if self.how == 'batch':
            out = out + out.mean(0)
        if self.how == 'noise':
            out = out + 0.1 * torch.randn(out.shape)
        if self.how == 'short':
            out = out[:, 1:]
        if self.how == 'clairvoyant':
            out = out + actions.sum((1, 2), keepdim=True)
        return out * torch.nan if self.how == 'nan' else out


@pytest.mark.parametrize(('how', 'match'), [
    ('blind', 'does not depend on the actions'), ('batch', 'other rows'), ('noise', 'two answers'),
    ('short', 'returns shape'), ('clairvoyant', 'actions after it'), ('nan', 'not finite'),
])
def test_the_checker_finds_a_broken_promise(model: EnsembleModel, how: str, match: str) -> None:
    broken = Broken(model.spec, model.tensors)
    broken.how = how
    assert any(match in found for found in check_world_model(broken))


def test_the_gradient_is_that_of_finite_differences(spec: Any) -> None:
    arch = parse_architecture(EnsembleArchitecture, spec.architecture, '')
    rng = torch.Generator().manual_seed(2)
    tensors = {n: t.double() for n, t in EnsembleNet.initial(arch, rng).items()}
    x = torch.randn(3, 4, 7, generator=rng, dtype=torch.float64)

    def loss(weight: torch.Tensor) -> torch.Tensor:
        mean, logvar = EnsembleNet(arch, {**tensors, 'weight0': weight}).head(x)
        return mean.sum() + logvar.sum()
    assert torch.autograd.gradcheck(loss, tensors['weight0'].requires_grad_())


def test_the_spread_is_the_members_disagreement_and_their_noise(model: Any) -> None:
    # all members alike and no dynamics: every step adds the same noise, nobody disagrees
    for weights in model.net.weights:
        weights.zero_()
    for name in ('min_logvar', 'max_logvar'):
        model.tensors[name].fill_(math.log(0.25))
    spread = model.spread(torch.zeros(2, 5), torch.zeros(2, 4, 2))
    noise = 0.5 * model.tensors['delta_scale'] / model.tensors['feature_scale']
    steps = torch.arange(1, 5).sqrt()
    # the soft bounds meet at log 2 above and below: the noise is what they leave
    assert torch.allclose(spread[0, :, :3] / spread[0, :1, :3], steps[:, None].expand(4, 3))
    assert torch.all(spread[..., 3:] == 0)
    assert torch.all((spread[0, 0, :3] / noise - spread[0, 0, 0] / noise[0]).abs() < 1e-5)


def test_members_that_differ_by_a_constant_spread_linearly(model: Any) -> None:
    for weights in model.net.weights:
        weights.zero_()
    for name in ('min_logvar', 'max_logvar'):
        model.tensors[name].fill_(-60.0)
    model.net.biases[-1][:, 0, 0] = torch.tensor([-1.0, 0.0, 1.0])
    spread = model.spread(torch.zeros(1, 5), torch.zeros(1, 3, 2))[0, :, 0]
    unit = float(model.tensors['delta_scale'][0] / model.tensors['feature_scale'][0])
    # members at -h, 0, h: standard deviation h sqrt(2/3)
    assert torch.allclose(spread, unit * math.sqrt(2 / 3) * torch.arange(1.0, 4.0))


def test_the_operations_of_a_step_are_those_of_its_products(model: Any) -> None:
    # 3 members: 7 x 8, 8 x 8, and the means' half of the head, 8 x 3; each a product and a sum
    assert model.flops_per_step == 2 * 3 * (7 * 8 + 8 * 8 + 8 * 3)
