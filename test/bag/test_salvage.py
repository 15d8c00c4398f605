"""Salvage: behind a damaged place reading goes on; nothing untrue is read, the rest is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import random
import sqlite3

from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
import pytest

from wm_eval_ros.bag.preflight import preflight, Severity
from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict

Messages = list[tuple[int, bytes]]
STEP = 10_000_000
#: opcode, length, channel, sequence, log time and publish time of a message record
HEAD = 31


def payload(number: int) -> bytes:
    """Return a message of a size of its own, with its number throughout."""
    return b'\0\1\0\0' + number.to_bytes(4, 'little') * (20 + number % 7)


def write(path: Path, count: int, *, chunked: bool = True, closed: bool = True) -> Messages:
    """Write a file and return what is in it."""
    messages = [(STEP * (number + 1), payload(number)) for number in range(count)]
    with path.open('wb') as file:
        writer = Writer(file, chunk_size=2048, use_chunking=chunked)
        writer.start('ros2')
        channel = writer.register_channel('/t', 'cdr', writer.register_schema('a/msg/B', '', b''))
        for log_ns, data in messages:
            writer.add_message(channel, log_ns, data, log_ns)
        writer.finish()  # type: ignore[no-untyped-call]
    if not closed:
        cut_the_end(path)
    return messages


def cut_the_end(path: Path) -> None:
    with path.open('rb') as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        end = max((i.chunk_start_offset + i.chunk_length for i in summary.chunk_indexes),
                  default=None)
    if end is None:
        end = path.read_bytes().rindex(payload(0)[:4]) + 50
    path.write_bytes(path.read_bytes()[:end])


def chunks(path: Path) -> list[tuple[int, int, int, int]]:
    """Return place, end, first and last log time of each chunk."""
    with path.open('rb') as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    return [(i.chunk_start_offset, i.chunk_start_offset + i.chunk_length, i.message_start_time,
             i.message_end_time) for i in summary.chunk_indexes]


def salvaged(path: Path) -> tuple[Messages, Bag]:
    with open_bag(path, salvage=True) as bag:
        return [(m.log_ns, m.data) for m in bag.messages()], bag


def places(data: bytes) -> Iterator[int]:
    """Yield where the message records of a file without chunks begin."""
    at = 8
    while at < len(data) - 8:
        if data[at] == 5:
            yield at
        at += 9 + int.from_bytes(data[at + 1:at + 9], 'little')


def test_behind_a_damaged_length_the_next_message_is_found(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 200, chunked=False)
    whole = path.read_bytes()
    at = list(places(whole))[100]
    for length in (0, 50, 10**6, 2**63):
        path.write_bytes(whole[:at + 1] + length.to_bytes(8, 'little') + whole[at + 9:])
        with pytest.raises(BagError, match=r'damaged at byte .* --salvage reads on behind it'):
            open_bag(path)
        found, bag = salvaged(path)
        # the one before is given up too: its own length might be what is wrong
        assert [m for m in messages if m not in found] in (messages[99:101], messages[100:101])
        assert any('are damaged and left out' in note for note in bag.notes)
        assert 0 < bag.lost_bytes < 400


def test_a_zeroed_stretch_of_a_file_without_chunks_costs_what_it_covers(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 200, chunked=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes(512) + whole[5512:])
    found, bag = salvaged(path)
    assert set(found) < set(messages)
    # 512 bytes touch at most 6 messages of 113 bytes and more; one before is given up
    assert 200 - len(found) <= 7
    assert 512 <= bag.lost_bytes < 1200


@pytest.mark.parametrize('closed', [True, False])
def test_every_message_of_a_chunk_that_is_whole_is_read(tmp_path: Path, closed: bool) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 400)
    every = chunks(path)
    if not closed:
        cut_the_end(path)
    whole = path.read_bytes()
    pick = random.Random(3)
    for number in range(40):
        start = pick.randrange(every[1][0], every[-1][0])
        size = pick.choice([1, 9, 64, 700])
        filler = pick.randbytes(size) if number % 2 else bytes(size)
        path.write_bytes(whole[:start] + filler + whole[start + size:])
        found, bag = salvaged(path)
        assert set(found) <= set(messages)
        assert found == sorted(found)
        untouched = [(a, b) for at, end, a, b in every if end <= start or at >= start + size]
        want = [m for m in messages if any(a <= m[0] <= b for a, b in untouched)]
        assert set(want) <= set(found), f'{size} bytes at {start}'
        assert bag.notes or found == messages


def test_a_chunk_whose_header_is_gone_is_found_by_the_summary(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 400)
    at = chunks(path)[3][0]
    whole = path.read_bytes()
    path.write_bytes(whole[:at + 1] + (77).to_bytes(8, 'little') + whole[at + 9:])
    found, bag = salvaged(path)
    assert found == messages
    assert any('taken from the summary' in note for note in bag.notes)


def test_messages_of_a_lost_channel_are_counted_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    with path.open('wb') as file:
        writer = Writer(file, compression=CompressionType.NONE, chunk_size=1 << 20,
                        repeat_channels=False, use_statistics=False)
        writer.start('ros2')
        schema = writer.register_schema('a/msg/B', '', b'')
        channels = [writer.register_channel(f'/t{n}', 'cdr', schema) for n in range(2)]
        for number in range(20):
            writer.add_message(channels[number % 2], number, payload(number), number)
        # the second chunk does not say again what the channels of the first are
        writer._Writer__finalize_chunk()  # type: ignore[attr-defined]
        channels.append(writer.register_channel('/t2', 'cdr', schema))
        for number in range(20, 50):
            writer.add_message(channels[number % 3], number, payload(number), number)
        writer.finish()  # type: ignore[no-untyped-call]
    whole = bytearray(path.read_bytes())
    whole[whole.index(b'/t1')] ^= 1
    path.write_bytes(whole)
    with open_bag(path, salvage=True) as bag:
        assert [(m.topic, m.data) for m in bag.messages()] == [
            ('/t2', payload(n)) for n in range(20, 50) if n % 3 == 2]
        assert any('20 messages of channels that the file does not declare (1, 2)' in note
                   for note in bag.notes)


def test_what_was_salvaged_is_told_in_messages_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 400)
    at, end, first, last = chunks(path)[2]
    whole = bytearray(path.read_bytes())
    whole[end - 10] ^= 1
    path.write_bytes(whole)
    with open_bag(path, salvage=True) as bag:
        found = preflight(bag, closed_loop=False)
        lost = [m for m in messages if first <= m[0] <= last]
        told = found.findings[0]
        assert (told.kind, told.severity) == ('salvage', Severity.ERROR)
        assert f'salvaged: {400 - len(lost)} messages of 400 declared' in told.what
        assert told.value == end - at - 9 == bag.lost_bytes
        size = len(whole)
        assert f'{(size - told.value) / 1e6:.3f} of {size / 1e6:.3f} MB' in told.what
    assert found.verdict is Verdict.ERROR


def test_a_file_with_much_damage_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / 'x.mcap'
    messages = write(path, 3000, closed=False)
    whole = bytearray(path.read_bytes())
    for at in range(2000, len(whole), 4000):
        whole[at:at + 8] = bytes(8)
    path.write_bytes(whole + bytes(4 << 20))
    found, bag = salvaged(path)
    assert 200 < len(found) < 3000
    # of a file with a damaged place every 4 kB the first hundred are told
    assert len(bag.notes) <= 101
    assert set(found) <= set(messages)


def write_sqlite(path: Path, count: int, size: int) -> None:
    database = sqlite3.connect(path)
    database.execute('PRAGMA page_size = 1024')
    database.execute('CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, '
                     'serialization_format TEXT, offered_qos_profiles TEXT)')
    database.execute('CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, '
                     'timestamp INTEGER, data BLOB)')
    database.execute('CREATE INDEX timestamp_idx ON messages (timestamp ASC)')
    database.execute("INSERT INTO topics VALUES (1, '/t', 'a/msg/B', 'cdr', '')")
    database.executemany('INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)',
                         [(STEP * n, n.to_bytes(4, 'little') * size) for n in range(count)])
    database.commit()
    database.close()


@pytest.mark.parametrize('size', [20, 400], ids=['within-pages', 'over-pages'])
def test_rows_on_whole_pages_of_a_damaged_sqlite_file_are_read(
    tmp_path: Path, size: int,
) -> None:
    path = tmp_path / 'x.db3'
    write_sqlite(path, 600, size)
    whole = path.read_bytes()
    pages = len(whole) // 1024
    pick = random.Random(5)
    read_some = 0
    for _ in range(25):
        page = pick.randrange(4, pages)
        path.write_bytes(whole[:page * 1024] + bytes(1024) + whole[page * 1024 + 1024:])
        try:
            open_bag(path).close()
            refused = False
        except BagError as error:
            assert '\n' not in str(error)
            refused = True
        try:
            found, bag = salvaged(path)
        except BagError as error:
            assert '\n' not in str(error)
            continue
        read_some += 1
        assert found == sorted(found)
        true = [m for m in found if m[1] == (m[0] // STEP).to_bytes(4, 'little') * size]
        if size == 20:
            # a row stands on one page: it is there as it was, or not at all
            assert true == found
        assert len(true) >= 500 or page < 12
        assert bag.notes or not refused
        if len(found) < 600:
            assert any('stand on damaged pages' in n or 'not readable' in n for n in bag.notes)
    assert read_some >= 20


def test_counts_of_metadata_stand_beside_what_a_damaged_sqlite_file_gave(
    tmp_path: Path, shared_data: Path,
) -> None:
    source = shared_data / 'dev_gps_nav_1'
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / 'bag_0.db3'
    whole = bytearray(path.read_bytes())
    for page in range(100, 110):
        whole[page * 4096:page * 4096 + 4096] = bytes(4096)
    path.write_bytes(whole)
    with open_bag(tmp_path, salvage=True) as bag:
        found = preflight(bag, closed_loop=False)
        counts = {f.topic: f.value for f in found.findings if f.kind == 'count'}
        assert sum(bag.declared.values()) == 5348
        assert 4000 < sum(bag.read.values()) < 5348
        assert -sum(v for v in counts.values() if v) == 5348 - sum(bag.read.values())


def test_nothing_is_written_to_a_bag(
    tmp_path: Path, make_joint_bag: Callable[..., Path],
) -> None:
    folder = make_joint_bag(300)
    path = folder / 'joints_0.mcap'
    path.write_bytes(path.read_bytes()[:-1000])
    write_sqlite(tmp_path / 'joints' / 'y.db3', 50, 20)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    for each in (folder, path, tmp_path / 'joints' / 'y.db3'):
        with open_bag(each, salvage=True) as bag:
            preflight(bag, closed_loop=False)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
