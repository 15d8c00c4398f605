"""Tree search: the tree, its choices, and that it drives."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.planning.mcts import MctsPlanner, Node, TreeSearch

START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.5]), sys.maxsize


def settings(**changes: Any) -> PlannerSettings:
    base = {'objective': (ObjectiveTerm(features=('state.position[0]',),
                                        target=('goal.position[0]',)),),
            'horizon': 3, 'samples': 8, 'bins': 3}
    return PlannerSettings(**{**base, **changes})


def nodes(node: Node) -> int:
    return 1 + sum(nodes(child) for child in node.children if child is not None)


def test_drives_the_point_to_its_goal(point_model: Any, interface: Any) -> None:
    planner = MctsPlanner(settings(samples=32, bins=9, horizon=6), point_model, interface)
    x = START
    for _ in range(30):
        x = x + 0.1 * planner.plan(x, GOAL, NEVER).actions[0]
    assert float(x) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize('samples', [1, 2])
def test_one_candidate_an_iteration_is_enough_to_drive_there(
    point_model: Any, interface: Any, samples: int
) -> None:
    # with one, the first iteration has the warm start alone and descends not at all
    planner = MctsPlanner(settings(samples=samples, bins=9, horizon=6, iterations=32),
                          point_model, interface)
    x = START
    for _ in range(30):
        plan = planner.plan(x, GOAL, NEVER)
        assert (plan.samples, plan.iterations, plan.nonfinite) == (samples, 32, 0)
        x = x + 0.1 * plan.actions[0]
    assert float(x) == pytest.approx(0.5, abs=0.1)


def test_with_the_warm_start_alone_the_plan_is_the_warm_start(
    point_model: Any, interface: Any
) -> None:
    planner = MctsPlanner(settings(samples=1, iterations=1), point_model, interface)
    plan = planner.plan(START, GOAL, NEVER)
    # rest, which is 0 of -2 to 4: half the range is 3, the middle 1
    assert plan.actions[:, 0].tolist() == pytest.approx([-1 / 3] * 3)
    assert math.isfinite(plan.cost)


def test_with_room_for_the_whole_tree_the_plan_is_the_cheapest_of_all_sequences(
    point_model: Any, interface: Any
) -> None:
    # 3 values over 3 steps: 27 sequences; 0.1 ahead in one step, then nothing, ends at 0.1
    planner = MctsPlanner(settings(iterations=40), point_model, interface)
    plan = planner.plan(START, torch.tensor([0.1]), NEVER)
    assert plan.actions[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert plan.cost == pytest.approx(0.0, abs=1e-6)


def test_a_batch_of_descents_meets_no_leaf_twice(point_model: Any, interface: Any) -> None:
    planner = MctsPlanner(settings(samples=13, iterations=1), point_model, interface)
    planner.plan(START, GOAL, NEVER)
    # the warm start, the 3 children of the root, and 9 below them
    assert len(point_model.seen) == 1
    assert len(point_model.seen[0]) == 13
    search = planner._begin(1)
    planner._refine(search, START[None], GOAL)
    search.iterations = 1
    assert isinstance(search, TreeSearch)
    assert nodes(search.root) == 1 + 13
    assert search.root.begun == 13
    assert sorted(c.begun for c in search.root.children if c is not None)[0] >= 3


def test_each_field_of_a_command_is_a_level_of_its_own(point_model: Any, interface: Any) -> None:
    command = CommandStream(topic='command', type='sensor_msgs/msg/JointState',
                            fields=('effort[0]', 'effort[1]'), low=(-1.0, -1.0), high=(1.0, 1.0))
    both = dataclasses.replace(interface, command=command)
    assert isinstance(both, Interface)
    point_model.predict = lambda z, a, generator=None: (
        z[:, None, :] + 0.1 * a[..., :1].cumsum(1) - 0.05 * a[..., 1:].square().cumsum(1))
    planner = MctsPlanner(settings(samples=64, bins=5, horizon=2, iterations=6), point_model, both)
    plan = planner.plan(START, torch.tensor([0.2]), NEVER)
    # towards the goal with the first field, and nothing with the second, which only holds back
    assert plan.actions[0].tolist() == [1.0, 0.0]


def test_more_exploration_spreads_the_descents(point_model: Any, interface: Any) -> None:
    def share_of_most_visited(exploration: float) -> float:
        planner = MctsPlanner(settings(exploration=exploration, samples=16, iterations=1),
                              point_model, interface)
        search = planner._begin(1)
        for _ in range(8):
            search.iterations += 1
            planner._refine(search, START[None], GOAL)
        assert isinstance(search, TreeSearch)
        begun = [c.begun for c in search.root.children if c is not None]
        return max(begun) / sum(begun)
    assert share_of_most_visited(0.05) > share_of_most_visited(5.0) + 0.2


def test_costs_that_are_not_finite_are_counted_and_weigh_nothing(
    point_model: Any, interface: Any
) -> None:
    point_model.broken = lambda count: list(range(1, count, 2))
    planner = MctsPlanner(settings(samples=10), point_model, interface)
    plan = planner.plan(START, GOAL, NEVER)
    assert plan.nonfinite == 3 * 5
    assert math.isfinite(plan.cost)
    point_model.broken = lambda count: list(range(count))
    plan = planner.plan(START, GOAL, NEVER)
    assert plan.nonfinite == 3 * 10
    assert math.isnan(plan.cost)
    assert plan.rollout is None


def test_an_iteration_is_one_rollout_and_the_deadline_ends_them(
    point_model: Any, interface: Any, clock: Any
) -> None:
    def work(count: int) -> None:
        clock.now_ns += 10
    point_model.on_predict = work
    planner = MctsPlanner(settings(iterations=9), point_model, interface, clock)
    assert planner.plan(START, GOAL, 39).iterations == 3
    assert len(point_model.seen) == 3


def test_the_warm_start_is_the_first_candidate(point_model: Any, interface: Any) -> None:
    planner = MctsPlanner(settings(), point_model, interface)
    first = planner.plan(START, GOAL, NEVER)
    point_model.seen.clear()
    planner.plan(START, GOAL, NEVER, elapsed_steps=1)
    moved = torch.cat([first.actions[1:], first.actions[-1:]])
    assert torch.equal(point_model.seen[0][0], moved)
