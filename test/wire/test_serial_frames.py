"""Frames on a serial line: whole, cut anywhere, damaged anywhere."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
import re
import struct

from hypothesis import example, given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    crc,
    Decoder,
    encode,
    END_US,
    Frame,
    line_ns,
    MAX_VALUES,
    Question,
    Status,
)

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'serial.md'
U32, US = st.integers(0, 2**32 - 1), st.integers(0, END_US - 1)
I64 = st.integers(-2**63, 2**63 - 1)
VALUES = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=MAX_VALUES).map(tuple)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Command, U32, I64, VALUES), st.builds(Applied, U32, I64, US, US),
    st.builds(Question, I64), st.builds(Answer, I64, US, US),
    st.builds(Status, st.booleans(), U32, U32, U32, US))
#: as they stand in docs/serial.md
EXAMPLES: dict[str, Frame] = {
    'COMMAND': Command(7, 1_700_000_000_000_000_000, (0.5, -1.0)),
    'APPLIED': Applied(7, 1_700_000_000_000_000_000, 5_000_123, 5_001_000),
    'QUESTION': Question(123_456_789_012),
    'ANSWER': Answer(123_456_789_012, 5_000_123, 5_000_130),
    'STATUS': Status(True, 1, 2, 3, 6_000_000),
}


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 400), max_size=5))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(
    frames: list[Frame], cuts: list[int]
) -> None:
    stream = b''.join(encode(f) for f in frames)
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    decoder = Decoder()
    found = [f for a, b in pairwise(edges) for f in decoder.feed(stream[a:b])]
    assert found == frames
    assert decoder.errors == 0


@given(st.binary(max_size=600), FRAMES)
@example(b'\0' * 10, EXAMPLES['STATUS'])
@example(b'\1' * 600, EXAMPLES['COMMAND'])
@example(b'\xff' * 300 + b'\0\xff', EXAMPLES['ANSWER'])
def test_after_garbage_the_next_whole_frame_is_found_and_none_before(
    garbage: bytes, frame: Frame
) -> None:
    decoder = Decoder()
    assert decoder.feed(garbage + b'\0') == []
    assert decoder.feed(encode(frame)) == [frame]


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_flipped_bits_never_make_a_frame_that_was_not_sent(
    frames: list[Frame], data: st.DataObject
) -> None:
    stream = bytearray(b''.join(encode(f) for f in frames))
    for bit in data.draw(st.lists(st.integers(0, 8 * len(stream) - 1), min_size=1, max_size=3,
                                  unique=True)):
        stream[bit // 8] ^= 1 << bit % 8
    decoder = Decoder()
    found = decoder.feed(bytes(stream) + b'\0')
    assert all(f in frames for f in found)
    assert len(found) < len(frames) or len(set(frames)) < len(frames)
    assert decoder.feed(encode(frames[0])) == [frames[0]], 'in step again'


@pytest.mark.parametrize('name', EXAMPLES)
def test_no_single_flipped_bit_of_an_example_is_taken_for_a_frame(name: str) -> None:
    whole = encode(EXAMPLES[name])
    for bit in range(8 * (len(whole) - 1)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        assert Decoder().feed(bytes(broken)) == [], bit


@pytest.mark.parametrize('name', EXAMPLES)
def test_the_page_has_the_bytes_of_every_example(name: str) -> None:
    found = re.search(rf'^    {name} +(.+)\n((?:     +[0-9a-f ]+\n)+)', PAGE.read_text(), re.M)
    assert found is not None, name
    assert bytes.fromhex(found[2]) == encode(EXAMPLES[name])
    told = dict(re.findall(r'(\w+)=([^ ]+)', found[1]))
    assert told == {f.name: _plain(getattr(EXAMPLES[name], f.name))
                    for f in fields(EXAMPLES[name])}


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ','.join(f'{v:g}' for v in value)
    return str(int(value)) if isinstance(value, int) else str(value)


def test_the_checksum_is_the_one_that_the_catalogues_call_ccitt_false() -> None:
    assert crc(b'123456789') == 0x29B1


def test_question_and_answer_are_of_one_length_whatever_they_hold() -> None:
    assert {len(encode(f)) for f in (Question(0), Question(-1), Answer(0, 0, 0),
                                     Answer(2**62, 2**53 - 1, 257))} == {29}
    assert line_ns(29, 115200) == 2_517_361


@pytest.mark.parametrize(('frame', 'says'), [
    (replace(EXAMPLES['COMMAND'], sequence=2**32), 'sequence'),  # type: ignore[type-var]
    (Command(0, 0, ()), '0 values'), (Command(0, 0, (0.0,) * 33), '33 values'),
    (Command(0, 0, (1e39,)), 'too large'), (Question(2**63), 'Question'),
])
def test_what_no_field_holds_is_refused(frame: Frame, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encode(frame)


def test_a_frame_of_another_length_or_type_is_none_though_its_checksum_is_right() -> None:
    decoder = Decoder()
    for body in (b'\2' + bytes(5), b'\x09' + bytes(8), b'\1' + bytes(12), b'\1' + bytes(14),
                 b'\1' + bytes(12 + 4 * 33)):
        whole = body + struct.pack('<H', crc(body))
        coded = b''.join(bytes([len(p) + 1]) + p for p in whole.split(b'\0'))
        assert decoder.feed(coded + b'\0') == []
    assert decoder.errors == 5


@pytest.mark.parametrize('frame', [Applied(1, 2, 3, END_US), Answer(1, END_US, 2),
                                   Status(False, 0, 0, 0, 2**64 - 1)])
def test_a_time_of_another_age_is_none(frame: Frame) -> None:
    decoder = Decoder()
    assert decoder.feed(encode(frame)) == []
    assert decoder.errors == 1


@pytest.mark.parametrize(('name', 'count', 'ms'), [
    ('COMMAND', 25, 2.17), ('APPLIED', 33, 2.86), ('QUESTION', 29, 2.52), ('STATUS', 26, 2.26)])
def test_the_lengths_and_times_on_the_page_are_those(name: str, count: int, ms: float) -> None:
    assert len(encode(EXAMPLES[name])) == count
    assert line_ns(count, 115200) / 1e6 == pytest.approx(ms, abs=0.005)
