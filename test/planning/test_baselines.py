"""Planners without a model, and the scaling between actions and commands."""

from __future__ import annotations

from dataclasses import replace
import math
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
import torch

from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.planning.baselines import ExplorePlanner, HoldPlanner, NoopPlanner, RandomPlanner
from wm_eval_ros.planning.scaling import to_command, to_unit

BLIND = (NoopPlanner, HoldPlanner, RandomPlanner, ExplorePlanner)


def actions(planner: Any, seed: int, count: int = 20) -> torch.Tensor:
    planner.reset(seed)
    return torch.stack([planner.plan(torch.zeros(1), torch.zeros(1), 0).actions[0]
                        for _ in range(count)])


@pytest.mark.parametrize('kind', BLIND)
def test_a_baseline_needs_no_model_and_claims_no_cost(kind: Any, interface: Any) -> None:
    plan = kind(PlannerSettings(), None, interface).plan(torch.zeros(1), torch.zeros(1), 0)
    assert math.isnan(plan.cost)
    assert plan.rollout is None
    assert tuple(plan.actions.shape) == (1, 1)
    assert plan.actions.dtype is torch.float32


@pytest.mark.parametrize('kind', BLIND)
def test_a_baseline_repeats_itself_by_seed(kind: Any, interface: Any) -> None:
    planner = kind(PlannerSettings(), None, interface)
    first = actions(planner, 5)
    assert torch.equal(actions(planner, 5), first)
    assert bool((first.abs() <= 1).all())
    assert kind is NoopPlanner or not torch.equal(actions(planner, 6), first)


def test_noop_is_zero_in_the_commands_units(interface: Any) -> None:
    # limits -2 and 4: zero is a third of the way up
    held = actions(NoopPlanner(PlannerSettings(), None, interface), 0)
    assert torch.allclose(held, torch.tensor(-1 / 3))
    assert to_command(held[0], interface.command) == pytest.approx([0.0], abs=1e-6)


def test_hold_draws_once_an_episode_random_every_slot(interface: Any) -> None:
    assert len(actions(HoldPlanner(PlannerSettings(), None, interface), 0).unique()) == 1
    assert len(actions(RandomPlanner(PlannerSettings(), None, interface), 0).unique()) == 20


def test_explore_holds_segments_within_the_limit(interface: Any) -> None:
    drawn = actions(ExplorePlanner(PlannerSettings(action_limit=0.4), None, interface), 0, 300)
    assert 20 < len(drawn.unique()) < 150
    assert 0.2 < float(drawn.abs().max()) <= 0.4


def test_explore_with_a_model_follows_it_a_share_of_the_time(
    interface: Any, point_model: Any
) -> None:
    settings = PlannerSettings(objective=(
        ObjectiveTerm(features=('state.position[0]',), target=('9',)),))
    blind = actions(ExplorePlanner(settings, None, interface), 1, 200)
    led = actions(ExplorePlanner(settings, point_model, interface), 1, 200)
    # the goal is far up: plans command the upper limit
    assert float((led > 0.5).float().mean()) > 0.4 > float((blind > 0.5).float().mean())


@pytest.mark.parametrize(('unit', 'command'), [(-1.0, -2.0), (0.0, 1.0), (1.0, 4.0), (0.5, 2.5)])
def test_scaling_there_and_back(unit: float, command: float, interface: Any) -> None:
    assert to_command([unit], interface.command) == pytest.approx([command])
    assert to_unit([command], interface.command) == pytest.approx([unit])


def test_scaling_clips_and_keeps_nan(interface: Any) -> None:
    assert to_command([9.0], interface.command) == pytest.approx([4.0])
    assert to_unit([-9.0], interface.command) == pytest.approx([-1.0])
    assert np.isnan(to_command([math.nan], interface.command)).all()


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(-1.5, 1.5))
def test_no_command_lies_beyond_the_limits_by_rounding(
    low: float, span: float, unit: float,
) -> None:
    command: Any = SimpleNamespace(low=(low,), high=(low + span,))
    assert low <= to_command([unit], command)[0] <= low + span


def test_a_whole_action_is_the_limit_itself(interface: Any) -> None:
    # -0.1 + (0.3 + 0.1) is 0.30000000000000004
    command = replace(interface.command, low=(-0.1,), high=(0.3,))
    assert to_command([1.0], command).tolist() == [0.3]
