"""The CEM planner: finds the goal, keeps the deadline, survives what is not finite."""

from __future__ import annotations

import math
import sys
from typing import Any

from hypothesis import given, HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
import pytest
import torch

from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.planning.cem import CemPlanner

GOAL = torch.tensor([0.5])
START = torch.zeros(1)
NEVER = sys.maxsize


def settings(**changes: Any) -> PlannerSettings:
    base = {'objective': (ObjectiveTerm(features=('state.position[0]',),
                                        target=('goal.position[0]',)),), 'horizon': 6}
    return PlannerSettings(**{**base, **changes})


def test_drives_the_point_to_its_goal(point_model: Any, interface: Any) -> None:
    planner = CemPlanner(settings(), point_model, interface)
    planner.reset(0)
    x = START
    for _ in range(30):
        x = x + 0.1 * planner.plan(x, GOAL, NEVER).actions[0]
    assert float(x) == pytest.approx(0.5, abs=0.05)


def test_the_rollout_and_cost_are_those_of_the_actions(point_model: Any, interface: Any) -> None:
    plan = CemPlanner(settings(), point_model, interface).plan(START, GOAL, NEVER)
    expected = 0.1 * plan.actions.cumsum(0)
    assert plan.rollout is not None
    assert torch.allclose(plan.rollout, expected)
    assert plan.cost == pytest.approx(float((expected - GOAL).abs().mean()), abs=1e-6)


def test_same_seed_same_plan_other_seed_another(point_model: Any, interface: Any) -> None:
    def actions(seed: int) -> torch.Tensor:
        planner = CemPlanner(settings(), point_model, interface)
        planner.plan(START, GOAL, NEVER)
        planner.reset(seed)
        torch.manual_seed(sum(map(ord, 'the global generator makes no difference')) + seed)
        return planner.plan(START, GOAL, NEVER).actions
    assert torch.equal(actions(3), actions(3))
    assert not torch.equal(actions(3), actions(4))


@hypothesis_settings(deadline=None, max_examples=60,
                     suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=st.integers(0, 200), costs=st.lists(st.integers(1, 60), min_size=9, max_size=9),
       iterations=st.integers(1, 9))
def test_returns_at_most_one_iteration_late(
    point_model: Any, interface: Any, clock: Any, budget: int, costs: list[int], iterations: int
) -> None:
    clock.now_ns = 0
    left = iter(costs)

    def work(count: int) -> None:
        clock.now_ns += next(left)
    point_model.on_predict = work
    planner = CemPlanner(settings(iterations=iterations), point_model, interface, clock)
    plan = planner.plan(START, GOAL, budget)
    spent = costs[:plan.iterations]
    assert 1 <= plan.iterations <= iterations
    assert clock.now_ns == sum(spent) <= max(budget, 0) + spent[-1]
    # and where it stopped early, the longest iteration so far would not have fitted any more
    if plan.iterations < iterations:
        assert sum(spent) + max(spent) > budget


def test_stops_before_an_iteration_that_would_not_fit(
    point_model: Any, interface: Any, clock: Any
) -> None:
    def work(count: int) -> None:
        clock.now_ns += 10
    point_model.on_predict = work
    planner = CemPlanner(settings(iterations=9), point_model, interface, clock)
    assert planner.plan(START, GOAL, 39).iterations == 3
    clock.now_ns = 0
    assert planner.plan(START, GOAL, 40).iterations == 4


def test_a_passed_deadline_still_gives_one_iteration(
    point_model: Any, interface: Any, clock: Any
) -> None:
    clock.now_ns = 1000
    plan = CemPlanner(settings(), point_model, interface, clock).plan(START, GOAL, 0)
    assert plan.iterations == 1
    assert math.isfinite(plan.cost)


@pytest.mark.parametrize(('elapsed', 'want'), [
    pytest.param(0, [1, 2, 3, 4, 5, 6], id='same-slot-again'),
    pytest.param(1, [2, 3, 4, 5, 6, 6], id='next-slot'),
    pytest.param(3, [4, 5, 6, 6, 6, 6], id='two-slots-missed'),
    pytest.param(9, [0, 0, 0, 0, 0, 0], id='older-than-the-plan'),
])
def test_warm_start_is_shifted_by_the_elapsed_steps(
    point_model: Any, interface: Any, elapsed: int, want: list[float]
) -> None:
    planner = CemPlanner(settings(), point_model, interface)
    planner._mean = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]) / 10
    point_model.seen.clear()
    planner.plan(START, GOAL, NEVER, elapsed_steps=elapsed)
    # the first candidate is the warm start itself
    assert torch.allclose(point_model.seen[0][0, :, 0], torch.tensor(want) / 10)


def test_actions_in_flight_are_rolled_through_first(point_model: Any, interface: Any) -> None:
    planner = CemPlanner(settings(), point_model, interface)
    flying = torch.tensor([[1.0], [1.0], [1.0]])
    plan = planner.plan(START, GOAL, NEVER, in_flight=flying)
    assert plan.rollout is not None
    assert torch.allclose(plan.rollout[0], START + 0.3 + 0.1 * plan.actions[0])


def test_candidates_that_are_not_finite_are_counted_and_never_chosen(
    point_model: Any, interface: Any
) -> None:
    point_model.broken = lambda count: list(range(0, count, 2))
    plan = CemPlanner(settings(samples=10, elites=8), point_model, interface).plan(
        START, GOAL, NEVER)
    assert plan.nonfinite == 3 * 5
    assert math.isfinite(plan.cost)
    assert bool(torch.isfinite(plan.actions).all())


def test_all_candidates_not_finite_gives_the_shifted_warm_start(
    point_model: Any, interface: Any
) -> None:
    planner = CemPlanner(settings(), point_model, interface)
    kept = planner.plan(START, GOAL, NEVER).actions
    plan = planner.plan(torch.tensor([math.nan]), GOAL, NEVER)
    assert plan.nonfinite == 3 * 64
    assert math.isnan(plan.cost)
    assert plan.rollout is None
    assert torch.equal(plan.actions[:-1], kept[1:])


def test_the_best_never_gets_worse_over_the_iterations(point_model: Any, interface: Any) -> None:
    costs = [CemPlanner(settings(iterations=n), point_model, interface).plan(
        START, GOAL, NEVER).cost for n in (1, 2, 4, 8)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(('changes', 'error', 'match'), [
    pytest.param({'objective': ()}, ConfigError, 'no term', id='no-objective'),
    pytest.param({'elites': 65}, ConfigError, '65 of 64', id='more-elites-than-samples'),
    pytest.param({'period_ms': 20.0}, CheckpointError, '50 ms', id='other-period'),
    pytest.param({'objective': (ObjectiveTerm(features=('state.position',), target=('0',)),)},
                 ConfigError, 'did you mean', id='misspelt-feature'),
    pytest.param({'objective': (ObjectiveTerm(features=('state.position[0]',),
                                              target=('nan',)),)},
                 ConfigError, 'no goal field', id='target-not-finite'),
    pytest.param({'objective': (ObjectiveTerm(features=('state.position[0]',), target=()),)},
                 ConfigError, 'one target', id='no-target'),
])
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], error: type[Exception], match: str, point_model: Any, interface: Any
) -> None:
    with pytest.raises(error, match=match):
        CemPlanner(settings(**changes), point_model, interface)


def test_without_a_model_it_says_so(interface: Any) -> None:
    with pytest.raises(ConfigError, match=r'planner\.model'):
        CemPlanner(settings(), None, interface)
