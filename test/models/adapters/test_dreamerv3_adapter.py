"""DreamerV3 behind the protocol, with a small model of the same methods and tensor layouts."""

from __future__ import annotations

import pytest
import torch
from torch import distributions, nn

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.adapters.adapter import Layout
from wm_eval_ros.models.adapters.dreamerv3 import DreamerV3
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.protocol import Decodes, KnowsDivergence

State = dict[str, torch.Tensor]


class Wrapped:
    """A distribution with its upstream wrapper's surface."""

    def __init__(self, dist: distributions.Distribution) -> None:
        self._dist = dist

    def mode(self) -> torch.Tensor:
        return self._dist.mean


class Dynamics(nn.Module):
    """`RSSM`: initial, obs_step, img_step, get_feat, get_dist; changes inputs as upstream does."""

    def __init__(self, discrete: int) -> None:
        super().__init__()
        self._discrete, stoch = discrete, 4
        self._size = stoch * discrete if discrete else stoch
        self._out = self._size if discrete else 2 * stoch
        self._cell = nn.GRUCell(self._size + 2, 6)
        self._prior, self._posterior = nn.Linear(6, self._out), nn.Linear(6 + 5, self._out)
        self.W = nn.Parameter(torch.randn(1, 6))

    def _stats(self, x: torch.Tensor) -> State:
        if self._discrete:
            return {'logit': x.reshape(len(x), -1, self._discrete)}
        mean, std = x.chunk(2, -1)
        return {'mean': mean, 'std': nn.functional.softplus(std) + 0.1}

    def _stoch(self, stats: State, sample: bool) -> torch.Tensor:
        assert not sample, 'draws from the global generator'
        if self._discrete:
            return nn.functional.one_hot(stats['logit'].argmax(-1), self._discrete).float()
        return stats['mean']

    def initial(self, batch_size: int) -> State:
        deter = torch.tanh(self.W).repeat(batch_size, 1)
        stats = self._stats(torch.zeros(batch_size, self._out))
        return {**stats, 'stoch': self._stoch(self._stats(self._prior(deter)), False),
                'deter': deter}

    def img_step(self, prev_state: State, prev_action: torch.Tensor, sample: bool = True) -> State:
        x = torch.cat([prev_state['stoch'].flatten(1), prev_action], -1)
        deter = self._cell(x, prev_state['deter'])
        stats = self._stats(self._prior(deter))
        return {'stoch': self._stoch(stats, sample), 'deter': deter, **stats}

    def obs_step(self, prev_state: State | None, prev_action: torch.Tensor, embed: torch.Tensor,
                 is_first: torch.Tensor, sample: bool = True) -> tuple[State, State]:
        if prev_state is None or torch.sum(is_first) == len(is_first):
            prev_state = self.initial(len(is_first))
            prev_action = torch.zeros_like(prev_action)
        elif torch.sum(is_first) > 0:
            raise AssertionError('changes its inputs here')
        prior = self.img_step(prev_state, prev_action, sample)
        stats = self._stats(self._posterior(torch.cat([prior['deter'], embed], -1)))
        return {'stoch': self._stoch(stats, sample), 'deter': prior['deter'], **stats}, prior

    def get_feat(self, state: State) -> torch.Tensor:
        return torch.cat([state['stoch'].flatten(1), state['deter']], -1)

    def get_dist(self, state: State) -> object:
        if self._discrete:
            return distributions.Independent(
                distributions.OneHotCategorical(logits=state['logit']), 1)
        return Wrapped(distributions.Independent(
            distributions.Normal(state['mean'], state['std']), 1))


