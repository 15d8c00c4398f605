"""Header stamps against log time."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.clocks import clock_of, times_of
from wm_eval_ros.openloop.recording import Recorded

T0 = 1_700_000_000_000_000_000
STREAM = Stream(topic='/odom', type='nav_msgs/msg/Odometry', fields=('x',))


def recorded(stamps_ns: np.ndarray | None, log_ns: np.ndarray) -> Recorded:
    return Recorded(STREAM, ('x',), log_ns, stamps_ns, np.zeros((len(log_ns), 1)))


def sampled(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Stamps every 50 ms, and arrivals 1 to 9 ms later."""
    stamps = T0 + 50_000_000 * np.arange(count, dtype=np.int64)
    delay = np.random.default_rng(0).integers(1_000_000, 9_000_000, count)
    return stamps, stamps + delay


def test_the_offset_is_the_median_with_limits_around_it(
    robot: Callable[..., RobotMap],
) -> None:
    stamps, log = sampled()
    found = clock_of(recorded(stamps + 774_000_000, log), robot())
    assert found.offset.value == pytest.approx(0.774 - 0.005, abs=0.0005)
    interval = found.offset.interval
    assert interval is not None and interval.low <= found.offset.value <= interval.high
    assert interval.high - interval.low < 0.002
    assert found.jitter.value == pytest.approx(0.008, abs=0.0005)
    assert (found.base, found.zero) == ('log', 0)


def test_a_clock_that_runs_fast_drifts(robot: Callable[..., RobotMap]) -> None:
    stamps, log = sampled()
    # 100 ppm: 2 ms in the 20 s of the recording
    fast = stamps + (100e-6 * (stamps - T0)).astype(np.int64)
    found = clock_of(recorded(fast, log), robot()).drift
    assert found.interval is not None and found.interval.low < 100 < found.interval.high
    assert found.interval.low > 0


@given(st.integers(-10**12, 10**12), st.sampled_from(['log', 'stamps']))
def test_moving_the_stamps_moves_the_offset_and_no_sample(shift_ns: int, base: str) -> None:
    stamps, log = sampled(60)
    settings = _robot(base)
    before, after = (clock_of(recorded(s, log), settings) for s in (stamps, stamps + shift_ns))
    assert before.offset.value is not None and after.offset.value is not None
    assert after.offset.value - before.offset.value == pytest.approx(shift_ns / 1e9, abs=1e-9)
    assert np.array_equal(times_of(recorded(stamps, log), before),
                          times_of(recorded(stamps + shift_ns, log), after))


def _robot(base: str) -> RobotMap:
    from wm_eval_ros.config.interface import CommandStream, Interface
    command = CommandStream(topic='/u', type='a/msg/B', fields=('u',), low=(-1.0,), high=(1.0,))
    return RobotMap(name='test', clock=base,
                    interface=Interface(observations=(STREAM,), command=command))


def test_corrected_stamps_lose_the_jitter_and_keep_the_usual_transport() -> None:
    stamps, log = sampled()
    found = recorded(stamps + 774_000_000, log)
    times = times_of(found, clock_of(found, _robot('stamps')))
    assert set(np.diff(times)) == {50_000_000}
    assert np.median(times - log) == pytest.approx(0, abs=100_000)


@pytest.mark.parametrize(('stamps', 'why', 'zero'), [
    (None, 'no header', 0), (np.zeros(400, np.int64), '400 of 400 header stamps are zero', 400)],
    ids=['no-header', 'zero'])
def test_stamps_that_say_nothing_leave_log_time_and_the_reason(
    stamps: np.ndarray | None, why: str, zero: int,
) -> None:
    found = clock_of(recorded(stamps, sampled()[1]), _robot('stamps'))
    assert found.base == 'log' and why in found.why and found.zero == zero
    assert found.offset.value is None and found.offset.why


def test_a_single_zero_stamp_spoils_stamps_as_time_but_not_the_offset() -> None:
    stamps, log = sampled()
    stamps = stamps.copy()
    stamps[7] = 0
    found = clock_of(recorded(stamps, log), _robot('stamps'))
    assert found.base == 'log' and found.zero == 1
    assert found.offset.value == pytest.approx(-0.005, abs=0.0005)
