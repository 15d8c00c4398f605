"""Lags: the peak, its interval, and what chance would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.lags import find_lags
from wm_eval_ros.openloop.reasons import Reason


def smooth(count: int, seed: int) -> np.ndarray:
    """Noise with an autocorrelation of some samples."""
    rng = np.random.default_rng(seed)
    return np.convolve(rng.normal(size=count + 8), np.hanning(9), 'valid')


@pytest.mark.parametrize('delay', [-6, 0, 1, 4, 9])
def test_the_lag_is_found_with_its_sign(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap], delay: int,
) -> None:
    command = smooth(800, 3)
    late = grid(np.roll(command, delay) + 0.1 * smooth(800, 4), command)
    lag, = find_lags(late, robot())
    assert lag.lag.value == pytest.approx(delay * 0.05, abs=0.01)
    interval = lag.lag.interval
    assert interval is not None and interval.low <= delay * 0.05 + 0.01
    assert interval.high >= delay * 0.05 - 0.01 and interval.high - interval.low < 0.05
    assert lag.correlation > 0.9 and lag.chance is not None and lag.chance < 0.01


def test_between_grid_points_the_lag_is_found_as_well(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    times = np.arange(800.0)
    command = smooth(800, 5)
    late = np.interp(times - 3.4, times, command)
    lag, = find_lags(grid(late, command), robot())
    assert lag.lag.value == pytest.approx(3.4 * 0.05, abs=0.006)


def test_a_velocity_follows_the_rate_of_a_position_command(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    position = np.cumsum(smooth(800, 6))
    speed = np.gradient(np.roll(position, 4))
    lag, = find_lags(grid(speed, position), robot(lag_on='rate'))
    assert lag.lag.value == pytest.approx(0.2, abs=0.01)
    assert lag.correlation > 0.95


def test_of_several_commands_the_one_that_is_followed_is_named(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    first, second = smooth(800, 7), smooth(800, 8)
    found = find_lags(grid(np.stack([np.roll(second, 2), -np.roll(first, 5)], axis=1),
                           np.stack([first, second], axis=1)), robot())
    assert [(lag.command, round(lag.lag.value or 0, 3)) for lag in found] == [
        ('u1', 0.1), ('u0', 0.25)]
    assert found[1].correlation < -0.9


def slow(count: int, seed: int) -> np.ndarray:
    """A stationary process with an autocorrelation of some forty samples."""
    return np.convolve(np.random.default_rng(seed).normal(size=count + 200),
                       0.97 ** np.arange(201), 'valid')


def test_two_slow_series_without_a_link_have_no_lag(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    # slow series correlate with each other at any alignment: a fixed bound on r would be fooled
    found = [find_lags(grid(slow(800, seed), slow(800, seed + 1)), robot())[0]
             for seed in range(0, 20, 2)]
    assert sum(abs(lag.correlation) > 0.3 for lag in found) >= 3
    assert sum(lag.lag.value is not None for lag in found) <= 1
    assert any('beyond chance' in lag.lag.why for lag in found)


def test_a_correlation_that_grows_to_the_end_of_the_search_is_no_lag(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    command = smooth(800, 12)
    lag, = find_lags(grid(np.roll(command, 32), command), robot(max_lag_s=1.5))
    assert lag.lag.value is None and 'still grows' in lag.lag.why


def test_a_short_bag_cannot_tell_a_lag_from_chance(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    lag, = find_lags(driven(200), robot())
    assert lag.chance is None and lag.lag.value is None and 'too short' in lag.lag.why


def test_masked_samples_take_no_part(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    command = smooth(800, 11)
    late = grid(np.roll(command, 4), command)
    codes, truth = late.truth_codes.copy(), late.truth.copy()
    codes[300:360], truth[300:360] = int(Reason.SENSOR_LOSS), 1e6
    lag, = find_lags(replace(late, truth=truth, truth_codes=codes), robot())
    assert lag.lag.value == pytest.approx(0.2, abs=0.005) and lag.correlation > 0.98


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_the_curve_is_that_of_pairing_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, command = rng.normal(size=(2, 60))
    good, sent = rng.random((2, 60)) < 0.9
    zeros = np.zeros(60, np.uint8)
    grid = Grid(0, 50_000_000, ('x',), state[:, None], zeros, state[:, None],
                np.where(good, 0, 32).astype(np.uint8), np.arange(60), ('u',), command[:, None],
                np.where(sent, 0, 4).astype(np.uint8))
    lag, = find_lags(grid, _robot(0.2))
    for delay, value in zip(range(-4, 5), lag.curve, strict=True):
        pairs = [(state[t], command[t - delay]) for t in range(60)
                 if 0 <= t - delay < 60 and good[t] and sent[t - delay]]
        assert value == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1], abs=1e-9)


def _robot(max_lag_s: float) -> RobotMap:
    from wm_eval_ros.config.interface import CommandStream, Interface, Stream
    return RobotMap(name='t', max_lag_s=max_lag_s, interface=Interface(
        observations=(Stream(topic='/x', type='a/msg/B', fields=('x',)),),
        command=CommandStream(topic='/u', type='a/msg/B', fields=('u',), low=(0.0,), high=(1.0,))))


def test_the_same_grid_gives_the_same_interval(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    grid = driven(800, noise=0.1)
    assert find_lags(grid, robot())[0].lag == find_lags(grid, robot())[0].lag


@pytest.mark.slow
def test_the_interval_of_the_lag_covers_and_chance_is_not_mistaken(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    covered = seen = mistaken = 0
    for seed in range(150):
        command = smooth(800, 2 * seed)
        late = np.interp(np.arange(800) - 3.3, np.arange(800), command)
        lag, = find_lags(grid(late + 0.7 * smooth(800, 2 * seed + 1), command), robot())
        if lag.lag.interval is not None:
            seen += 1
            covered += lag.lag.interval.low <= 3.3 * 0.05 <= lag.lag.interval.high
        null, = find_lags(grid(smooth(800, 5000 + seed), command), robot())
        mistaken += null.lag.value is not None
    assert seen > 140 and covered / seen > 0.9
    # 5 % by design; three standard errors of 150 trials
    assert mistaken / 150 < 0.05 + 3 * 0.018
