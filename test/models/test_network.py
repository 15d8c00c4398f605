"""Families of one module: latent layout, carry, and what a checkpoint of them may hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.mlp import MlpModel
from wm_eval_ros.models.network import NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent, WorldModelSpec

SIZES = {'features': 3, 'actions': 2, 'hidden': 8, 'layers': 2, 'activation': 'silu'}


class SummingNetwork(StepNetwork):
    """Remembers the sum of the commands; every feature changes by 1 a step."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(arch, carry=arch.actions)

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step."""
        return torch.ones(len(z), self.features), z[:, -self.carry:] + action


@dataclass(frozen=True)
class _Sizes(Architecture):
    pass


class SummingModel(NetworkModel):
    """Of the family made up here."""

    network = SummingNetwork
    architecture = _Sizes


def made(kind: type[NetworkModel], spec: WorldModelSpec) -> NetworkModel:
    spec = replace(spec, architecture=dict(SIZES))
    torch.manual_seed(0)
    return kind(spec, kind.network(kind.architecture(**SIZES)).state_dict())


def test_the_mlp_keeps_the_protocol(spec: WorldModelSpec) -> None:
    assert check_world_model(made(MlpModel, spec)) == []


def test_its_shapes_are_those_of_its_tensors(spec: WorldModelSpec) -> None:
    model = made(MlpModel, spec)
    shapes = MlpModel.tensor_shapes(model.spec)
    assert shapes == {n: tuple(t.shape) for n, t in model.tensors.items()}
    assert shapes['feature_scale'] == (3,)


@pytest.mark.parametrize(('changes', 'what'), [
    ({'hidden': 10**9}, 'hidden is 1000000000; give a whole number from 1 to 4096'),
    ({'dropout': 1.5}, 'dropout is 1.5; give a share from 0 to 0.9'),
    ({'activation': 'tanh'}, "activation is 'tanh'; known: silu, relu"),
    ({'width': 3}, 'architecture has keys'),
    ({'features': 4}, '4 features and 2 actions, the interface 3 and 2'),
])
def test_odd_sizes_are_refused_before_anything_is_made(
    spec: WorldModelSpec, changes: dict[str, object], what: str,
) -> None:
    with pytest.raises(CheckpointError, match=what):
        MlpModel.tensor_shapes(replace(spec, architecture={**SIZES, **changes}), 'here')


def test_what_is_remembered_goes_on_from_the_latent_before(spec: WorldModelSpec) -> None:
    model = made(SummingModel, spec)
    obs, command = torch.zeros(1, 3), torch.tensor([[0.25, -0.5]])
    first = model.encode(obs)
    assert first[0, -2:].tolist() == [0.0, 0.0]
    second = model.encode(obs, first, command)
    third = model.encode(obs, second, command)
    assert third[0, -2:].tolist() == [0.5, -1.0]
    again = model.encode(obs, third, command, torch.tensor([True]))
    assert torch.equal(again, first)
    assert model.latent_names[-2:] == ('memory[0]', 'memory[1]')
    assert len(model.latent_names) == len(model.latent_scale) == len(model.latent_mean) == 7


def test_imagining_and_being_shown_the_same_give_the_same_memory(spec: WorldModelSpec) -> None:
    model = made(SummingModel, spec)
    commands = torch.rand(1, 4, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    z = model.encode(torch.zeros(1, 3))
    imagined = model.predict(z, commands)
    for t in range(4):
        z = model.encode(model.decode(imagined[:, t]), z, commands[:, t])
        assert torch.allclose(z, imagined[:, t])
