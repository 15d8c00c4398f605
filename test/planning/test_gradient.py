"""Planners that follow gradients: they get there, and say so where there are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.ensemble import EnsembleModel
from wm_eval_ros.models.network import NetworkModel
from wm_eval_ros.models.protocol import Differentiable
from wm_eval_ros.planning.descent import Descent
from wm_eval_ros.planning.grad_mppi import GradMppiPlanner
from wm_eval_ros.planning.gradient import GradientPlanner
from wm_eval_ros.planning.search import Search

START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.2]), 2**62
BOTH = pytest.mark.parametrize('kind', [GradientPlanner, GradMppiPlanner])


def settings(**changes: Any) -> PlannerSettings:
    return PlannerSettings(**{
        'objective': (ObjectiveTerm(features=('state.position[0]',),
                                    target=('goal.position[0]',)),),
        'horizon': 6, 'samples': 8, 'iterations': 3, 'gradient_steps': 5, **changes})


@BOTH
def test_the_point_comes_to_its_goal(kind: Any, point_model: Any, interface: Any) -> None:
    planner, x = kind(settings(), point_model, interface), START
    for _ in range(20):
        x = x + 0.1 * planner.plan(x, GOAL, NEVER).actions[0]
    assert float(x) == pytest.approx(0.2, abs=0.03)


def test_more_steps_make_a_cheaper_plan(point_model: Any, interface: Any) -> None:
    costs = [GradientPlanner(settings(iterations=1, gradient_steps=n), point_model,
                             interface).plan(START, GOAL, NEVER).cost for n in (1, 5, 25, 125)]
    assert costs == sorted(costs, reverse=True)
    # goal 0.2 at a step of 0.1: one step is 0.1 away, the others are there
    assert costs[-1] == pytest.approx(0.1 / 6, abs=0.01)


def test_gradient_steps_find_what_the_same_draws_alone_do_not(
    point_model: Any, interface: Any
) -> None:
    still, moved = (GradMppiPlanner(settings(learning_rate=rate, noise_std=0.05), point_model,
                                    interface).plan(START, GOAL, NEVER).cost
                    for rate in (0.0, 0.1))
    assert moved < 0.9 * still


def test_the_objective_at_its_very_target_has_a_gradient_of_zero(
    point_model: Any, interface: Any
) -> None:
    planner = GradientPlanner(settings(noise_std=0.0, samples=2), point_model, interface)
    plan = planner.plan(GOAL, GOAL, NEVER)
    assert plan.cost == pytest.approx(0.0, abs=1e-9)
    assert torch.equal(plan.actions, torch.zeros(6, 1))
    # and a distance that is zero at one step does not hide what the other steps ask for
    far = planner.plan(GOAL - 0.1, GOAL, NEVER)
    assert float(far.actions[0]) > 0.3


@BOTH
def test_uncertainty_is_followed_where_the_model_differentiates_it(
    kind: Any, point_model: Any, interface: Any
) -> None:
    # the point model is unsure of large commands
    bold, wary = (kind(settings(uncertainty_weight=w), point_model, interface).plan(
        START, GOAL, NEVER).actions.abs().sum() for w in (0.0, 10.0))
    assert float(wary) < 0.2 * float(bold)


@BOTH
def test_a_model_without_gradients_is_refused_and_families_that_have_them_named(
    kind: Any, point_model: Any, interface: Any
) -> None:
    blind = SimpleNamespace(spec=point_model.spec, encode=point_model.encode,
                            predict=point_model.predict, decode=point_model.decode,
                            uncertainty=point_model.uncertainty)
    with pytest.raises(ConfigError, match=rf"{kind.name} follows gradients.*'point' \(family "
                                          r'point\).*Such are: .*ensemble, .*mlp'):
        kind(settings(), blind, interface)
    blind.rolled = point_model.rolled
    kind(settings(), blind, interface)
    with pytest.raises(ConfigError, match=r'uncertainty_weight to 0\. Such are: .*ensemble'):
        kind(settings(uncertainty_weight=1.0), blind, interface)


def test_the_families_here_are_differentiable() -> None:
    assert issubclass(EnsembleModel, Differentiable)
    assert issubclass(NetworkModel, Differentiable)


def test_adam_steps_are_those_of_the_paper() -> None:
    # cost = a^2 at a = 0.5: the first step has the length of the rate, whatever the gradient
    descent = Descent(torch.full((1, 1, 1), 0.5), rate=0.1, limit=1.0)

    def imagine(z: Any, goal: Any, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return actions, actions.square().sum((1, 2))
    search, fake = Search(torch.zeros(1, 1)), SimpleNamespace(with_gradients=imagine)
    reference = torch.full((1, 1, 1), 0.5, requires_grad=True)
    adam = torch.optim.Adam([reference], lr=0.1)
    for i in range(10):
        descent.judge(search, fake, torch.zeros(1, 1), torch.zeros(0))  # type: ignore[arg-type]
        descent.step()
        adam.zero_grad()
        reference.square().sum().backward()
        adam.step()
        assert torch.allclose(descent.actions, reference.detach(), atol=1e-6), i
    assert search.cost < 0.25
