"""MPPI: what a candidate weighs, and what the mean becomes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.planning.gaussian import GaussianSearch
from wm_eval_ros.planning.mppi import mppi_weights, MppiPlanner

INF = math.inf


@pytest.mark.parametrize(('cost', 'temperature', 'want'), [
    # excess 0, 2, 4; the median's is 2: e^0, e^-1, e^-2
    pytest.param([1.0, 3.0, 5.0], 1.0, [1.0, math.exp(-1), math.exp(-2)], id='by-hand'),
    pytest.param([1.0, 3.0, 5.0], 0.5, [1.0, math.exp(-2), math.exp(-4)], id='half-temperature'),
    pytest.param([3.0, INF, 1.0, 5.0], 1.0, [math.exp(-1), 0.0, 1.0, math.exp(-2)],
                 id='not-finite-weighs-nothing'),
    pytest.param([2.0, 2.0, 2.0], 1.0, [1.0, 1.0, 1.0], id='all-alike'),
    pytest.param([INF, 2.0], 1.0, [0.0, 1.0], id='one-finite'),
    pytest.param([-3e38, 3e38, 0.0], 1.0, [1.0, math.exp(-2), math.exp(-1)], id='huge'),
])
def test_weights(cost: list[float], temperature: float, want: list[float]) -> None:
    found = mppi_weights(torch.tensor(cost), temperature)
    assert found.tolist() == pytest.approx([w / sum(want) for w in want])
    assert all((w == 0.0) == (c == INF) for w, c in zip(found.tolist(), cost, strict=True))


def test_without_a_finite_cost_nothing_weighs_anything() -> None:
    assert mppi_weights(torch.tensor([INF, INF]), 0.1).tolist() == [0.0, 0.0]


def test_weights_do_not_depend_on_the_unit_of_the_objective() -> None:
    cost = torch.rand(64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(mppi_weights(cost, 0.3), mppi_weights(1000.0 * cost + 7.0, 0.3),
                          atol=1e-3)


def planner(model: Any, interface: Any, **changes: Any) -> MppiPlanner:
    return MppiPlanner(PlannerSettings(**{
        'objective': (ObjectiveTerm(features=('state.position[0]',),
                                    target=('goal.position[0]',)),),
        'horizon': 2, 'smoothing': 0.0, 'temperature': 1.0, **changes}), model, interface)


def test_mean_and_standard_deviation_are_the_weighted_ones(
    point_model: Any, interface: Any
) -> None:
    search = GaussianSearch(torch.zeros(2, 1), torch.zeros(2, 1), 0.5)
    actions = torch.tensor([[[0.0], [0.4]], [[0.4], [0.4]], [[9.0], [0.9]]])
    # weights 1/(1 + e^-1) and 1 - that; the median of two is the lower one: make it three
    cost = torch.tensor([1.0, 1.0, INF])
    planner(point_model, interface)._refit(search, actions, cost)
    # half each, the third weighs nothing: mean 0.2 and 0.4, deviation 0.2 and the floor
    assert search.mean[:, 0].tolist() == pytest.approx([0.2, 0.4])
    assert search.std[:, 0].tolist() == pytest.approx([0.2, 0.05])


@pytest.mark.parametrize(('floor', 'want'), [
    pytest.param(0.5, [0.5, 0.5, 0.5], id='equal-keeps-it'),
    pytest.param(0.8, [0.5, 0.8, 0.8], id='above-it-is-the-floor-from-the-first-refit-on'),
])
def test_a_floor_at_or_above_the_initial_deviation(
    point_model: Any, interface: Any, floor: float, want: list[float]
) -> None:
    made = planner(point_model, interface, noise_floor=floor)
    search = made._begin(1)
    for std in want:
        assert torch.equal(search.std, torch.full((2, 1), std))
        made._refine(search, torch.zeros(1, 1), torch.tensor([0.1]))
