"""How far two clocks are apart: right within what is stated, whatever the ways take."""

from __future__ import annotations

from collections.abc import Callable
import random

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.metrics.clock import clock_values, Offset, offset_of, offsets, round_trips
from wm_eval_ros.metrics.link_log import EXCHANGE
from wm_eval_ros.metrics.rows import Rows

MS = 1_000_000


def exchanges(offset_ns: int, ways: list[tuple[int, int, int]]) -> Rows:
    """Make exchanges of (out, thinking, back) [ns] with a clock that is ahead by an offset."""
    rows, now = np.zeros(len(ways), EXCHANGE), 10**15
    for row, (out, thinking, back) in zip(rows, ways, strict=True):
        row['sent'], row['asked'] = now, now + out + offset_ns
        row['answered'] = row['asked'] + thinking
        row['received'] = now + out + thinking + back
        now += 10 * MS
    return rows


@given(offset=st.integers(-10**12, 10**12), ways=st.lists(st.tuples(
    st.integers(1, 10**8), st.integers(0, 10**7), st.integers(1, 10**8)), min_size=1,
    max_size=120))
def test_the_offset_is_right_within_its_uncertainty_however_lopsided_the_ways(
    offset: int, ways: list[tuple[int, int, int]]
) -> None:
    found = offset_of(exchanges(offset, ways))
    assert found is not None
    assert abs(found.offset_ns - offset) <= found.uncertainty_ns + 0.5
    assert found.round_trip_ns == min(out + back for out, _, back in ways)
    assert found.n == len(ways)


@given(offset=st.integers(-10**12, 10**12), way=st.integers(1, 10**8), n=st.integers(1, 50))
def test_it_is_exact_where_both_ways_take_equally_long(offset: int, way: int, n: int) -> None:
    rows = exchanges(offset, [(way, 5, way)] * n)
    assert offsets(rows).tolist() == [offset] * n
    assert round_trips(rows).tolist() == [2 * way] * n


def test_the_slow_exchanges_do_not_move_it() -> None:
    quick, slow = [(MS, 0, MS)] * 5, [(MS, 0, 90 * MS)] * 95
    found = offset_of(exchanges(7 * MS, slow + quick))
    assert found == Offset(7.0 * MS, MS, 2.0 * MS, 100)


def test_a_clock_that_was_set_meanwhile_is_left_out() -> None:
    rows = exchanges(0, [(MS, 0, MS), (MS, 0, MS)])
    rows['received'][0] -= 10**9
    found = offset_of(rows)
    assert found is not None
    assert found.n == 1
    assert offset_of(rows[:1]) is None
    value, _ = clock_values('planner', None, 1)
    assert value.value is None
    assert 'was set meanwhile' in value.why


def bursts(ahead: Callable[[int], float], way: Callable[[int], tuple[int, int]]) -> Rows:
    """Make four bursts of 20 exchanges, 10 s apart, with a clock that is ahead by a function."""
    at = [10**15 + burst * 10**10 + k * 10 * MS for burst in range(4) for k in range(20)]
    rows = np.zeros(len(at), EXCHANGE)
    for row, sent in zip(rows, at, strict=True):
        out, back = way(sent)
        row['sent'] = sent
        row['asked'] = row['answered'] = sent + out + round(ahead(sent + out))
        row['received'] = sent + out + back
    return rows


@given(ppm=st.floats(-500, 500), offset=st.integers(-10**12, 10**12), seed=st.integers(0, 99))
def test_a_clock_that_drifts_is_followed_and_right_within_its_uncertainty(
    ppm: float, offset: int, seed: int
) -> None:
    rng = random.Random(seed)

    def ahead(at_ns: int) -> float:
        return offset + ppm * 1e-6 * (at_ns - 10**15)

    found = offset_of(bursts(ahead, lambda _: (rng.randint(MS, 4 * MS), rng.randint(MS, 4 * MS))))
    assert found is not None
    assert found.set_ns == 0.0
    # 30 s of it: it shows where it is beyond what a round trip hides
    if abs(ppm) > 300:
        assert found.moved
    if found.moved:
        assert found.uncertainty_ns <= 4.0 * MS
        # also before, between and beyond the bursts, but for what a burst is off over 10 s
        times = 10**15 + np.arange(0, 30 * 10**9, 10**9)
        true = np.array([ahead(int(t)) for t in times])
        assert np.all(np.abs(found.at(times) - true) <= found.uncertainty_ns + 10_000)


@given(offset=st.integers(-10**12, 10**12), seed=st.integers(0, 99))
def test_a_steady_clock_is_never_taken_for_one_that_moved(offset: int, seed: int) -> None:
    rng = random.Random(seed)
    found = offset_of(bursts(lambda _: offset,
                             lambda _: (rng.randint(1, 90 * MS), rng.randint(1, 90 * MS))))
    assert found is not None
    assert not found.moved
    assert found.set_ns == 0.0
    assert found.at(np.array([0, 10**15])).tolist() == [found.offset_ns] * 2


@pytest.mark.parametrize('after_ns', [
    pytest.param(15 * 10**9, id='between-bursts'), pytest.param(100 * MS, id='within-one')])
def test_no_offset_is_told_of_a_clock_that_was_set_between_exchanges(after_ns: int) -> None:
    found = offset_of(bursts(lambda at: 500.0 * MS * (at > 10**15 + after_ns),
                             lambda _: (MS, MS)))
    assert found is not None
    assert found.set_ns == pytest.approx(500 * MS, abs=2 * MS)
    value, trip = clock_values('planner', found, 80)
    assert value.value is None
    assert 'a clock was set meanwhile, by about' in value.why
    assert trip.value == 2.0


def test_the_interval_of_a_clock_that_drifts_is_where_it_was() -> None:
    found = offset_of(bursts(lambda at: 1e-4 * (at - 10**15), lambda _: (MS // 4, MS // 4)))
    value, _ = clock_values('planner', found, 80)
    # 100 us a second from the first exchange to 30 s, known to 0.25 ms
    assert value.value == pytest.approx(1.5, abs=0.02)
    assert value.interval is not None
    assert value.interval[:2] == pytest.approx((-0.25, 3.25), abs=0.02)
    assert 'it moved by +3 ms meanwhile' in value.interval.method


def test_the_interval_of_the_offset_is_what_is_known() -> None:
    value, trip = clock_values('planner', Offset(-5.0 * MS, 0.5 * MS, 0.8 * MS, 40), 40)
    assert value.name == 'clock_offset[planner]'
    assert value.value == -5.0
    assert value.interval is not None
    assert value.interval[:2] == pytest.approx((-5.5, -4.5))
    assert (trip.name, trip.value) == ('clock_round_trip[planner].min', 0.8)
