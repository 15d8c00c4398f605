"""How far two clocks are apart: right within what is stated, whatever the ways take."""

from __future__ import annotations

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


def test_the_interval_of_the_offset_is_what_is_known() -> None:
    value, trip = clock_values('planner', Offset(-5.0 * MS, 0.5 * MS, 0.8 * MS, 40), 40)
    assert value.name == 'clock_offset[planner]'
    assert value.value == -5.0
    assert value.interval is not None
    assert value.interval[:2] == pytest.approx((-5.5, -4.5))
    assert (trip.name, trip.value) == ('clock_round_trip[planner].min', 0.8)
