"""What is masked of a track."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.reasons import counts, Reason
from wm_eval_ros.openloop.recording import Recorded
from wm_eval_ros.openloop.tracks import (
    command_tracks,
    fresh_interval_ns,
    longest_rest_ns,
    outliers,
    state_tracks,
)

STEP_NS = 50_000_000
STREAM = Stream(topic='/x', type='a/msg/B', fields=('x', 'y'))


def recorded(values: np.ndarray) -> tuple[Recorded, np.ndarray]:
    times = STEP_NS * np.arange(len(values), dtype=np.int64)
    return Recorded(STREAM, ('x', 'y'), times, None, values), times


def test_one_wild_sample_is_an_outlier_and_a_step_is_none() -> None:
    rng = np.random.default_rng(5)
    values = np.sin(np.arange(500) / 20) + 0.01 * rng.normal(size=500)
    values[250:] += 3.0
    values[100] = -143.6
    assert np.flatnonzero(outliers(values, 20.0)).tolist() == [100]


@pytest.mark.parametrize('values', [np.zeros(100), np.zeros(3), np.arange(100.0)],
                         ids=['constant', 'short', 'ramp'])
def test_quiet_signals_have_no_outliers(values: np.ndarray) -> None:
    assert not outliers(values, 20.0).any()


def test_repeats_are_seen_and_rest_is_not_taken_for_them() -> None:
    times = np.arange(400, dtype=np.int64) * STEP_NS
    assert fresh_interval_ns(times, np.repeat(np.arange(20.0), 20)) == 20 * STEP_NS
    resting = np.concatenate([np.zeros(300), np.arange(100.0)])
    assert fresh_interval_ns(times, resting) == STEP_NS


def test_every_reason_of_a_state_is_counted(robot: Callable[..., RobotMap]) -> None:
    values = np.stack([np.repeat(np.arange(20.0), 20), np.arange(400.0)], axis=1)
    values[50, 1], values[200, 1] = np.nan, 1e5
    held, moving = state_tracks(*recorded(values), robot())
    assert counts(held.codes) == {Reason.STALE_REPEAT: 380}
    assert held.stale and held.good.all()
    assert counts(moving.codes) == {Reason.NOT_FINITE: 1, Reason.OUTLIER: 1}
    assert np.flatnonzero(~moving.good).tolist() == [50, 200]


def test_one_bad_entry_spoils_the_whole_command(robot: Callable[..., RobotMap]) -> None:
    values = np.zeros((100, 2))
    values[3, 0], values[7, 1], values[8, 1], values[9, 0] = np.nan, 2.146e9, -1e6, 999_999.0
    first, second = command_tracks(*recorded(values), robot())
    assert np.array_equal(first.codes, second.codes)
    assert counts(first.codes) == {Reason.NOT_FINITE: 1, Reason.SENTINEL: 2}


def test_samples_are_put_in_the_order_of_their_times(robot: Callable[..., RobotMap]) -> None:
    found, times = recorded(np.stack([np.arange(100.0)] * 2, axis=1))
    track = next(state_tracks(found, times[::-1], robot()))
    assert np.all(np.diff(track.times_ns) > 0)
    assert track.values.tolist() == np.arange(99.0, -1.0, -1.0).tolist()


def test_the_longest_rest_ends_with_a_change_or_a_masked_sample(
    robot: Callable[..., RobotMap],
) -> None:
    values = np.zeros((100, 2))
    values[:, 0] = np.concatenate([np.arange(20), np.full(50, 7), np.arange(30)])
    values[40] = 1e7
    track = next(command_tracks(*recorded(values), robot()))
    # samples 41 to 69 are alike and good: 28 intervals of 50 ms
    assert longest_rest_ns(track) == 28 * STEP_NS
