"""Monte Carlo dropout of the mlp: one mask a rollout, the same masks for every rollout."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.mlp import DropoutMlpModel, MlpArchitecture, MlpModel, MlpNetwork
from wm_eval_ros.models.protocol import KnowsSpread, KnowsUncertainty, WorldModelSpec

SIZES: dict[str, Any] = {'features': 3, 'actions': 2, 'hidden': 16, 'layers': 2,
                         'activation': 'silu'}


def made(spec: WorldModelSpec, dropout: float, masks: int = 8) -> MlpModel:
    sizes = {**SIZES, 'dropout': dropout, 'masks': masks}
    torch.manual_seed(0)
    tensors = MlpNetwork(MlpArchitecture(**sizes)).state_dict()
    return MlpModel(replace(spec, family='mlp', architecture=sizes), tensors)


@pytest.fixture
def rollouts() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    return torch.randn(6, 5, generator=rng), torch.rand(6, 7, 2, generator=rng) * 2 - 1


def test_without_dropout_it_claims_to_know_no_uncertainty(spec: WorldModelSpec) -> None:
    model = made(spec, 0.0)
    assert type(model) is MlpModel
    assert not isinstance(model, KnowsUncertainty)
    assert not isinstance(model, KnowsSpread)


def test_with_dropout_it_does_and_keeps_the_protocol(spec: WorldModelSpec) -> None:
    model = made(spec, 0.2)
    assert isinstance(model, KnowsUncertainty)
    assert isinstance(model, KnowsSpread)
    assert check_world_model(model) == []


def test_a_copy_knows_what_its_model_knew(spec: WorldModelSpec) -> None:
    assert type(copy.deepcopy(made(spec, 0.2))) is DropoutMlpModel
    assert type(copy.deepcopy(made(spec, 0.0))) is MlpModel


def test_the_rollout_is_that_of_the_mean_network(
    spec: WorldModelSpec, rollouts: tuple[torch.Tensor, torch.Tensor],
) -> None:
    model = made(spec, 0.3)
    z, actions = rollouts
    plain = MlpNetwork(MlpArchitecture(**SIZES))
    names = [n for n in model.tensors if n.startswith('body')]
    weights = dict(zip((n for n in plain.state_dict() if n.startswith('body')),
                       (model.tensors[n] for n in names), strict=True))
    plain.load_state_dict({**plain.state_dict(), **weights})
    other = MlpModel(replace(model.spec, architecture=dict(SIZES)), plain.state_dict())
    assert torch.equal(model.predict(z, actions), other.predict(z, actions))


def test_a_mask_is_held_over_all_steps_of_a_rollout(
    spec: WorldModelSpec, rollouts: tuple[torch.Tensor, torch.Tensor],
) -> None:
    model = made(spec, 0.5, masks=4)
    assert isinstance(model, DropoutMlpModel)
    z, actions = rollouts
    by_hand = []
    first, second, last = (m for m in model.net.body if isinstance(m, torch.nn.Linear))
    for k in range(4):
        x, found = z, []
        for h in range(7):
            hidden = torch.nn.functional.silu(first(torch.cat([x, actions[:, h]], -1)))
            hidden = torch.nn.functional.silu(second(hidden * model._masks[0][k]))
            change = last(hidden * model._masks[1][k])
            x = torch.cat([x[:, :3] + change, actions[:, h]], -1)
            found.append(x[:, :3])
        by_hand.append(torch.stack(found, 1))
    want = torch.stack(by_hand)
    assert torch.allclose(model.uncertainty(z, actions),
                          want.std(0, correction=0).mean(-1), atol=1e-6)
    off = (want - model.predict(z, actions)[..., :3]).square().mean(0).sqrt()
    assert torch.allclose(model.spread(z, actions)[..., :3], off, atol=1e-6)
    assert not model.spread(z, actions)[..., 3:].any()


def test_what_is_imagined_beside_it_does_not_change_an_uncertainty(
    spec: WorldModelSpec, rollouts: tuple[torch.Tensor, torch.Tensor],
) -> None:
    model = made(spec, 0.2)
    assert isinstance(model, DropoutMlpModel)
    z, actions = rollouts
    whole = model.uncertainty(z, actions)
    assert torch.equal(whole, model.uncertainty(z, actions))
    assert torch.allclose(model.uncertainty(z[2:3], actions[2:3]), whole[2:3], atol=1e-6)
    again = MlpModel(model.spec, model.tensors)
    assert isinstance(again, DropoutMlpModel)
    assert torch.equal(whole, again.uncertainty(z, actions))
    rollout, spread = model.imagine(z, actions)
    assert torch.equal(spread, whole)
    assert torch.equal(rollout, model.predict(z, actions))


@pytest.mark.parametrize('masks', [4, 32])
def test_the_number_of_masks_has_an_effect(
    spec: WorldModelSpec, rollouts: tuple[torch.Tensor, torch.Tensor], masks: int,
) -> None:
    model, other = made(spec, 0.2), made(spec, 0.2, masks)
    assert isinstance(model, DropoutMlpModel)
    assert isinstance(other, DropoutMlpModel)
    assert not torch.equal(model.uncertainty(*rollouts), other.uncertainty(*rollouts))
