"""What a model's own heads add to the cost, worked out by hand on a point on a line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from wm_eval_ros.config.interface import ImageStream, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.planning.imagination import Imagination

AT_GOAL = ObjectiveTerm(features=('state.position[0]',), target=('goal.position[0]',))
GOAL, NEVER = torch.tensor([0.5]), 2**62


class Able:
    """A point whose latent is [position | command in force], with every head there is."""

    latent_names = ('state.position[0]', 'command.effort[0]')

    def __init__(self, spec: Any) -> None:
        self.spec, self.encoded = spec, 0

    def encode(self, obs: Any, *args: Any) -> Any:
        return torch.cat([obs, torch.zeros_like(obs)], -1)

    def predict(self, z: Any, actions: Any, *, generator: Any = None) -> Any:
        return torch.cat([z[:, None, :1] + 0.1 * actions.cumsum(1), actions], -1)

    def decode(self, z: Any) -> Any:
        return z[..., :1]

    def encode_goal(self, obs: Any) -> Any:
        self.encoded += 1
        return 2.0 * obs

    def code(self, z: Any) -> Any:
        return 2.0 * z[..., :1]

    def rewards(self, z: Any, actions: Any) -> Any:
        return 10.0 * z[..., 0] + actions[..., 0]

    def constraints(self, z: Any) -> Any:
        return torch.cat([z[..., :1] - 0.05, z[..., :1] - 5.0], -1)


class WithValue(Able):
    def value(self, z: Any) -> Any:
        return 100.0 * z[..., 0]


@pytest.fixture
def able(point_model: Any) -> Able:
    return Able(point_model.spec)


def cost(model: Any, interface: Any, goal: torch.Tensor = GOAL, in_force: float = 0.0,
         **changes: Any) -> float:
    """Return the cost of going ahead at 1 and staying there: positions 0.1 and 0.1."""
    imagine = Imagination('test', PlannerSettings(**changes), model, interface)
    start = torch.tensor([[0.0, in_force]])
    actions = torch.tensor([[[1.0], [0.0]]])
    return float(imagine(start, goal, actions, torch.Generator())[1][0])


@pytest.mark.parametrize(('changes', 'want'), [
    pytest.param({'goal_weight': 3.0}, 3 * 2 * 0.4, id='distance-of-codes'),
    pytest.param({'goal_weight': 1.0, 'terminal_weight': 2.0}, 0.8 + 2 * 0.8, id='last-step-too'),
    # 10 * 0.0 + 1, then 10 * 0.1 + 0
    pytest.param({'reward_weight': 2.0}, -2 * 2.0, id='minus-the-sum-of-rewards'),
    # of two constraints one is broken, by 0.05 at both steps
    pytest.param({'objective': (AT_GOAL,), 'constraint_weight': 4.0}, 0.4 + 4 * 0.05,
                 id='constraints-beyond-0'),
    # from 0 to 1 to 0
    pytest.param({'objective': (AT_GOAL,), 'jerk_weight': 5.0}, 0.4 + 5 * 1.0, id='jerk'),
])
def test_terms_are_what_the_text_says(
    changes: dict[str, Any], want: float, able: Able, interface: Any
) -> None:
    assert cost(able, interface, **changes) == pytest.approx(want)


def test_the_first_change_is_that_from_the_command_in_force(able: Able, interface: Any) -> None:
    # from 1 to 1 to 0
    assert cost(able, interface, in_force=1.0, objective=(AT_GOAL,), jerk_weight=5.0) == (
        pytest.approx(0.4 + 5 * 0.5))


def test_a_value_is_added_to_the_rewards_at_the_end(point_model: Any, interface: Any) -> None:
    found = cost(WithValue(point_model.spec), interface, reward_weight=1.0)
    assert found == pytest.approx(-2.0 - 10.0)


def test_a_goal_is_encoded_once_and_a_new_one_anew(able: Able, interface: Any) -> None:
    planner = CemPlanner(PlannerSettings(goal_weight=1.0, samples=16), able, interface)
    where = torch.zeros(2)
    first = planner.plan(where, GOAL, NEVER)
    planner.plan(where, GOAL.clone(), NEVER)
    assert able.encoded == 1
    other = planner.plan(where, -GOAL, NEVER)
    assert able.encoded == 2
    assert float(first.actions[0]) > 0.3
    assert float(other.actions[0]) < 0.0


@pytest.mark.parametrize(('name', 'says'), [
    ('goal_weight', 'encodes no goals'), ('reward_weight', 'foresees no rewards'),
    ('constraint_weight', 'knows no constraints'), ('jerk_weight', 'do not name the command'),
])
def test_a_model_that_lacks_the_ability_is_refused(
    name: str, says: str, point_model: Any, interface: Any
) -> None:
    with pytest.raises(ConfigError, match=f'planner.{name}: .*{says}'):
        CemPlanner(PlannerSettings(objective=(AT_GOAL,), **{name: 1.0}), point_model, interface)


@pytest.mark.parametrize(('changes', 'says'), [
    pytest.param({'goal': None}, 'interface.goal has none', id='no-goal'),
    pytest.param({'goal': Stream(topic='g', type='t', fields=('a', 'b'))}, 'a, b', id='two'),
    pytest.param({'goal': Stream(topic='g', type='t', fields=('a:angle',))}, 'same kind',
                 id='an-angle-is-two-features'),
    pytest.param({'goal_image': ImageStream(topic='i')}, 'goal_image', id='image-nobody-sees'),
    pytest.param({'images': (ImageStream(topic='i'),)}, 'goal_image', id='no-image-of-the-goal'),
])
def test_a_goal_that_is_no_observation_is_refused(
    changes: dict[str, Any], says: str, able: Able, interface: Any
) -> None:
    with pytest.raises(ConfigError, match=says):
        CemPlanner(PlannerSettings(goal_weight=1.0), able,
                   dataclasses.replace(interface, **changes))


def test_gradients_pass_through_codes_and_are_zero_at_the_goal(able: Able, interface: Any) -> None:
    imagine = Imagination('test', PlannerSettings(goal_weight=1.0), able, interface)
    able.rolled = able.predict  # type: ignore[attr-defined]
    for position, known in ((0.0, -1.0), (0.5, 0.0)):
        actions = torch.zeros(1, 2, 1, requires_grad=True)
        _, found = imagine.with_gradients(torch.tensor([[position, 0.0]]), GOAL, actions)
        gradient, = torch.autograd.grad(found.sum(), actions)
        assert torch.sign(gradient[0, 0]) == known
