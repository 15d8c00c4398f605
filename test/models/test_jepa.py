"""The joint-embedding predictive architecture: its codes, its goals, and its frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.encoders import ImageEncoder, PIXELS
from wm_eval_ros.models.jepa import JepaArchitecture, JepaModel, JepaNetwork
from wm_eval_ros.models.protocol import EncodesGoal, WorldModelSpec

SIZES = {'features': 3, 'actions': 2, 'hidden': 8, 'layers': 1, 'activation': 'silu',
         'latent': 5, 'inputs': 3, 'encoder': 'dense'}


def made(spec: WorldModelSpec, **changes: object) -> JepaModel:
    sizes = {**SIZES, **changes}
    torch.manual_seed(0)
    net = JepaNetwork(JepaArchitecture(**sizes))
    net.feature_scale.copy_(torch.tensor([2.0, 0.5, 4.0]))
    return JepaModel(replace(spec, family='jepa', architecture=sizes), net.state_dict())


def test_it_keeps_the_protocol(spec: WorldModelSpec) -> None:
    model = made(spec)
    assert check_world_model(model) == []
    assert {n: tuple(t.shape) for n, t in model.tensors.items()} == model.tensor_shapes(model.spec)


def test_the_state_is_the_code_and_the_one_before(spec: WorldModelSpec) -> None:
    model, command = made(spec), torch.zeros(1, 2)
    first = model.encode(torch.zeros(1, 3))
    assert torch.equal(first[:, 5:10], first[:, 10:]), 'at its start an episode stands still'
    second = model.encode(torch.ones(1, 3), first, command)
    assert torch.equal(second[:, 10:], first[:, 5:10])
    assert not torch.equal(second[:, 5:10], first[:, 5:10])
    imagined = model.predict(second, command[None])[:, 0]
    assert torch.equal(imagined[:, 10:], second[:, 5:10])


def test_a_goal_is_the_code_of_a_frame(spec: WorldModelSpec) -> None:
    model = made(spec)
    assert isinstance(model, EncodesGoal)
    frame = torch.tensor([[0.3, -1.0, 2.0]])
    before = model.encode(torch.zeros(1, 3))
    seen = model.encode(frame, before, torch.zeros(1, 2))
    assert torch.equal(model.code(seen), model.encode_goal(frame))
    assert model.code(model.predict(seen, torch.zeros(1, 4, 2))).shape == (1, 4, 5)


def test_features_that_are_not_seen_are_read_out(spec: WorldModelSpec) -> None:
    model = made(spec, inputs=1)
    z = model.encode(torch.tensor([[4.0]]))
    assert torch.equal(z[:, :3], model.net.read(z[:, 5:]))
    assert model.decode(z).shape == (1, 3)


def test_an_image_is_encoded_beside_what_else_is_seen(spec: WorldModelSpec) -> None:
    model = made(spec, encoder='cnn', inputs=1 + PIXELS)
    obs = torch.rand(2, 1 + PIXELS, generator=torch.Generator().manual_seed(0))
    z = model.encode(obs)
    assert z.shape == (2, 3 + 2 + 2 * 5)
    for column in (0, 1, PIXELS):
        changed = obs.clone()
        changed[:, column] += 5.0
        assert not torch.allclose(model.code(model.encode(changed)), model.code(z), atol=1e-6)
    assert model.predict(z, torch.zeros(2, 3, 2)).shape == (2, 3, 15)


def test_channels_come_last_in_a_flat_image() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(0, 4, 'silu')
    with torch.no_grad():
        # the first filter alone sees something: red, in the middle of its field
        for layer in encoder.convolutions:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.zero_()
                layer.bias.zero_()
        encoder.convolutions[0].weight[0, 0] = 1.0
        red = torch.zeros(64, 64, 3)
        red[10, 20, 0] = 1.0
        seen = encoder.convolutions[0](
            (red.reshape(1, 64, 64, 3)).permute(0, 3, 1, 2))[0, 0]
    assert {(int(r), int(c)) for r, c in seen.nonzero()} == {(4, 9), (4, 10), (5, 9), (5, 10)}


@pytest.mark.parametrize(('changes', 'what'), [
    ({'inputs': 4}, 'architecture.inputs is 4; of 3 features at most these are seen'),
    ({'encoder': 'cnn', 'inputs': PIXELS - 1}, 'architecture.inputs'),
    ({'encoder': 'resnet'}, "encoder is 'resnet'; known: dense, cnn"),
    ({'latent': 10**6}, 'latent is 1000000; give a whole number'),
])
def test_frames_that_cannot_be_are_refused(
    spec: WorldModelSpec, changes: dict[str, object], what: str,
) -> None:
    odd = replace(spec, architecture={**SIZES, **changes})
    with pytest.raises(CheckpointError, match=what):
        JepaModel.tensor_shapes(odd, 'here')
