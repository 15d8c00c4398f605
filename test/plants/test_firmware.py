"""The micro-controller's state machine, its line and its clock, by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.plants.firmware import Firmware, STATUS_US
from wm_eval_ros.plants.serial_line import Crystal, Line
from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    Decoder,
    encode,
    Frame,
    Question,
    Status,
)

NAN, INF = float('nan'), float('inf')


def heard(data: bytes) -> list[Frame]:
    return Decoder().feed(data)


def command(number: int, *values: float) -> bytes:
    return encode(Command(number, 1000 + number, values or (float(number),)))


@pytest.fixture
def firmware() -> Firmware:
    """One whose first status is out."""
    made = Firmware()
    assert heard(made.advance(0)) == [Status(False, 0, 0, 0, 0)]
    return made


def test_a_command_acts_at_the_next_tick_and_not_before(firmware: Firmware) -> None:
    assert firmware.feed(command(1, 0.5, -0.5), 1400) == b''
    assert firmware.due_us == 1000, 'the tick of 1 ms has not been done'
    firmware.advance(1400)
    assert firmware.acting == (0.5, -0.5)
    firmware.feed(command(2), 1700)
    assert firmware.due_us == 2000
    assert firmware.advance(1999) == b''
    assert heard(firmware.advance(2003)) == [Applied(2, 1002, 1700, 2003)]
    assert firmware.acting == (2.0,)
    assert firmware.advance(2999) == b'', 'once'


def test_of_several_before_a_tick_the_newest_acts_and_the_others_are_counted(
    firmware: Firmware
) -> None:
    firmware.advance(1000)
    firmware.feed(command(1) + command(2) + command(3), 1500)
    assert heard(firmware.advance(2000)) == [Applied(3, 1003, 1500, 2000)]
    assert heard(firmware.advance(STATUS_US))[-1] == Status(True, 1, 0, 2, STATUS_US)


@pytest.mark.parametrize('values', [(NAN,), (1.0, INF), (-INF, 0.0)])
def test_what_is_not_finite_never_acts_and_keeps_nothing_alive(
    firmware: Firmware, values: tuple[float, ...]
) -> None:
    firmware.feed(command(1, 0.5), 500)
    firmware.advance(1000)
    for now_us in range(2_000, 200_000, 1000):
        firmware.feed(command(2, *values), now_us)
        assert firmware.advance(now_us) == b''
    assert firmware.acting == (0.5,)
    (status,) = heard(firmware.advance(201_000))
    assert status == Status(True, 1, 0, 198, 201_000)
    assert firmware.acting == (0.0,)


def test_without_a_command_zero_acts_and_the_next_command_ends_that(firmware: Firmware) -> None:
    firmware.feed(command(1, 0.5, 0.25), 500)
    firmware.advance(1000)
    assert firmware.due_us == 201_500
    assert firmware.advance(200_500) == b'', 'exactly the timeout is in time'
    assert heard(firmware.advance(201_500)) == [Status(True, 1, 0, 0, 201_500)]
    assert firmware.acting == (0.0, 0.0)
    assert firmware.advance(300_000) == b'', 'said once'
    firmware.feed(command(2, 1.0), 300_100)
    assert heard(firmware.advance(301_000)) == [
        Applied(2, 1002, 300_100, 301_000), Status(False, 1, 0, 0, 301_000)]
    assert firmware.acting == (1.0,)


def test_before_the_first_command_no_watchdog_trips(firmware: Firmware) -> None:
    assert heard(firmware.advance(10 * STATUS_US)) == [Status(False, 0, 0, 0, 10 * STATUS_US)]


def test_a_question_is_answered_at_once_with_the_time_of_its_last_byte(
    firmware: Firmware
) -> None:
    asked = encode(Question(77))
    assert firmware.feed(asked[:-1], 100) == b''
    assert heard(firmware.feed(asked[-1:], 250)) == [Answer(77, 250, 250)]


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 300_000)), max_size=20))
def test_no_bytes_make_it_raise_or_act(noise: list[tuple[bytes, int]]) -> None:
    firmware, now_us = Firmware(), 0
    for data, passed_us in noise:
        now_us += passed_us
        firmware.advance(now_us)
        firmware.feed(data, now_us)
        assert firmware.due_us >= 0
    assert firmware.acting == ()


@given(st.lists(st.tuples(st.integers(0, 5_000_000), st.binary(min_size=1, max_size=30))),
       st.sampled_from([9600, 115200, 1_000_000]))
def test_no_byte_leaves_a_line_before_its_bits_have_passed(
    sent: list[tuple[int, bytes]], baud: int
) -> None:
    line, now_ns = Line(baud), 0
    first_ns = None
    for passed_ns, data in sent:
        now_ns += passed_ns
        first_ns = now_ns if first_ns is None else first_ns
        line.add(now_ns, data)
    whole = b''.join(data for _, data in sent)
    came = b''
    while line.due_ns is not None:
        due_ns = line.due_ns
        ready = line.due(due_ns)
        assert ready
        came += ready
        assert first_ns is not None
        assert due_ns - first_ns >= len(came) * 10 * 10**9 // baud - len(came)
    assert came == whole


def test_a_line_says_when_the_next_frame_has_passed() -> None:
    line = Line(1_000_000)
    line.add(5000, b'ab\0cd')
    assert line.due_ns == 35_000
    assert line.due(34_999) == b'ab'
    assert line.due(35_000) == b'\0'
    assert line.due_ns == 55_000, 'no frame ends: all'


def test_a_crystal_runs_at_its_own_rate_from_its_own_time() -> None:
    crystal = Crystal(10**12, 7_000_000, 50.0)
    assert crystal.us(10**12) == 7_000_000
    assert crystal.us(10**12 + 10 * 10**9) == 7_000_000 + 10_000_500
    assert crystal.ns(7_000_000 + 10_000_500) == 10**12 + 10 * 10**9
