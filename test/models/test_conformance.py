"""The checker finds each way in which a model with a memory can break its promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.ensemble import EnsembleModel
from wm_eval_ros.models.protocol import Latent, WorldModelSpec


class Remembering:
    """Features, their running sum; `how` it breaks a promise."""

    def __init__(self, spec: WorldModelSpec, how: str = '') -> None:
        self.spec, self.how = spec, how

    def encode(self, obs: torch.Tensor, prev: Latent | None = None,
               prev_action: torch.Tensor | None = None,
               is_first: torch.Tensor | None = None) -> Latent:
        """Add the features to what is remembered."""
        past = torch.zeros_like(obs) if prev is None else prev[:, 3:]
        if self.how == 'writes' and prev is not None:
            prev.add_(1.0)
        if self.how == 'mixes' and prev is not None:
            past = past.mean(0).expand(len(obs), -1)
        if is_first is not None and self.how != 'holds on':
            past = past.masked_fill(is_first[:, None], 0.0)
        if self.how == 'draws' and prev is not None:
            past = past + torch.rand_like(past)
        if self.how == 'breaks' and prev is not None:
            past = past * torch.nan
        return torch.cat([obs, 0.5 * past + obs], -1)

    def predict(self, z: Latent, actions: torch.Tensor, *,
                generator: torch.Generator | None = None) -> Latent:
        """Add the sum of the commands."""
        if self.how == 'own rows':
            z = z[:len(actions)]
            return z[:, None] + torch.zeros(len(z), actions.shape[1], 1) + (
                actions[:len(z)].cumsum(1).sum(-1, keepdim=True))
        return z[:, None] + actions.cumsum(1).sum(-1, keepdim=True)

    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return the size of the commands."""
        sizes = actions.abs().sum(-1)
        return -sizes if self.how == 'negative' else sizes + (
            sizes.mean() if self.how == 'joint' else 0.0)

    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return one for every entry."""
        width = 3 if self.how == 'narrow' else 6
        return torch.ones(*actions.shape[:2], width)

    def divergence(self, prev: Latent, prev_action: torch.Tensor, z: Latent) -> torch.Tensor:
        """Return how far the latents are apart."""
        off = (z - prev).square().sum(-1)
        return off[:, None] if self.how == 'columns' else off


def test_a_model_with_a_memory_keeps_the_protocol(spec: WorldModelSpec) -> None:
    assert check_world_model(Remembering(spec)) == []


@pytest.mark.parametrize(('how', 'sentence'), [
    ('writes', 'encode writes into its inputs'),
    ('mixes', 'the latent of one row depends on the other rows'),
    ('holds on', 'where an episode begins, the latent before is not forgotten'),
    ('draws', 'encode gives two answers for one input'),
    ('breaks', 'values that are not finite'),
    ('own rows', 'does not share one latent among all action sequences'),
    ('negative', 'uncertainty must be (5, 7), finite and nowhere negative'),
    ('joint', 'the uncertainty of one row depends on the other rows'),
    ('narrow', 'spread must be (5, 7, 6)'),
    ('columns', 'divergence must be (5,)'),
])
def test_the_checker_names_the_broken_promise(
    spec: WorldModelSpec, how: str, sentence: str,
) -> None:
    found = check_world_model(Remembering(spec, how))
    assert any(sentence in line for line in found), found


class Knowing(Remembering):
    """A model that has every ability; `how` it breaks a promise."""

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Do what `predict` does."""
        if self.how == 'cut off':
            actions = actions.detach()
        if self.how == 'few':
            z = z.expand(len(z), -1)
            return self.predict(z, actions[:len(z)])
        return self.predict(z, -actions if self.how == 'turned' else actions)

    def rolled_with_uncertainty(
        self, z: Latent, actions: torch.Tensor
    ) -> tuple[Latent, torch.Tensor]:
        """Do what `predict` and `uncertainty` do."""
        doubt = self.uncertainty(z, actions)
        return (self.predict(z, actions * (2.0 if self.how == 'doubled' else 1.0)),
                doubt * (2.0 if self.how == 'doubtful' else 1.0))

    def propose(
        self, z: Latent, goal: torch.Tensor, *, generator: torch.Generator
    ) -> torch.Tensor:
        """Draw about nothing."""
        assert goal.shape == (1,)
        given = None if self.how == 'global' else generator
        found = torch.rand(len(z), 2, generator=given) * 2 - 1
        if self.how == 'wide':
            found = found * 3
        return found[:, :1] if self.how == 'one command' else found

    def encode_goal(self, obs: torch.Tensor) -> torch.Tensor:
        """Return what was observed."""
        return obs - (obs.mean(0) if self.how == 'joint goal' else 0.0)

    def code(self, z: Latent) -> torch.Tensor:
        """Return what was observed."""
        return z[..., :2 if self.how == 'short code' else 3]

    def rewards(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return what the commands cost."""
        found = -actions.square().sum(-1)
        return found.log() if self.how == 'no reward' else found

    def value(self, z: Latent) -> torch.Tensor:
        """Return the sum of all."""
        return z.sum(-1, keepdim=self.how == 'column') + (
            torch.rand(()) if self.how == 'moody' else 0.0)

    def constraints(self, z: Latent) -> torch.Tensor:
        """Return how far two are beyond 1."""
        return z[..., 0] if self.how == 'flat' else z[..., :2] - 1.0


@pytest.fixture
def aiming(spec: WorldModelSpec) -> WorldModelSpec:
    goal = Stream(topic='goal', type='x', fields=('x',))
    return replace(spec, interface=replace(spec.interface, goal=goal))


def test_a_model_of_every_ability_keeps_the_protocol(aiming: WorldModelSpec) -> None:
    assert check_world_model(Knowing(aiming)) == []


@pytest.mark.parametrize(('how', 'sentence'), [
    ('turned', 'rolled does not give what predict gives'),
    ('few', 'rolled does not give what predict gives'),
    ('cut off', 'rolled lets no gradient through to the actions'),
    ('doubled', 'rolled_with_uncertainty does not give what predict gives'),
    ('doubtful', 'rolled_with_uncertainty does not give what uncertainty gives'),
    ('global', 'propose draws from the global generator'),
    ('global', 'propose gives two answers for one input and one seed'),
    ('wide', 'propose must give (5, 2), finite and in [-1, 1]'),
    ('one command', 'propose must give (5, 2), finite and in [-1, 1]'),
    ('joint goal', 'the encode_goal of one row depends on the other rows'),
    ('short code', 'code must be (5, 3), finite'),
    ('no reward', 'rewards must be (5, 7), finite'),
    ('column', 'value must be (5,), finite'),
    ('moody', 'value gives two answers for one input'),
    ('flat', 'constraints must be (5, 1), finite'),
])
def test_the_checker_names_the_ability_that_is_broken(
    aiming: WorldModelSpec, how: str, sentence: str,
) -> None:
    found = check_world_model(Knowing(aiming, how))
    assert any(sentence in line for line in found), found


def test_what_rolls_with_an_uncertainty_that_it_does_not_know_is_named(
    model: EnsembleModel,
) -> None:
    class Half:
        """An ensemble that does not know its uncertainty."""

        def __init__(self) -> None:
            self.spec, self.encode, self.predict = model.spec, model.encode, model.predict
            self.rolled_with_uncertainty = model.rolled_with_uncertainty

    assert check_world_model(Half()) == [
        'the model has rolled_with_uncertainty, and no uncertainty']
