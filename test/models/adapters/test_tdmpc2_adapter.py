"""TD-MPC2 behind the protocol, with a small model of the same methods and argument orders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.adapters.adapter import Layout
from wm_eval_ros.models.adapters.tdmpc2 import _generators_kept, Tdmpc2
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.protocol import Decodes, Proposes


class Standin(nn.Module):
    """`WorldModel`: encode(obs, task), next(z, a, task), pi(z, task)."""

    def __init__(self, actions: int = 2) -> None:
        super().__init__()
        self._encoder, self._dynamics = nn.Linear(3, 8), nn.Linear(8 + actions, 8)
        self._pi = nn.Linear(8, 2 * 2)
        # upstream keeps shells of its ensemble without values
        self._Qs = nn.Linear(8, 1, device='meta')
        self.tasks: list[object] = []

    def encode(self, obs: torch.Tensor, task: object) -> torch.Tensor:
        self.tasks.append(task)
        return self._encoder(obs).softmax(-1)

    def next(self, z: torch.Tensor, a: torch.Tensor, task: object) -> torch.Tensor:
        return self._dynamics(torch.cat([z, a], dim=-1)).softmax(-1)

    def pi(self, z: torch.Tensor, task: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        mean, log_std = self._pi(z).chunk(2, dim=-1)
        action = torch.tanh(mean + torch.randn_like(mean) * log_std.exp())
        return action, {'mean': torch.tanh(mean), 'log_std': log_std}


def test_it_keeps_the_protocol_and_is_upstreams_own_loop(scenario: Scenario) -> None:
    upstream = Standin()
    model = Tdmpc2(scenario, upstream, Layout(device='cpu'), name='m')
    assert check_world_model(model) == []
    assert not isinstance(model, Decodes)
    obs, actions = torch.randn(4, 3), torch.rand(4, 5, 2) * 2 - 1
    z = upstream.encode(obs, None)
    assert torch.equal(model.encode(obs), z)
    for h in range(5):
        z = upstream.next(z, actions[:, h], None)
        assert torch.allclose(model.predict(model.encode(obs), actions)[:, h], z)


def test_commands_and_observations_are_given_as_the_layout_says(scenario: Scenario) -> None:
    upstream = Standin(actions=6)
    layout = Layout(device='cpu', action_block=3, action_mean=(1.0, 0.5), action_scale=(3.0, 0.5),
                    obs_mean=(0.0, 1.0, 2.0), obs_scale=(1.0, 1.0, 4.0))
    model = Tdmpc2(scenario, upstream, layout, name='m', task=2)
    # the limits are -2 to 4 and 0 to 1: 0 in [-1, 1] is 1.0 and 0.5 there
    z = model.encode(torch.tensor([[0.0, 1.0, 6.0]]))
    assert torch.allclose(z, upstream.encode(torch.tensor([[0.0, 0.0, 1.0]]), 2))
    assert upstream.tasks[-2] == 2
    half = torch.tensor([[[0.5, -1.0]]])
    want = upstream.next(z, torch.tensor([[0.5, -1.0] * 3]), 2)
    assert torch.allclose(model.predict(z, half)[:, 0], want)
    assert model.spec.architecture['action_block'] == 3


def test_the_policy_prior_draws_from_the_generator_it_is_given(scenario: Scenario) -> None:
    model = Tdmpc2(scenario, Standin(), Layout(device='cpu'), name='m')
    assert isinstance(model, Proposes)
    z, goal = model.encode(torch.randn(5, 3)), torch.zeros(0)
    state = torch.get_rng_state()
    one, two = (model.propose(z, goal, generator=torch.Generator().manual_seed(3))
                for _ in range(2))
    other = model.propose(z, goal, generator=torch.Generator().manual_seed(4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert bool((one.abs() <= 1).all())
    assert torch.equal(state, torch.get_rng_state())
    draws = torch.stack([model.propose(z, goal, generator=torch.Generator().manual_seed(s))
                         for s in range(2000)])
    mean = model.upstream.pi(z, None)[1]['mean']
    # the median of a squashed Gaussian is its squashed mean
    assert torch.allclose(draws.median(0).values, mean, atol=0.1)


def test_what_is_proposed_is_given_back_as_what_the_policy_said(scenario: Scenario) -> None:
    upstream = Standin(actions=4)
    # of a block of two steps: mean of the first, then of the second; hardly any noise
    upstream._pi = nn.Linear(8, 8)
    upstream._pi.weight.data.zero_()
    upstream._pi.bias.data = torch.tensor([0.5, -0.25, 0.9, 0.9, *[-20.0] * 4])
    # the limits are -2 to 4 and 0 to 1
    layout = Layout(device='cpu', action_block=2, action_mean=(1.0, 0.5), action_scale=(2.0, 1.0))
    model = Tdmpc2(scenario, upstream, layout, name='m')
    found = model.propose(torch.zeros(3, 8), torch.zeros(0),
                          generator=torch.Generator().manual_seed(0))
    said = torch.tanh(torch.tensor([0.5, -0.25]))
    assert found.shape == (3, 2)
    # 0.462 of 2 about 1 is 1.924, of -2 to 4; -0.245 of 1 about 0.5 is 0.255, of 0 to 1
    assert found[0].tolist() == pytest.approx([0.308, -0.490], abs=1e-3)
    assert torch.allclose(model._commands(found), torch.cat([said, said]).expand(3, -1), atol=1e-6)


def test_what_the_policy_wants_beyond_the_limits_is_cut_off(scenario: Scenario) -> None:
    layout = Layout(device='cpu', action_mean=(0.0, 0.0), action_scale=(100.0, 100.0))
    model = Tdmpc2(scenario, Standin(), layout, name='m')
    found = model.propose(torch.randn(50, 8), torch.zeros(0),
                          generator=torch.Generator().manual_seed(0))
    assert bool((found.abs() <= 1).all())


@pytest.mark.parametrize(('device', 'want'), [
    ('cpu', {'devices': []}),
    ('cuda:1', {'devices': [torch.device('cuda:1')], 'device_type': 'cuda'}),
])
def test_the_generator_of_its_device_is_kept_as_well(
    device: str, want: dict[str, object], monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(torch.random, 'fork_rng', lambda **named: asked.update(named))
    _generators_kept(torch.device(device))
    assert asked == want


def test_a_readout_makes_it_decode(scenario: Scenario) -> None:
    matrix = torch.randn(8, 3)
    model = Tdmpc2(scenario, Standin(), Layout(device='cpu'), name='m',
                   readout=lambda z: z @ matrix)
    assert isinstance(model, Decodes)
    assert check_world_model(model) == []
    z = model.encode(torch.randn(2, 3))
    assert torch.allclose(model.decode(z), z @ matrix)


def test_other_weights_are_another_hash(scenario: Scenario) -> None:
    one, two = (Tdmpc2(scenario, Standin(), Layout(device='cpu'), name='m') for _ in range(2))
    assert one.spec.sha256 != two.spec.sha256
    again = Tdmpc2(scenario, one.upstream, Layout(device='cpu'), name='m')
    assert again.spec.sha256 == one.spec.sha256


@pytest.mark.parametrize(('layout', 'what'), [
    ({'action_mean': (0.0,), 'action_scale': (1.0,)}, 'action_mean has 1 values; the scenario '),
    ({'obs_mean': (0.0, 0.0), 'obs_scale': (1.0,)}, 'obs_mean has 2 values, obs_scale 1'),
    ({'obs_mean': (0.0,) * 3, 'obs_scale': (1.0, 0.0, 1.0)}, 'scales above 0'),
    ({'action_block': 0}, 'action_block is 0'),
])
def test_a_layout_that_does_not_fit_is_refused(
    scenario: Scenario, layout: dict[str, object], what: str,
) -> None:
    with pytest.raises(ConfigError, match=what):
        Tdmpc2(scenario, Standin(), Layout(device='cpu', **layout), name='m')  # type: ignore[arg-type]