class Head(nn.Module):
    """`MultiDecoder`: features to a distribution of each key."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.angle, self.speed = nn.Linear(size, 2), nn.Linear(size, 1)

    def forward(self, features: torch.Tensor) -> dict[str, Wrapped]:
        return {'speed': Wrapped(distributions.Normal(self.speed(features), 1.0)),
                'angle': Wrapped(distributions.Normal(self.angle(features), 1.0))}


class Encoder(nn.Module):
    """`MultiEncoder`: a dictionary of observations to an embedding."""

    def __init__(self, pixels: int = 0) -> None:
        super().__init__()
        self.pixels, self.layer = pixels, nn.Linear(3 + pixels, 5)

    def forward(self, obs: State) -> torch.Tensor:
        parts = [obs['angle'], obs['speed']]
        if self.pixels:
            assert obs['image'].shape[1:] == (6, 4, 3)
            parts.append(obs['image'].flatten(1))
        return self.layer(torch.cat(parts, -1))


class Standin(nn.Module):
    """`WorldModel`: encoder, dynamics, heads."""

    def __init__(self, discrete: int, pixels: int = 0) -> None:
        super().__init__()
        self.encoder, self.dynamics = Encoder(pixels), Dynamics(discrete)
        self.heads = nn.ModuleDict({'decoder': Head(self.dynamics._size + 6)})


KEYS = {'speed': [2], 'angle': [0, 1]}


@pytest.mark.parametrize('discrete', [0, 3])
def test_it_keeps_the_protocol_and_is_upstreams_own_loop(
    scenario: Scenario, discrete: int,
) -> None:
    upstream = Standin(discrete)
    model = DreamerV3(scenario, upstream, Layout(device='cpu'), name='m', keys=KEYS)
    assert isinstance(model, Decodes)
    assert isinstance(model, KnowsDivergence)
    assert check_world_model(model) == []
    dynamics, obs = upstream.dynamics, torch.randn(3, 2, 3)
    actions = torch.rand(3, 4, 2) * 2 - 1
    embed = [upstream.encoder({'angle': obs[:, t, :2], 'speed': obs[:, t, 2:]}) for t in range(2)]
    with torch.no_grad():
        first, _ = dynamics.obs_step(None, actions[:, 0], embed[0], torch.ones(3), sample=False)
        state, prior = dynamics.obs_step(first, actions[:, 0], embed[1], torch.zeros(3),
                                         sample=False)
        z = model.encode(obs[:, 0])
        seen = model.encode(obs[:, 1], z, actions[:, 0])
        one, two = dynamics.get_dist(state), dynamics.get_dist(prior)
        if not discrete:
            one, two = one._dist, two._dist  # type: ignore[attr-defined]
        kl = distributions.kl_divergence(one, two)  # type: ignore[arg-type]
        assert torch.allclose(model.divergence(z, actions[:, 0], seen), kl, atol=1e-5)
        for h in range(4):
            state = dynamics.img_step(state, actions[:, h], sample=False)
            feat = dynamics.get_feat(state)
            want = torch.cat([upstream.heads['decoder'](feat)[k].mode()
                              for k in ('angle', 'speed')], -1)
            assert torch.allclose(model.decode(model.predict(seen, actions))[:, h], want,
                                  atol=1e-5)


def test_it_sees_an_image_as_upstream_lays_it_out(seeing: Scenario) -> None:
    model = DreamerV3(seeing, Standin(3, pixels=72), Layout(device='cpu'), name='m', keys=KEYS,
                      image_key='image')
    assert check_world_model(model) == []


def test_a_decoder_of_standardised_numbers_decodes_to_physical_units(scenario: Scenario) -> None:
    upstream = Standin(0)
    plain = DreamerV3(scenario, upstream, Layout(device='cpu'), name='m', keys=KEYS)
    scaled = DreamerV3(scenario, upstream, Layout(
        device='cpu', obs_mean=(1.0, 2.0, 3.0), obs_scale=(2.0, 2.0, 5.0)), name='m', keys=KEYS)
    z = plain.encode(torch.zeros(1, 3))
    want = plain.decode(z) * torch.tensor([2.0, 2.0, 5.0]) + torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(scaled.decode(z), want)


def test_keys_that_leave_features_out_make_no_decoder(scenario: Scenario) -> None:
    model = DreamerV3(scenario, Standin(0), Layout(device='cpu'), name='m',
                      keys={'angle': [0, 1], 'speed': [1]})
    assert not isinstance(model, Decodes)
    with pytest.raises(ConfigError, match='the observations have 3 numbers'):
        DreamerV3(scenario, Standin(0), Layout(device='cpu'), name='m', keys={'angle': [7]})
