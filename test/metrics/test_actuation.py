"""When commands act, from the records of a serial line: worked out by hand, clocks far apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import random
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.metrics.clock import FASTEST
from wm_eval_ros.metrics.firmware_clock import Bounds, bounds_of
from wm_eval_ros.metrics.link import WARMUP
from wm_eval_ros.metrics.link_log import EXCHANGE
from wm_eval_ros.records import (
    ClockExchange,
    FIRMWARE,
    LinkKind,
    Record,
)
from wm_eval_ros.scoring.scorer import score

MS = 1_000_000
TOPIC, BEGIN = '/joint_command', 9_000 * 1000 * MS


def whole(scenes: ModuleType) -> list[Record]:
    return [*scenes.actuator_run(), *scenes.firmware_clocks()]


def test_a_command_acts_so_long_after_its_sample_though_the_clocks_are_hours_apart(
    scenes: ModuleType
) -> None:
    card = score(whole(scenes))
    acts, last = card[f'actuation[{TOPIC}].p50'], card[f'command_to_actuation[{TOPIC}].p50']
    assert acts.value == pytest.approx(8.0, abs=0.002)
    assert last.value == pytest.approx(5.0, abs=0.002)
    assert acts.n == scenes.LINK_SLOTS - WARMUP
    assert acts.interval is not None
    # half a question and its answer, and what two clocks may part by in half of 100 ms
    assert acts.interval.low == pytest.approx(7.9, abs=0.06)
    assert acts.interval.high == pytest.approx(8.1, abs=0.06)
    assert 'clocks known to 0.1' in acts.interval.method
    every = card[f'actuation_interval[{TOPIC}].p99']
    assert every.value == pytest.approx(10.0005, abs=0.0011), 'by the clock of the actuator'
    offset = card[f'clock_offset[{FIRMWARE}]']
    assert offset.interval is not None
    assert offset.value == pytest.approx(scenes.SHOWN_AHEAD / MS, abs=0.06)
    assert 'it moved by +0.2' in offset.interval.method
    # a device's system clock was asked by nobody
    assert card['one_way_back[/joint_command]'].value is None


def test_lopsided_ways_deceive_by_less_than_is_stated(scenes: ModuleType) -> None:
    card = score([*scenes.actuator_run(), *scenes.firmware_clocks(out=MS, back=0)])
    found = card[f'actuation[{TOPIC}].p50']
    assert found.interval is not None
    assert found.value == pytest.approx(7.5, abs=0.01)
    assert found.interval.low <= 8.0 <= found.interval.high


def test_a_slow_question_costs_nothing_where_quick_ones_are_near(scenes: ModuleType) -> None:
    slow = [scenes.asked_firmware(BEGIN + k * 300 * MS, 40 * MS, 90 * MS) for k in range(12)]
    found = score([*whole(scenes), *slow])
    assert found[f'actuation[{TOPIC}].p50'] == score(whole(scenes))[f'actuation[{TOPIC}].p50']


def restarted(scenes: ModuleType) -> list[ClockExchange]:
    """Let the clock begin again amid the run."""
    return [replace(x, server_receive_ns=x.server_receive_ns - 10**12,
                    server_send_ns=x.server_send_ns - 10**12)
            if x.client_send_ns > BEGIN + 10**9 else x for x in scenes.firmware_clocks()]


def no_crystal(scenes: ModuleType) -> list[ClockExchange]:
    """Let the clock gain 3 ms a second, three times what a crystal may."""
    return [replace(x, server_receive_ns=x.server_receive_ns + gained,
                    server_send_ns=x.server_send_ns + gained)
            for x in scenes.firmware_clocks()
            for gained in [(x.client_send_ns - BEGIN) * 3 // 1000]]


@pytest.mark.parametrize(('asked', 'says'), [
    (lambda scenes: [], 'no exchange of stamps with the micro-controller'),
    (lambda scenes: scenes.firmware_clocks(6 * MS, 6 * MS), 'more than 10% of the deadline'),
    (restarted, 'its clock was reset'),
    (no_crystal, 'is no crystal'),
    # bytes faster than the line
    (lambda scenes: scenes.firmware_clocks(back=-MS), 'faster than its baud says'),
])
def test_where_the_clock_is_not_known_there_is_a_reason_and_no_figure(
    scenes: ModuleType, asked: Callable[[ModuleType], list[Record]], says: str
) -> None:
    card = score([*scenes.actuator_run(), *asked(scenes)])
    for name in ('actuation', 'command_to_actuation'):
        found = card[f'{name}[{TOPIC}]']
        assert found.value is None
        assert says in found.why
    # needs the actuator's clock alone
    assert card[f'actuation_interval[{TOPIC}].p50'].value == pytest.approx(10.0, abs=0.01)
    assert card[f'round_trip[{TOPIC}].p50'].value == pytest.approx(3.0)


def test_commands_that_never_acted_are_counted_and_intervals_span_them(
    scenes: ModuleType
) -> None:
    card = score([*scenes.actuator_run(lost=(50, 51, 399)), *scenes.firmware_clocks()])
    found = card[f'commands_not_applied[{TOPIC}]']
    assert (found.value, found.n) == (3 / scenes.LINK_SLOTS, scenes.LINK_SLOTS)
    assert card[f'actuation_interval[{TOPIC}].max'].value == pytest.approx(30.0, abs=0.01)


def test_a_watchdog_trips_between_commands_and_not_after_the_last(scenes: ModuleType) -> None:
    trips = [scenes.acted(0, BEGIN + at * scenes.ACT_PERIOD, 0, LinkKind.WATCHDOG)
             for at in (100, 200, 10_000)]
    assert score([*whole(scenes), *trips])[f'watchdog_trips[{TOPIC}]'].value == 2
    assert score(whole(scenes))[f'watchdog_trips[{TOPIC}]'].value == 0


def test_the_order_of_the_records_makes_no_difference(scenes: ModuleType) -> None:
    records = [*scenes.actuator_run(lost=(3,)), *scenes.firmware_clocks()]
    wanted = score(records).to_json()
    random.Random(1).shuffle(records)
    assert score(records).to_json() == wanted


def test_without_an_actuator_there_is_no_figure_of_one(scenes: ModuleType) -> None:
    card = score([*scenes.echo_run(), *scenes.clocks()])
    assert not [v for v in card.values if 'actuation' in v.name or 'watchdog' in v.name]


# the clock -------------------------------------------------------------------------------------


def of(found: Sequence[ClockExchange]) -> Bounds:
    made = bounds_of(np.array([(0, x.client_send_ns, x.server_receive_ns, x.server_send_ns,
                                x.client_receive_ns) for x in found], EXCHANGE))
    assert made is not None
    return made


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 20 * MS), st.integers(0, 20 * MS),
                          st.integers(0, 5 * MS)), min_size=1, max_size=30),
       st.floats(-900.0, 900.0), st.integers(-10**15, 10**15),
       st.lists(st.integers(-10**9, 40 * 10**9), min_size=1, max_size=20))
def test_the_bounds_hold_every_true_time_whatever_the_ways_take(
    asked: list[tuple[int, int, int, int]], ppm: float, ahead: int, times: list[int]
) -> None:
    def clock(steady_ns: int) -> int:
        passed_ns = steady_ns - BEGIN
        return (BEGIN + ahead + passed_ns + round(passed_ns * ppm * 1e-6)) // 1000 * 1000

    at, found = BEGIN, []
    for pause, out, back, thought in asked:
        at += pause
        found.append(ClockExchange(FIRMWARE, at, clock(at + out), clock(at + out + thought),
                                   at + out + thought + back))
    bounds = of(found)
    assert bounds.hold
    truth = np.array([BEGIN + t for t in times])
    host, half = bounds.host(np.array([clock(int(t)) for t in truth]))
    assert np.all(np.abs(host - truth) <= half + 2)


def test_between_two_exchanges_nothing_is_known_better_than_drift_lets_it(
    scenes: ModuleType
) -> None:
    bounds = of([scenes.asked_firmware(BEGIN), scenes.asked_firmware(BEGIN + 10**9)])
    times = [scenes.shown(BEGIN + t) for t in (0, 500 * MS, 10**9, 2 * 10**9)]
    _, half = bounds.host(np.array(times))
    near = 0.1 * MS + 1000
    assert half == pytest.approx([near, near + FASTEST * 500 * MS, near, near + FASTEST * 10**9],
                                 abs=60_000)


def test_no_exchange_tells_nothing() -> None:
    assert bounds_of(np.zeros(0, EXCHANGE)) is None
