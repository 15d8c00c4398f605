"""What is known and what is true at each instant, and why some are masked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.openloop.grid import Grid, make_grid
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.tracks import Track
from wm_eval_ros.openloop.windows import windows

MS = 1_000_000


def track(times_ms: np.ndarray, values: np.ndarray, name: str = 'x') -> Track:
    times = np.asarray(times_ms * MS, dtype=np.int64)
    interval = int(np.median(np.diff(times)))
    return Track(name, f'/{name}', times, np.asarray(values, float),
                 np.zeros(len(times), np.uint8), interval, interval)


def line(first_ms: int, last_ms: int, step_ms: int, name: str = 'x') -> Track:
    times = np.arange(first_ms, last_ms + 1, step_ms)
    return track(times, times / 1000, name)


def test_the_known_is_the_past_and_the_true_lies_between(
    robot: Callable[..., RobotMap],
) -> None:
    found = make_grid([line(0, 1000, 40)], [line(0, 1000, 100, 'u')], robot(), 50 * MS)
    # at 50 ms: the sample of 40 ms is known, 50 ms is true, and that is known at 80 ms
    assert found.state[1, 0] == 0.04
    assert found.truth[1, 0] == pytest.approx(0.05)
    assert found.settled_ns[1] == 80 * MS
    # at 200 ms a sample falls on the instant
    assert (found.state[4, 0], found.truth[4, 0], found.settled_ns[4]) == (0.2, 0.2, 200 * MS)
    assert not found.state_codes.any() and not found.truth_codes.any()


@given(st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_no_instant_knows_a_sample_of_its_future(step_ms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 2 * step_ms + 1, 80))
    # each value is its own time, so that what is known says when it was taken
    found = make_grid([track(times, times)], [line(0, int(times[-1]), 20, 'u')], _robot(), 50 * MS)
    good = found.state_codes == 0
    assert np.all(found.state[good, 0] * MS <= found.times_ns[good])
    assert np.all(found.settled_ns >= found.times_ns)
    true = found.truth_codes == 0
    assert np.allclose(found.truth[true, 0] * MS, found.times_ns[true])


def _robot() -> RobotMap:
    from wm_eval_ros.config.interface import CommandStream, Interface, Stream
    return RobotMap(name='t', interface=Interface(
        observations=(Stream(topic='/x', type='a/msg/B', fields=('x',)),),
        command=CommandStream(topic='/u', type='a/msg/B', fields=('u',), low=(0.0,), high=(1.0,))))


def silent(first_ms: int, last_ms: int) -> Track:
    """A state every 20 ms but between two times."""
    times = np.concatenate([np.arange(0, first_ms + 1, 20), np.arange(last_ms, 6001, 20)])
    return track(times, times / 1000)


@pytest.mark.parametrize(('gap', 'reason'), [
    ((1000, 1600), Reason.STATE_SILENCE), ((1000, 3000), Reason.SENSOR_LOSS)],
    ids=['0.6 s', '2 s'])
def test_a_silence_is_masked_and_a_long_one_is_a_sensor_loss(
    robot: Callable[..., RobotMap], gap: tuple[int, int], reason: Reason,
) -> None:
    found = make_grid([silent(*gap)], [line(0, 6000, 100, 'u')], robot(), 50 * MS)
    held = (found.times_ns > (gap[0] + 100) * MS) & (found.times_ns < gap[1] * MS)
    assert set(found.state_codes[held]) == {int(reason)}
    assert set(found.state_codes[~held]) == {0}
    inside = (found.times_ns > gap[0] * MS) & (found.times_ns < gap[1] * MS)
    assert set(found.truth_codes[inside]) == {int(reason)} and not found.truth_codes[~inside].any()
    assert not found.state[held].any() and not found.truth[inside].any()


def test_a_command_holds_for_its_timeout(robot: Callable[..., RobotMap]) -> None:
    sent = track(np.array([0, 1000, 3000]), np.ones(3), 'u')
    found = make_grid([line(0, 3000, 20)], [sent], robot(command_timeout_s=0.5), 100 * MS)
    late = np.flatnonzero(found.command_codes).tolist()
    assert late == [6, 7, 8, 9, *range(16, 30)]
    assert set(found.command_codes[late]) == {int(Reason.COMMAND_SILENCE)}


def test_streams_that_do_not_overlap_are_refused(robot: Callable[..., RobotMap]) -> None:
    with pytest.raises(BagError, match='do not overlap'):
        make_grid([line(0, 1000, 20)], [line(5000, 6000, 20, 'u')], robot(), 50 * MS)


def test_no_window_reaches_over_a_masked_sample(driven: Callable[..., Grid]) -> None:
    base = driven(100)
    codes = base.state_codes.copy()
    codes[50] = int(Reason.OUTLIER)
    found = windows(replace(base, state_codes=codes), history=3, steps=2)
    assert set(found.at) - set(found.whole) == {50, 51, 52}
    assert found.masked() == {Reason.OUTLIER: 3}


def test_the_truth_is_needed_at_the_end_alone(driven: Callable[..., Grid]) -> None:
    base = driven(100)
    codes = base.truth_codes.copy()
    codes[50] = int(Reason.SENSOR_LOSS)
    found = windows(replace(base, truth_codes=codes), history=3, steps=2)
    assert set(found.at) - set(found.whole) == {48}


def test_a_command_is_needed_until_the_last_step_begins(driven: Callable[..., Grid]) -> None:
    base = driven(100)
    codes = base.command_codes.copy()
    codes[50] = int(Reason.SENTINEL)
    found = windows(replace(base, command_codes=codes), history=3, steps=2)
    assert set(found.at) - set(found.whole) == {49, 50, 51, 52}


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_windows_are_masked_as_looking_at_each_one_would(
    history: int, steps: int, seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    state, truth, command = (np.where(rng.random(40) < 0.1, rng.choice([1, 2, 16, 32], 40), 0)
                             .astype(np.uint8) for _ in range(3))
    zeros = np.zeros((40, 1))
    found = windows(Grid(0, 1, ('x',), zeros, state, zeros, truth, np.arange(40), ('u',), zeros,
                         command), history, steps)
    for at, codes in zip(found.at, found.codes, strict=True):
        want = int(truth[at + steps])
        for back in range(history):
            want |= int(state[at - back])
        for step in range(1 - history, steps):
            want |= int(command[at + step])
        assert codes == want
    assert len(found.at) == 40 - history - steps + 1


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 30), st.integers(1, 8))
def test_windows_apart_share_no_sample(history: int, steps: int, first: int, size: int) -> None:
    zeros, none = np.zeros((50, 1)), np.zeros(50, np.uint8)
    found = windows(Grid(0, 1, ('x',), zeros, none, zeros, none, np.arange(50), ('u',), zeros,
                         none), history, steps)
    rows = np.arange(first, min(first + size, len(found.at)))
    def support(at: int) -> set[int]:
        return set(range(at - history + 1, at + steps + 1))
    for row, apart in enumerate(found.apart(rows)):
        shared = any(support(int(found.at[row])) & support(int(found.at[r])) for r in rows)
        assert apart == (not shared)


def test_a_stretch_of_windows_lies_within_its_grid_points(driven: Callable[..., Grid]) -> None:
    found = windows(driven(100), 3, 2)
    for first, last in product((0, 10), (30, 100)):
        own = found.between(first, last)
        assert own.at[0] - 2 >= first and own.at[-1] + 2 < last
        assert len(own.at) == last - first - 4
