"""Scores of runs and tasks as one figure."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.aggregate import iqm, probability_of_improvement, stratified_bootstrap

#: keeps a figure in the test report
Record = Callable[[str, object], None]

SCORES = st.lists(st.integers(-50, 50), min_size=1, max_size=30)


@given(SCORES)
def test_the_interquartile_mean_is_scipys_of_every_score_four_times(scores: list[int]) -> None:
    # four copies make every size divisible, and leave the distribution as it is
    assert iqm(scores) == pytest.approx(stats.trim_mean(np.repeat(scores, 4), 0.25), abs=1e-9)
    if len(scores) % 4 == 0:
        assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), abs=1e-9)


@given(SCORES, st.integers(-5, 5))
def test_it_moves_with_the_scores_and_not_with_their_order(scores: list[int], by: int) -> None:
    found = iqm(scores)
    assert found == iqm(scores[::-1])
    assert min(scores) <= found <= max(scores)
    assert iqm(np.array(scores) + by) == pytest.approx(found + by, abs=1e-9)


def test_by_hand() -> None:
    # 5 scores: a quarter of the mass is 1.25 of them; 0.75 of 1, all of 2, 0.75 of 3
    assert iqm([0, 1, 2, 3, 100]) == pytest.approx((0.75 * 1 + 2 + 0.75 * 3) / 2.5)
    assert iqm([[0, 1], [2, 9]]) == 1.5
    with pytest.raises(ValueError, match='no scores'):
        iqm([])


@given(SCORES, SCORES)
def test_one_tasks_improvement_is_mann_whitneys(x: list[int], y: list[int]) -> None:
    want = stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
    assert probability_of_improvement(x, y) == pytest.approx(want, abs=1e-9)
    assert probability_of_improvement(y, x) == pytest.approx(1 - want, abs=1e-9)


def test_improvement_averages_tasks() -> None:
    # task 1: 3 beats 1 and 2; task 2: 0 ties 0 and loses to 5
    x, y = [[3, 0]], [[1, 0], [2, 5]]
    assert probability_of_improvement(x, y) == pytest.approx((1 + 0.25) / 2)
    with pytest.raises(ValueError, match='2 tasks against 1'):
        probability_of_improvement(x, [[1], [2]])
    with pytest.raises(ValueError, match='with scores'):
        probability_of_improvement(np.zeros((0, 2)), y)


def test_the_bootstrap_is_reproducible_and_its_seed_matters() -> None:
    scores = np.random.default_rng(0).normal(size=(12, 3))
    found = stratified_bootstrap(iqm, scores)
    assert found.value == iqm(scores)
    assert found.why == ''
    assert found == stratified_bootstrap(iqm, scores)
    assert found != stratified_bootstrap(iqm, scores, seed=1)
    assert found.low is not None and found.high is not None
    assert found.low < iqm(scores) < found.high
    narrow = stratified_bootstrap(iqm, scores, confidence=0.5)
    assert narrow.low is not None and narrow.low > found.low


def test_runs_are_redrawn_within_their_task() -> None:
    # tasks that do not vary leave nothing to redraw, however far apart they are
    found = stratified_bootstrap(lambda s: float(np.mean(s)), np.tile([1.0, 100.0], (10, 1)))
    assert found[:3] == (50.5, 50.5, 50.5)


@pytest.mark.parametrize(('runs', 'why'), [
    pytest.param(1, 'one run: its spread is unknown', id='one'),
    pytest.param(9, '9 runs: an interval of fewer than 10 is too short', id='few'),
    pytest.param(10, '', id='enough'),
])
def test_few_runs_are_warned_of(runs: int, why: str) -> None:
    found = stratified_bootstrap(iqm, np.arange(2.0 * runs).reshape(runs, 2), resamples=50)
    assert found.why == why
    assert (found.low is None) == (runs == 1)


@pytest.mark.slow
@pytest.mark.parametrize(('runs', 'least'), [(5, 0.88), (10, 0.89), (30, 0.92)])
def test_the_bootstrap_of_the_mean_covers_the_better_the_more_runs(
        runs: int, least: float, record_property: Record) -> None:
    rng, rounds = np.random.default_rng(41), 300
    centres = np.array([0.2, 0.5, 0.9, 0.4])
    truth = iqm(rng.normal(centres, 0.1, (200_000, 4)))
    hits = 0
    for _ in range(rounds):
        scores = rng.normal(centres, 0.1, (runs, 4))
        found = stratified_bootstrap(iqm, scores, resamples=500)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    record_property('coverage', hits / rounds)
    assert least <= hits / rounds <= 0.99


@pytest.mark.slow
def test_the_bootstrap_of_the_improvement_covers(record_property: Record) -> None:
    rng, rounds = np.random.default_rng(42), 300
    truth = stats.norm.cdf(0.5 / 2**0.5)
    hits = 0
    for _ in range(rounds):
        found = stratified_bootstrap(probability_of_improvement, rng.normal(0.5, 1, (15, 4)),
                                     rng.normal(0, 1, (15, 4)), resamples=500)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    record_property('coverage', hits / rounds)
    assert 0.9 <= hits / rounds <= 0.99
