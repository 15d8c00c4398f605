"""iCEM: how many candidates an iteration has, and where they come from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.icem import IcemPlanner

START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.2]), 2**62


def planner(model: Any, interface: Any, **changes: Any) -> IcemPlanner:
    return IcemPlanner(PlannerSettings(**{
        'objective': (ObjectiveTerm(features=('state.position[0]',),
                                    target=('goal.position[0]',)),),
        'horizon': 6, 'samples': 40, 'elites': 5, 'iterations': 5, **changes}), model, interface)


def test_iterations_have_ever_fewer_candidates_down_to_two_an_elite(
    point_model: Any, interface: Any
) -> None:
    planner(point_model, interface, sample_decay=2.0).plan(START, GOAL, NEVER)
    assert [len(a) for a in point_model.seen] == [40, 20, 10, 10, 10]


def test_elites_are_tried_again_in_the_next_iteration_and_decision(
    point_model: Any, interface: Any
) -> None:
    made = planner(point_model, interface, iterations=2, elite_reuse=0.4)
    made.plan(START, GOAL, NEVER)
    first, second = point_model.seen
    cost = (0.1 * first[:-1].cumsum(1) - GOAL).abs().mean((1, 2))
    # 0.4 of 5 elites are 2
    assert torch.equal(second[:2], first[cost.argsort()[:2]])
    kept = made._elites
    assert kept is not None
    made.plan(START, GOAL, NEVER, elapsed_steps=2)
    third = point_model.seen[2]
    assert torch.equal(third[:2, :4], kept[:2, 2:])
    assert torch.equal(third[:2, 4:], kept[:2, -1:].expand(-1, 2, -1))


def test_no_elite_is_tried_again_where_none_is_asked_for(
    point_model: Any, interface: Any
) -> None:
    planner(point_model, interface, elite_reuse=0.0, iterations=2).plan(START, GOAL, NEVER)
    first, second = point_model.seen
    assert not (first[:, None] == second[None]).all((2, 3)).any()


def test_the_mean_is_the_last_candidate_and_no_elite(point_model: Any, interface: Any) -> None:
    made = planner(point_model, interface, iterations=1, elites=40, smoothing=0.0)
    made.plan(START, GOAL, NEVER)
    tried = point_model.seen[0]
    assert torch.equal(tried[-1], torch.zeros(6, 1))
    # refitted to all the others
    assert torch.allclose(made._mean, tried[:-1].mean(0), atol=1e-6)


def test_more_elites_than_samples_are_refused(point_model: Any, interface: Any) -> None:
    with pytest.raises(ConfigError, match='41 of 40'):
        planner(point_model, interface, elites=41)
