"""Autocorrelation, blocks and the ratio of errors."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.openloop.dependence import autocorrelation_time, error_ratio, influence


def autoregressive(rng: np.random.Generator, count: int, persistence: float) -> np.ndarray:
    """A stationary process of first order with variance 1, shape (N,)."""
    noise = rng.normal(size=count + 200) * math.sqrt(1 - persistence**2)
    found = np.zeros(count + 200)
    for t in range(1, count + 200):
        found[t] = persistence * found[t - 1] + noise[t]
    return found[200:]


def errors(seed: int, count: int, persistence: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of two forecasts of equal skill that depend on each other and on time."""
    rng = np.random.default_rng(seed)
    first, second = (autoregressive(rng, count, persistence) for _ in range(2))
    return first**2, (0.6 * first + 0.8 * second)**2


@pytest.mark.parametrize(('persistence', 'want'), [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)])
def test_the_autocorrelation_time_is_that_of_the_process(persistence: float, want: float) -> None:
    # (1 + a) / (1 - a) for a process of first order
    series = autoregressive(np.random.default_rng(0), 100_000, persistence)
    assert autocorrelation_time(series) == pytest.approx(want, rel=0.1)


@pytest.mark.parametrize('series', [np.zeros(0), np.zeros(1), np.full(50, 3.0)],
                         ids=['nothing', 'one', 'constant'])
def test_a_series_that_never_changes_shows_no_dependence(series: np.ndarray) -> None:
    assert autocorrelation_time(series) == 1.0


def test_repeating_every_sample_makes_the_time_as_much_longer() -> None:
    series = np.random.default_rng(1).normal(size=4000)
    assert autocorrelation_time(np.repeat(series, 10)) == pytest.approx(10.0, rel=0.1)


def test_the_ratio_is_the_root_of_the_sums() -> None:
    # (1 + 4 + 4) / (4 + 16 + 16) = 1 / 4
    found = error_ratio(np.array([1.0, 4.0, 4.0]), np.array([4.0, 16.0, 16.0]), 1)
    assert found.value == 0.5
    assert found.low is None and found.p is None and found.blocks < 10


def test_what_the_samples_add_cancels() -> None:
    model, still = errors(2, 300, 0.5)
    assert float(np.mean(influence(model, still))) == pytest.approx(0.0, abs=1e-12)


def test_persistence_that_is_never_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match='all zero'):
        error_ratio(np.ones(5), np.zeros(5), 1)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.3, 3.0))
def test_the_p_value_is_the_inverse_of_the_interval(seed: int, factor: float) -> None:
    model, still = errors(seed, 200, 0.3)
    found = error_ratio(factor * model, still, 1, seed=seed)
    if found.low is not None and found.high is not None and found.p is not None:
        assert found.low <= found.value <= found.high
        inside = found.low <= 1.0 <= found.high
        assert inside == (found.p > 0.05) or found.p == pytest.approx(0.05, abs=2e-3)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_exchanging_the_models_turns_the_figures_upside_down(seed: int) -> None:
    model, still = errors(seed, 150, 0.3)
    one, other = error_ratio(model, still, 1), error_ratio(still, model, 1)
    assert one.value == pytest.approx(1 / other.value)
    if one.low is not None and other.high is not None and one.p is not None:
        assert one.low == pytest.approx(1 / other.high, rel=1e-9)
        assert one.p == other.p


def test_the_same_series_give_the_same_bytes() -> None:
    model, still = errors(3, 300, 0.5)
    assert error_ratio(model, still, 4) == error_ratio(model, still, 4)


def test_a_block_is_never_shorter_than_asked_for() -> None:
    model, still = errors(4, 300, 0.0)
    assert error_ratio(model, still, 20).block == 20
    assert error_ratio(model, still, 40).low is None


def test_a_long_series_has_longer_blocks_and_not_more() -> None:
    model, still = errors(5, 20_000, 0.0)
    found = error_ratio(model, still, 1)
    assert (found.block, found.blocks) == (50, 400)


def test_a_model_that_is_always_right_has_no_interval() -> None:
    found = error_ratio(np.zeros(100), np.ones(100), 1)
    assert found.value == 0.0 and found.low is None


@pytest.mark.slow
@pytest.mark.parametrize(('count', 'persistence'), [
    (100, 0.0), (300, 0.0), (300, 0.5), (300, 0.8), (1000, 0.8), (1000, 0.9)])
def test_the_interval_covers_and_a_verdict_errs_rarely(count: int, persistence: float) -> None:
    trials = 400
    found = [error_ratio(*errors(seed, count, persistence), 1, seed=seed)
             for seed in range(trials)]
    given_ = [f for f in found if f.low is not None and f.high is not None]
    covered = sum(f.low <= 1.0 <= f.high for f in given_)  # type: ignore[operator]
    assert len(given_) > 0.8 * trials
    # nine in ten at the least where an interval is given; 3 standard errors of the simulation
    assert covered / len(given_) > 0.92 - 3 * math.sqrt(0.92 * 0.08 / len(given_))
    wrong = sum(f.p is not None and f.p <= 0.05 for f in found)
    assert wrong / trials < 0.07 + 3 * math.sqrt(0.07 * 0.93 / trials)


@pytest.mark.slow
def test_where_too_little_is_independent_a_verdict_is_refused() -> None:
    found = [error_ratio(*errors(seed, 100, 0.97), 1, seed=seed) for seed in range(200)]
    assert sum(f.p is not None for f in found) <= 2
