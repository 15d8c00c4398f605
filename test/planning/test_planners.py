"""What holds of every planner that is registered, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
import importlib.util
import math
from typing import Any

from hypothesis import given, HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.conformance import check_planner
from wm_eval_ros.planning.search import SearchPlanner

GROUP = 'wm_eval_ros.planners'
START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.25]), 2**62
KINDS = {p.name: p for p in sorted(entry_points(group=GROUP))
         if importlib.util.find_spec(p.module) is not None}
SEARCHES = [name for name, point in KINDS.items() if issubclass(point.load(), SearchPlanner)]
MANY = hypothesis_settings(deadline=None, max_examples=12,
                           suppress_health_check=[HealthCheck.function_scoped_fixture])


def settings(**changes: Any) -> PlannerSettings:
    base = {'objective': (ObjectiveTerm(features=('state.position[0]',),
                                        target=('goal.position[0]',)),),
            'samples': 12, 'elites': 4, 'horizon': 4, 'gradient_steps': 2}
    return PlannerSettings(**{**base, **changes})


def made(name: str, model: Any, interface: Any, clock: Any = None, **changes: Any) -> Any:
    timed = {} if clock is None else {'clock': clock}
    return plugins.load(GROUP, name)(settings(**changes), model, interface, **timed)


@pytest.mark.parametrize('name', KINDS)
def test_every_planner_keeps_the_protocol(name: str) -> None:
    try:
        found = check_planner(plugins.load(GROUP, name))
    except ConfigError as error:
        pytest.skip(f'it needs more than a model: {error}')
    assert found == []


@pytest.mark.parametrize('name', SEARCHES)
@MANY
@given(budget=st.integers(-50, 400), iterations=st.integers(1, 9),
       costs=st.lists(st.integers(0, 120), min_size=1, max_size=40))
def test_it_returns_by_the_deadline_plus_one_iteration_whatever_the_model_costs(
    point_model: Any, interface: Any, clock: Any, name: str, budget: int, iterations: int,
    costs: list[int],
) -> None:
    calls = forever(costs)

    def work(count: int) -> None:
        clock.now_ns += next(calls)
    point_model.on_predict = work
    point_model.seen.clear()
    planner = made(name, point_model, interface, clock, iterations=iterations)
    ends: list[int] = []
    refine = planner._refine

    def noted(*args: Any) -> None:
        refine(*args)
        ends.append(clock.now_ns)
    planner._refine = noted
    clock.now_ns = begun = 1000
    plan = planner.plan(START, GOAL, begun + budget)
    took = [b - a for a, b in zip([begun, *ends], ends, strict=False)]
    assert 1 <= plan.iterations == len(ends) <= iterations
    # in fact by the deadline, unless an iteration takes longer than all before it
    assert clock.now_ns <= begun + max(budget, 0) + took[-1]
    assert len(took) == 1 or sum(took[:-1]) + max(took[:-1]) <= budget
    if plan.iterations < iterations:
        assert sum(took) + max(took) > budget


def forever(costs: list[int]) -> Iterator[int]:
    while True:
        yield from costs


@pytest.mark.parametrize('name', SEARCHES)
@MANY
@given(pattern=st.lists(st.booleans(), min_size=1, max_size=12))
def test_what_is_not_finite_is_counted_and_never_chosen(
    point_model: Any, interface: Any, name: str, pattern: list[bool]
) -> None:
    spoilt = [0]

    def broken(count: int) -> list[int]:
        rows = [row for row in range(count) if pattern[row % len(pattern)]]
        spoilt[0] += len(rows)
        return rows
    point_model.broken = broken
    plan = made(name, point_model, interface).plan(START, GOAL, NEVER)
    assert plan.nonfinite == spoilt[0]
    assert bool(torch.isfinite(plan.actions).all())
    assert math.isfinite(plan.cost) is (plan.rollout is not None)
    if all(pattern):
        assert math.isnan(plan.cost)
    if not pattern[0]:
        assert plan.cost == pytest.approx(cost_of(plan.actions), abs=1e-6)


def cost_of(actions: torch.Tensor) -> float:
    """Return the mean distance of the point to the goal, for actions (..., H, 1)."""
    return float((0.1 * actions.cumsum(-2) - GOAL).abs().mean((-2, -1)).min())


@pytest.mark.parametrize('name', SEARCHES)
def test_the_plan_is_the_cheapest_of_all_that_was_tried(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface)
    for _ in range(3):
        point_model.seen.clear()
        plan = planner.plan(START, GOAL, NEVER)
        tried = [a.detach() for a in point_model.seen if a.shape[1] == 4]
        assert plan.cost == pytest.approx(min(map(cost_of, tried)), abs=1e-6)
        assert cost_of(plan.actions) == pytest.approx(plan.cost, abs=1e-6)


@pytest.mark.parametrize('name', SEARCHES)
def test_nothing_beyond_the_action_limit_is_even_tried(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface, action_limit=0.3, noise_std=5.0, fresh=0.5,
                   learning_rate=0.5)
    for _ in range(2):
        planner.plan(START, GOAL, NEVER)
    largest = float(max(a.detach().abs().max() for a in point_model.seen))
    assert 0.28 < largest <= 0.3 + 1e-6


@pytest.mark.parametrize('name', SEARCHES)
@pytest.mark.parametrize('elapsed', [0, 1, 3])
def test_the_last_plan_moved_on_is_tried_first(
    name: str, elapsed: int, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface)
    last = planner.plan(START, GOAL, NEVER).actions
    point_model.seen.clear()
    planner.plan(START, GOAL, NEVER, elapsed_steps=elapsed)
    want = torch.cat([last[elapsed:], last[-1:].expand(elapsed, -1)])
    first = point_model.seen[0].detach()
    assert bool((first == want).all((1, 2)).any())


#: a command of 0, of -2 to 4
REST = torch.full((4, 1), -1 / 3)


@pytest.mark.parametrize('name', SEARCHES)
def test_where_nothing_is_finite_and_no_plan_is_left_the_command_at_rest_is_planned(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface)
    point_model.broken = lambda count: list(range(count))
    assert torch.allclose(planner.plan(START, GOAL, NEVER).actions, REST)
    point_model.broken = lambda count: []
    last = planner.plan(START, GOAL, NEVER).actions
    point_model.broken = lambda count: list(range(count))
    assert torch.equal(planner.plan(START, GOAL, NEVER).actions[:3], last[1:])
    assert torch.allclose(planner.plan(START, GOAL, NEVER, elapsed_steps=9).actions, REST)


@pytest.mark.parametrize('name', SEARCHES)
def test_repeated_commands_are_held_in_all_that_is_imagined(
    name: str, point_model: Any, interface: Any
) -> None:
    planner = made(name, point_model, interface, horizon=6, action_repeat=3)
    first = planner.plan(START, GOAL, NEVER)
    tried = [a.detach() for a in point_model.seen if a.shape[1] == 6]
    assert tried
    for actions in (*tried, first.actions):
        blocks = actions.reshape(-1, 2, 3, 1)
        assert torch.equal(blocks, blocks[:, :, :1].expand_as(blocks))
    assert first.rollout is not None
    assert first.rollout.shape == (6, 1)
    assert cost_of(first.actions) == pytest.approx(first.cost, abs=1e-6)
    point_model.seen.clear()
    planner.plan(START, GOAL, NEVER, elapsed_steps=3)
    want = first.actions[3:].repeat(2, 1)
    assert bool((point_model.seen[0].detach() == want).all((1, 2)).any()), 'moved on by a command'


@pytest.mark.parametrize('name', SEARCHES)
@pytest.mark.parametrize(('horizon', 'repeat'), [(4, 3), (2, 4)])
def test_a_horizon_that_is_no_multiple_of_the_repeat_is_refused(
    name: str, horizon: int, repeat: int, point_model: Any, interface: Any
) -> None:
    with pytest.raises(ConfigError, match=r'planner\.action_repeat'):
        made(name, point_model, interface, horizon=horizon, action_repeat=repeat)


@pytest.mark.parametrize('name', SEARCHES)
def test_it_drives_the_point_to_its_goal(name: str, point_model: Any, interface: Any) -> None:
    planner = made(name, point_model, interface, samples=32)
    planner.reset(0)
    x = START
    for _ in range(30):
        x = x + 0.1 * planner.plan(x, GOAL, NEVER).actions[0]
    assert float(x) == pytest.approx(0.25, abs=0.06)
