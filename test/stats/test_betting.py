"""Means of bounded scores by betting, against the definition, and their coverage."""

from __future__ import annotations

from collections.abc import Callable
import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from wm_eval_ros.stats.betting import betting_interval, betting_sequence

#: keeps a figure in the test report
Record = Callable[[str, object], None]

SCORES = st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=1, max_size=40)


def capital(scores: list[float], mean: float, upwards: bool, fixed: bool) -> list[float]:
    """Wealth after each score of betting that the mean is above (below) a candidate."""
    alpha, wealth, found = 0.05, 1.0, []
    for t in range(1, len(scores) + 1):
        past = scores[:t - 1]
        means = [(0.5 + sum(past[:i])) / (i + 1) for i in range(1, t)]
        variance = (0.25 + sum((x - m)**2 for x, m in zip(past, means, strict=True))) / t
        rounds = len(scores) if fixed else t * math.log(1 + t)
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * rounds))
        if upwards:
            wealth *= 1 + min(bet, 0.5 / mean) * (scores[t - 1] - mean)
        else:
            wealth *= 1 - min(bet, 0.5 / (1 - mean)) * (scores[t - 1] - mean)
        found.append(wealth)
    return found


def ruled_out(scores: list[float], mean: float, fixed: bool = True) -> bool:
    """Whether half of either capital has reached 1 / alpha."""
    return any(max(capital(scores, mean, side, fixed)) / 2 >= 20 for side in (True, False))


@settings(max_examples=40)
@given(SCORES)
def test_the_interval_ends_where_the_definition_rules_out(scores: list[float]) -> None:
    found = betting_interval(scores)
    assert found.low is not None and found.high is not None and found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    if found.low < found.value:
        assert found.low == 0 or ruled_out(scores, found.low - 1e-9)
        assert not ruled_out(scores, found.low + 1e-9)
    if found.value < found.high:
        assert found.high == 1 or ruled_out(scores, found.high + 1e-9)
        assert not ruled_out(scores, found.high - 1e-9)


@settings(max_examples=30)
@given(SCORES)
def test_mirrored_scores_mirror_the_interval(scores: list[float]) -> None:
    found, other = betting_interval(scores), betting_interval([1 - x for x in scores])
    assert found[:3] == pytest.approx(
        (1 - other.value, 1 - other.high, 1 - other.low), abs=1e-9)


def test_the_bounds_of_the_scores_scale_the_interval() -> None:
    scores = np.random.default_rng(0).uniform(size=60)
    found, scaled = betting_interval(scores), betting_interval(5 * scores - 2, -2, 3)
    assert scaled[:3] == pytest.approx([5 * x - 2 for x in found[:3]], abs=1e-9)


def test_narrow_scores_are_known_better_than_hoeffding() -> None:
    scores = 0.5 + 0.02 * np.random.default_rng(1).uniform(-1, 1, 200)
    found = betting_interval(scores)
    assert found.low is not None and found.high is not None
    hoeffding = math.sqrt(math.log(2 / 0.05) / (2 * 200))
    assert found.high - found.low < 0.5 * 2 * hoeffding


def test_no_scores_are_no_evidence_and_bad_ones_are_named() -> None:
    assert betting_interval([]) == (None, None, None, 'no scores')
    with pytest.raises(ValueError, match=r'2 outside \[0.0, 1.0\]'):
        betting_interval([0.5, 1.5, -1])
    with pytest.raises(ValueError, match='low < high'):
        betting_interval([0.5], 1, 1)
    with pytest.raises(ValueError, match='not finite'):
        betting_interval([math.nan])


@settings(max_examples=20)
@given(SCORES)
def test_the_sequence_never_loosens_and_ends_where_the_definition_rules_out(
        scores: list[float]) -> None:
    found = betting_sequence(scores, grid=200)
    assert len(found.low) == len(scores)
    assert np.all(np.diff(found.low) >= 0) and np.all(np.diff(found.high) <= 0)
    low, high = float(found.low[-1]), float(found.high[-1])
    if low > 0:
        assert ruled_out(scores, low, fixed=False)
        assert low + 0.005 >= 1 or low + 0.005 > high or max(
            capital(scores, low + 0.005 + 1e-9, True, False)) / 2 < 20
    if high < 1:
        assert ruled_out(scores, high, fixed=False)
    cut = betting_sequence(scores[:-1], grid=200)
    assert cut.low.tolist() == found.low[:-1].tolist()


def test_no_scores_give_an_empty_sequence() -> None:
    found = betting_sequence([])
    assert (len(found.low), len(found.high)) == (0, 0)


def sample(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Scores of mean 0.1, 0.5 or 0.9."""
    if kind == 'bernoulli':
        return (rng.random(shape) < 0.1).astype(float)
    return rng.beta(1, 1, shape) if kind == 'uniform' else rng.beta(9, 1, shape)


MEANS = {'bernoulli': 0.1, 'uniform': 0.5, 'beta': 0.9}


@pytest.mark.slow
@pytest.mark.parametrize('n', [20, 100])
@pytest.mark.parametrize('kind', list(MEANS))
def test_the_interval_covers_at_least_as_often_as_it_says(
        kind: str, n: int, record_property: Record) -> None:
    rng, runs = np.random.default_rng(31), 1500
    hits = 0
    for _ in range(runs):
        found = betting_interval(sample(kind, (n,), rng))
        assert found.low is not None and found.high is not None
        hits += found.low <= MEANS[kind] <= found.high
    record_property('coverage', hits / runs)
    assert hits / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
@pytest.mark.parametrize('kind', list(MEANS))
def test_the_sequence_covers_at_all_times_at_once(kind: str, record_property: Record) -> None:
    rng, runs = np.random.default_rng(32), 300
    hits = 0
    for _ in range(runs):
        found = betting_sequence(sample(kind, (200,), rng), grid=200)
        hits += bool(np.all((found.low <= MEANS[kind]) & (MEANS[kind] <= found.high)))
    record_property('coverage', hits / runs)
    assert hits / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)
