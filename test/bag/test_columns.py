"""Messages by the thousand: order, payloads and stamps are those of the messages one by one."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.bag.columns import Columns, EMPTY, from_payloads, in_order, joined, ROW
from wm_eval_ros.bag.merge import merged, Source
from wm_eval_ros.bag.message import Connection
from wm_eval_ros.errors import BagError

CONNECTIONS = tuple(Connection(f'/t{n}', 'a/msg/B', '', '') for n in range(3))


def columns(messages: list[tuple[int, int, bytes]]) -> Columns:
    """Return messages of log time, connection and payload, in the order of a file."""
    rows = np.zeros(len(messages), ROW)
    for place, (log_ns, connection, _) in enumerate(messages):
        rows[place]['log_ns'], rows[place]['connection'] = log_ns, connection
        rows[place]['place'] = place
    return from_payloads(rows, [data for _, _, data in messages])


def told(found: Columns) -> list[tuple[int, str, bytes]]:
    return [(m.log_ns, m.topic, m.data) for m in found.messages(CONNECTIONS)]


MESSAGES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.binary(max_size=5)),
                    max_size=30)


@given(MESSAGES)
def test_order_is_by_log_time_then_by_place(messages: list[tuple[int, int, bytes]]) -> None:
    want = [(log, f'/t{n}', data) for log, n, data in sorted(messages, key=lambda m: m[0])]
    assert told(in_order(columns(messages))) == want


@given(MESSAGES)
def test_a_connection_s_messages_come_together_and_in_order(
    messages: list[tuple[int, int, bytes]],
) -> None:
    found = {n: told(own) for n, own in columns(messages).by_connection()}
    assert found == {n: [(log, f'/t{n}', data) for log, m, data in messages if m == n]
                     for n in {m for _, m, _ in messages}}


@given(MESSAGES, MESSAGES, st.data())
def test_joined_split_and_released_messages_keep_their_payloads(
    first: list[tuple[int, int, bytes]], second: list[tuple[int, int, bytes]], data: st.DataObject,
) -> None:
    both = joined([columns(first), EMPTY, columns(second)])
    assert told(both) == told(columns(first)) + told(columns(second))
    cut = data.draw(st.integers(0, len(both)))
    assert told(both[:cut].released()) + told(both[cut:].released()) == told(both)


def batches(messages: list[tuple[int, int, bytes]], size: int) -> Iterator[Columns]:
    ordered = in_order(columns(messages))
    yield from (ordered[at:at + size] for at in range(0, len(ordered), size))


@given(st.lists(MESSAGES, min_size=1, max_size=4), st.integers(1, 7), st.booleans())
def test_files_are_merged_by_time_then_by_file_whatever_their_batches(
    files: list[list[tuple[int, int, bytes]]], size: int, bounds: bool,
) -> None:
    sources = [Source(lambda file=file: batches(file, size),
                      min((m[0] for m in file), default=0) if bounds else -1) for file in files]
    found = [message for part in merged(sources) for message in told(part)]
    flat = [message for file in files for message in told(in_order(columns(file)))]
    assert found == sorted(flat, key=lambda m: m[0])


def test_a_file_that_begins_later_is_not_opened_before_its_time() -> None:
    opened: list[str] = []

    def begin(name: str, first: int) -> Iterator[Columns]:
        opened.append(name)
        yield from batches([(first + n, 0, b'') for n in range(4)], 2)

    found = merged([Source(lambda: begin('a', 0), 0), Source(lambda: begin('b', 100), 100)])
    assert told(next(found)) == [(0, '/t0', b'')]
    assert opened == ['a']
    assert sum(len(part) for part in found) == 7
    assert opened == ['a', 'b']


@pytest.mark.parametrize('little', [True, False])
@given(stamps=st.lists(st.tuples(st.integers(-2**31, 2**31 - 1), st.integers(0, 999_999_999))))
def test_stamps_are_read_in_either_byte_order(
    little: bool, stamps: list[tuple[int, int]],
) -> None:
    head = b'\0\1\0\0' if little else b'\0\0\0\0'
    payloads = [head + pack('<iI' if little else '>iI', *s) + bytes(2) for s in stamps]
    found = columns([(0, 0, data) for data in payloads])
    assert found.stamps('/t').tolist() == [s * 10**9 + ns for s, ns in stamps]


def test_a_message_too_short_for_a_header_is_named() -> None:
    found = columns([(3, 0, bytes(12)), (4, 0, bytes(11))])
    with pytest.raises(BagError, match='/t: the message logged at 4 ns has 11 bytes'):
        found.stamps('/t')
