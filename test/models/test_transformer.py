"""The causal transformer: one masked pass is the recurrence; it sees its memory, no step more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.network import StepNetwork
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.models.transformer import (
    TransformerArchitecture,
    TransformerModel,
    TransformerNetwork,
)

SIZES = {'features': 3, 'actions': 2, 'hidden': 16, 'layers': 2, 'activation': 'silu',
         'memory': 5, 'heads': 4}


def network(**changes: int) -> TransformerNetwork:
    torch.manual_seed(0)
    net = TransformerNetwork(TransformerArchitecture(**{**SIZES, **changes}))
    for name, weights in net.named_parameters():
        if name.endswith('.bias') and weights.ndim == 2:
            torch.nn.init.normal_(weights)
    return net.requires_grad_(False)


def made(spec: WorldModelSpec, **changes: int) -> TransformerModel:
    return TransformerModel(replace(spec, architecture={**SIZES, **changes}),
                            network(**changes).state_dict())


def record(steps: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(steps)
    return (torch.randn(batch, steps, 3, generator=rng), torch.rand(batch, 2, generator=rng),
            torch.rand(batch, steps, 2, generator=rng) * 2 - 1)


@pytest.mark.parametrize(('memory', 'layers', 'reach'), [
    (8, 2, [4, 4]), (7, 3, [3, 2, 2]), (1, 3, [1, 0, 0])])
def test_the_layers_share_the_memory(memory: int, layers: int, reach: list[int]) -> None:
    assert TransformerArchitecture(3, 2, memory=memory, layers=layers).reach == reach


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(1, 24), memory=st.integers(1, 9), layers=st.integers(1, 3),
       heads=st.integers(1, 5))
def test_one_masked_pass_is_the_steps_one_by_one(steps: int, memory: int, layers: int,
                                                 heads: int) -> None:
    net = network(memory=memory, layers=layers, heads=heads)
    change, carry = net.teach(*record(steps))
    want, after = StepNetwork.teach(net, *record(steps))
    assert torch.allclose(change, want, atol=1e-5)
    assert torch.equal(carry, after)


@settings(max_examples=30, deadline=None)
@given(seen=st.integers(0, 6), memory=st.integers(1, 6), layers=st.integers(1, 3))
def test_imagining_goes_on_from_the_carry_as_step_by_step(seen: int, memory: int,
                                                          layers: int) -> None:
    net = network(memory=memory, layers=layers)
    x, before, actions = record(9)
    carry = net.teach(x[:, :seen], before, actions[:, :seen])[1] if seen else torch.zeros(
        2, net.carry)
    z = torch.cat([x[:, seen], before, carry], -1)
    found = net.rolled(z, actions)
    assert torch.allclose(found, StepNetwork.rolled(net, z, actions), atol=1e-4)
    alike = net.rolled(z[:1].expand(2, -1), actions)
    assert torch.allclose(alike[0], found[0], atol=1e-4)
    assert torch.allclose(alike[1], net.rolled(z[:1], actions[1:])[0], atol=1e-4)


def test_the_carry_is_the_last_tokens_and_their_number() -> None:
    net = network(memory=2)
    x, before, actions = record(1)
    _, carry = net.teach(x, before, actions)
    token = torch.cat([x[:, 0], before, actions[:, 0]], -1)
    assert torch.equal(carry, torch.cat([torch.zeros(2, 7), token, torch.ones(2, 1)], -1))


@pytest.mark.parametrize('layers', [1, 2])
def test_it_sees_as_far_as_its_memory_and_no_step_farther(spec: WorldModelSpec,
                                                          layers: int) -> None:
    model = made(spec, memory=4, layers=layers)

    def foreseen(since: int) -> torch.Tensor:
        """Return what is foreseen so many slots after one that stands out."""
        z = model.encode(torch.zeros(1, 3))
        z = model.encode(torch.full((1, 3), 3.0), z, torch.zeros(1, 2))
        for _ in range(since):
            z = model.encode(torch.zeros(1, 3), z, torch.zeros(1, 2))
        return model.predict(z, torch.zeros(1, 1, 2))[..., :3]

    assert not torch.allclose(foreseen(4), foreseen(9), atol=1e-5)
    assert torch.equal(foreseen(5), foreseen(9))


def test_a_place_not_yet_filled_is_not_seen(spec: WorldModelSpec) -> None:
    """Zeros are what a token of an episode's first steps could be as well."""
    model = made(spec)
    z = model.encode(torch.ones(1, 3))
    full = z.clone()
    full[:, -1] = 5
    one, other = (model.predict(start, torch.ones(1, 1, 2))[..., :3] for start in (z, full))
    assert not torch.allclose(one, other, atol=1e-5)


def test_it_keeps_the_protocol_and_its_shapes(spec: WorldModelSpec) -> None:
    model = made(spec)
    assert check_world_model(model) == []
    assert TransformerModel.tensor_shapes(model.spec) == {
        n: tuple(t.shape) for n, t in model.tensors.items()}
    assert len(model.latent_names) == 3 + 2 + 5 * (3 + 2 + 2) + 1


@pytest.mark.parametrize(('changes', 'what'), [
    ({'heads': 65}, 'heads is 65; give a whole number from 1 to 64'),
    ({'memory': 1025}, 'memory is 1025; give a whole number from 1 to 1024'),
    ({'memory': 1000, 'features': 60000}, 'memory is 1000 steps of 60004 numbers; at most 262144'),
])
def test_odd_sizes_are_refused_before_anything_is_made(
    spec: WorldModelSpec, changes: dict[str, int], what: str,
) -> None:
    with pytest.raises(CheckpointError, match=what):
        TransformerModel.tensor_shapes(replace(spec, architecture={**SIZES, **changes}), 'here')
