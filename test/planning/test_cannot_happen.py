"""
Faults that planners of other projects have had, each as a test that it cannot happen here.

Beside these, test_planners.py holds for every planner that a warm start is moved on by the slots
that passed, and check_planner that a reset forgets it and that the generator is the planner's own.
"""

from __future__ import annotations

from importlib.metadata import entry_points
import importlib.util
import math
from typing import Any

import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.planning.elites import refit
from wm_eval_ros.planning.gaussian import GaussianPlanner, GaussianSearch
from wm_eval_ros.planning.search import SearchPlanner

GROUP = 'wm_eval_ros.planners'
START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.25]), 2**62
SEARCHES = [p.name for p in sorted(entry_points(group=GROUP))
            if importlib.util.find_spec(p.module) is not None
            and issubclass(p.load(), SearchPlanner)]
GAUSSIAN = [n for n in SEARCHES if issubclass(plugins.load(GROUP, n), GaussianPlanner)]


def settings(**changes: Any) -> PlannerSettings:
    base = {'objective': (ObjectiveTerm(features=('state.position[0]',),
                                        target=('goal.position[0]',)),),
            'samples': 16, 'elites': 4, 'horizon': 4}
    return PlannerSettings(**{**base, **changes})


def made(name: str, model: Any, interface: Any, **changes: Any) -> Any:
    return plugins.load(GROUP, name)(settings(**changes), model, interface)


@pytest.mark.parametrize('name', SEARCHES)
def test_nan_is_not_taken_for_a_cost_of_zero(
    name: str, point_model: Any, interface: Any
) -> None:
    # every finite cost is near 100: a NaN that became 0 would be the best by far
    point_model.broken = lambda count: list(range(1, count))
    planner = made(name, point_model, interface)
    plan = planner.plan(START, torch.tensor([100.0]), NEVER)
    assert plan.cost > 99.0
    assert bool((plan.actions == point_model.seen[0][0].detach()).all()) or plan.iterations > 1


def test_what_is_not_finite_is_no_elite() -> None:
    search = GaussianSearch(torch.zeros(1, 1), torch.zeros(1, 1), 0.5)
    actions = torch.tensor([[[0.9]], [[0.1]], [[-0.9]], [[0.3]]])
    refit(search, actions, torch.tensor([math.inf, 1.0, math.inf, 2.0]),
          settings(elites=3, smoothing=0.0))
    # 3 elites are asked for, 2 are finite: mean of 0.1 and 0.3, deviation 0.1
    assert float(search.mean) == pytest.approx(0.2)
    assert float(search.std) == pytest.approx(0.1)


@pytest.mark.parametrize('name', GAUSSIAN)
@pytest.mark.parametrize('std', [0.04, 0.2])
def test_noise_has_the_standard_deviation_that_is_asked_for_not_its_square_or_root(
    name: str, std: float, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface, samples=4000, noise_std=std, iterations=1,
                   noise_color=0.0)
    planner.plan(START, GOAL, NEVER)
    assert float(point_model.seen[0].detach().std(0).mean()) == pytest.approx(std, rel=0.05)


def test_refitting_keeps_a_deviation_a_deviation() -> None:
    search = GaussianSearch(torch.zeros(1, 1), torch.zeros(1, 1), 0.5)
    actions = torch.tensor([[[-0.3]], [[0.3]]])
    for _ in range(3):
        refit(search, actions, torch.tensor([1.0, 1.0]), settings(elites=2, smoothing=0.0))
        assert float(search.std) == pytest.approx(0.3)


@pytest.mark.parametrize('name', SEARCHES)
def test_no_noise_is_laid_over_the_command_that_was_chosen(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface)
    for _ in range(3):
        point_model.seen.clear()
        chosen = planner.plan(START, GOAL, NEVER).actions
        tried = torch.cat([a.detach() for a in point_model.seen])
        assert bool((tried == chosen).all((1, 2)).any())


@pytest.mark.parametrize('name', SEARCHES)
def test_an_error_of_the_model_is_not_swallowed(
    name: str, point_model: Any, interface: Any
) -> None:
    def fails(count: int) -> None:
        raise ZeroDivisionError('the model is broken')
    point_model.on_predict = fails
    with pytest.raises(ZeroDivisionError, match='the model is broken'):
        made(name, point_model, interface).plan(START, GOAL, NEVER)


@pytest.mark.parametrize('name', SEARCHES)
def test_features_are_found_by_name_not_by_place(
    name: str, point_model: Any, interface: Any
) -> None:
    def plan(names: tuple[str, ...], at: int) -> torch.Tensor:
        point_model.spec = type(point_model.spec)(**{
            **{f: getattr(point_model.spec, f) for f in point_model.spec.__dataclass_fields__},
            'feature_names': names})
        # the point is one feature of three; the others stand still
        point_model.decode = lambda z: torch.cat(
            [z if i == at else torch.full_like(z, 7.0) for i in range(3)], -1)
        return made(name, point_model, interface).plan(START, GOAL, NEVER).actions
    here = plan(('state.position[0]', 'state.b', 'state.c'), 0)
    assert torch.equal(plan(('state.b', 'state.c', 'state.position[0]'), 2), here)


@pytest.mark.parametrize('name', SEARCHES)
def test_no_global_generator_is_touched(name: str, point_model: Any, interface: Any) -> None:
    before = torch.random.get_rng_state()
    made(name, point_model, interface).plan(START, GOAL, NEVER)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize('name', SEARCHES)
def test_a_plan_holds_no_graph_of_gradients(
    name: str, point_model: Any, interface: Any
) -> None:
    plan = made(name, point_model, interface).plan(START, GOAL, NEVER)
    assert not plan.actions.requires_grad
    assert plan.rollout is not None
    assert not plan.rollout.requires_grad


@pytest.mark.parametrize('name', SEARCHES)
def test_the_cost_of_a_candidate_does_not_depend_on_the_others(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface)
    plan = planner.plan(START, GOAL, NEVER)
    alone = planner._imagine(START[None], GOAL, plan.actions[None], torch.Generator())[1]
    assert plan.cost == pytest.approx(float(alone), abs=1e-6)


@pytest.mark.parametrize('name', SEARCHES)
def test_a_rollout_that_is_lost_where_the_objective_does_not_look_is_not_chosen(
    name: str, point_model: Any, interface: Any
) -> None:
    # the objective reads the first latent entry, the second is NaN in every row but the first
    def predict(z: torch.Tensor, actions: torch.Tensor, **_: Any) -> torch.Tensor:
        x = z[:, None, :1] + 0.1 * actions.cumsum(1)
        other = torch.full_like(x, torch.nan)
        other[0] = 0.0
        return torch.cat([x, other], -1)
    point_model.predict = predict
    point_model.rolled = predict
    point_model.decode = lambda z: z[..., :1]
    plan = made(name, point_model, interface).plan(torch.zeros(2), GOAL, NEVER)
    assert plan.nonfinite > 0
    assert plan.rollout is not None
    assert bool(torch.isfinite(plan.rollout).all())


def test_a_finite_cost_above_every_number_of_another_type_is_still_a_cost(
    point_model: Any, interface: Any
) -> None:
    plan = CemPlanner(settings(), point_model, interface).plan(START, torch.tensor([1e18]), NEVER)
    assert plan.nonfinite == 0
    assert math.isfinite(plan.cost)
