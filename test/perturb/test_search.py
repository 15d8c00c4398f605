"""The search finds the cheapest point that meets a condition, on functions known by hand."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.perturb.protocol import Floats
from wm_eval_ros.perturb.search import generations, Judged


def run(cost: Callable[[Floats], float], violation: Callable[[Floats], float], size: int,
        budget: int, seed: int = 0) -> list[Judged]:
    found = generations(np.random.default_rng(seed), np.ones(size), lambda points: [
        Judged(p, cost(p), max(0.0, violation(p))) for p in points], budget)
    return [judged for generation in found for judged in generation]


def best(judged: list[Judged]) -> Judged:
    return min(judged, key=lambda j: j.rank)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('threshold', [0.1, 0.37, 0.9])
def test_one_threshold_is_found_from_above(threshold: float, seed: int) -> None:
    found = best(run(lambda x: float(x[0]), lambda x: threshold - float(x[0]), 1, 40, seed))
    assert found.violation == 0.0
    assert threshold <= found.cost < threshold + 0.06


@pytest.mark.parametrize('seed', range(5))
def test_of_two_the_one_that_does_it_is_kept_and_the_idle_one_goes(seed: int) -> None:
    # only the first matters, both cost
    found = best(run(lambda x: float(x.sum()), lambda x: 0.5 - float(x[0]), 2, 200, seed))
    assert found.violation == 0.0
    assert found.point[0] < 0.65
    assert found.point[1] < 0.15


@pytest.mark.parametrize('seed', range(5))
def test_a_product_is_minimised_where_a_sum_is_asked_for(seed: int) -> None:
    # x y >= 0.25 costs at least x + y = 1, at (0.5, 0.5)
    found = best(run(lambda x: float(x.sum()), lambda x: 0.25 - float(x.prod()), 2, 150, seed))
    assert found.violation == 0.0
    assert 1.0 <= found.cost < 1.1


def test_where_nothing_meets_it_the_strongest_comes_first() -> None:
    found = run(lambda x: float(x[0]), lambda x: 1.0, 1, 12)
    assert best(found).point.tolist() == [1.0]


def test_the_same_seed_is_the_same_search_and_another_another() -> None:
    def points(seed: int) -> list[list[float]]:
        return [j.point.tolist() for j in run(lambda x: float(x.sum()), lambda x: 0.3 - float(
            x[0]), 3, 20, seed)]

    assert points(1) == points(1)
    assert points(1) != points(2)


@given(size=st.integers(1, 5), budget=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_budget_is_kept_and_every_point_lies_in_the_cube(
    size: int, budget: int, seed: int,
) -> None:
    found = run(lambda x: float(x.sum()), lambda x: 0.5 - float(x[-1]), size, budget, seed)
    assert len(found) == budget
    assert found[0].point.tolist() == [1.0] * size
    assert all(((j.point >= 0.0) & (j.point <= 1.0)).all() for j in found)
