"""The selective state space: its scan is the recurrence, its states stay bounded and select."""

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
from wm_eval_ros.models.ssm import (
    LEAST,
    scan,
    SelectiveBlock,
    SsmArchitecture,
    SsmModel,
    SsmNetwork,
)

SIZES = {'features': 3, 'actions': 2, 'hidden': 16, 'layers': 2, 'activation': 'silu', 'states': 5}


def network(**changes: int) -> SsmNetwork:
    torch.manual_seed(0)
    return SsmNetwork(SsmArchitecture(**{**SIZES, **changes})).requires_grad_(False)


def made(spec: WorldModelSpec) -> SsmModel:
    return SsmModel(replace(spec, architecture=dict(SIZES)), network().state_dict())


def record(steps: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(steps)
    return (torch.randn(batch, steps, 3, generator=rng), torch.rand(batch, 2, generator=rng),
            torch.rand(batch, steps, 2, generator=rng) * 2 - 1)


def test_a_scan_worked_out_by_hand() -> None:
    decay = torch.tensor([0.5, 0.5, 0.0, 1.0]).reshape(1, 4, 1)
    drive = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    # 0.5 * 8 + 1, 0.5 * 5 + 2, 0 * 4.5 + 3, 1 * 3 + 4
    assert scan(decay, drive, torch.tensor([[8.0]])).flatten().tolist() == [5.0, 4.5, 3.0, 7.0]


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(1, 70), seed=st.integers(0, 2**31))
def test_the_scan_is_the_recurrence(steps: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    decay = torch.rand(2, steps, 3, generator=rng)
    drive, h = torch.randn(2, steps, 3, generator=rng), torch.randn(2, 3, generator=rng)
    found = scan(decay, drive, h)
    for t in range(steps):
        h = decay[:, t] * h + drive[:, t]
        assert torch.allclose(found[:, t], h, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(1, 40), layers=st.integers(1, 3))
def test_all_steps_side_by_side_are_the_steps_one_by_one(steps: int, layers: int) -> None:
    net = network(layers=layers)
    change, carry = net.teach(*record(steps))
    want, after = StepNetwork.teach(net, *record(steps))
    assert torch.allclose(change, want, atol=1e-5)
    assert torch.allclose(carry, after, atol=1e-5)
    assert carry.shape == (2, 5 * layers)


def test_gradients_go_through_the_scan_as_through_the_recurrence() -> None:
    found = []
    for teach in (SsmNetwork.teach, StepNetwork.teach):
        net = network().requires_grad_()
        teach(net, *record(17))[0].square().sum().backward()
        found.append([p.grad for p in net.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 1e6))
def test_states_never_leave_their_bound_and_always_forget(scale: float) -> None:
    torch.manual_seed(1)
    block = SelectiveBlock(8, 4).requires_grad_(False)
    block.enter.weight *= scale
    one, other = torch.ones(1, 4), -torch.ones(1, 4)
    for step in torch.randn(100, 1, 1, 8):
        gap = one - other
        one, other = block(step, one)[1], block(step, other)[1]
        assert bool((one.abs() <= 1).all() and (other.abs() <= 1).all())
        # the same inputs from two starts: what is left of them shrinks, even at a closed step
        assert bool((one - other <= gap * (1 - LEAST / 2) + 2e-7).all())


def test_a_small_step_holds_a_state_and_a_large_one_overwrites_it() -> None:
    block = SelectiveBlock(4, 2).requires_grad_(False)
    block.enter.weight.zero_()
    block.log_rate.zero_()
    # step, value, gate of two states; softplus(-20) is about 2e-9, softplus(20) 20
    block.enter.bias.copy_(torch.tensor([-20.0, 20.0, 9.0, 9.0, 0.0, 0.0]))
    _, after = block(torch.zeros(1, 10, 4), torch.tensor([[0.3, 0.3]]))
    assert after[0].tolist() == pytest.approx([0.3, 1.0], abs=1e-4)


def test_what_was_seen_long_ago_changes_what_is_foreseen(spec: WorldModelSpec) -> None:
    model = made(spec)
    found = []
    for cue in (-1.0, 1.0):
        z = model.encode(torch.full((1, 3), cue))
        for _ in range(20):
            z = model.encode(torch.zeros(1, 3), z, torch.zeros(1, 2))
        found.append(model.predict(z, torch.zeros(1, 1, 2)))
    assert not torch.allclose(found[0][..., :3], found[1][..., :3], atol=1e-5)


def test_it_keeps_the_protocol_and_its_shapes(spec: WorldModelSpec) -> None:
    model = made(spec)
    assert check_world_model(model) == []
    assert SsmModel.tensor_shapes(model.spec) == {
        n: tuple(t.shape) for n, t in model.tensors.items()}
    assert len(model.latent_names) == 3 + 2 + 2 * 5


def test_too_many_states_are_refused(spec: WorldModelSpec) -> None:
    with pytest.raises(CheckpointError, match=r'states is 5000; give a whole number from 1 to'):
        SsmModel.tensor_shapes(replace(spec, architecture={**SIZES, 'states': 5000}), 'here')
