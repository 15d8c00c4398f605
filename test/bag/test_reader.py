from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil
import sqlite3
from typing import Any

from mcap.writer import CompressionType, Writer
import pytest
import zstandard

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NEVER_NS, NO_SEQUENCE, RunInfo, SampleRecord

MAGIC = b'\x89MCAP0\r\n'

def test_an_embedded_definition_is_used(shared_data: Path) -> None:
    with open_bag(shared_data / 'dev_tb3_rasl') as bag:
        assert not bag.unreadable
        _, state = next(bag.decoded(['/sensor_state']))
        assert hasattr(state, 'left_encoder')


def test_samples_carry_their_stamp_without_decoding(make_joint_bag: Callable[..., Path]) -> None:
    with open_bag(make_joint_bag(3, clock_offset_ns=500)) as bag:
        first, *_ = bag.records()
        message = next(bag.messages())
    assert first == SampleRecord('/joint_states', message.log_ns + 500, message.log_ns, 1)


def test_a_run_comes_back_as_it_was_recorded(
    make_run_bag: Callable[..., Path], run_records: list[Any],
) -> None:
    with open_bag(make_run_bag(run_records)) as bag:
        found = list(bag.records())
    assert repr(found) == repr(run_records)
    assert isinstance(found[0], RunInfo)


def test_a_topic_that_is_not_there_is_refused_with_what_is(
    make_joint_bag: Callable[..., Path],
) -> None:
    with open_bag(make_joint_bag(3)) as bag, pytest.raises(BagError, match='/joint_states'):
        list(bag.decoded(['/odom']))


def write_mcap(path: Path, times: list[int], **options: Any) -> Path:
    with path.open('wb') as file:
        writer = Writer(file, **options)
        writer.start('ros2')
        schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
        channel = writer.register_channel('/t', 'cdr', schema)
        for time in times:
            writer.add_message(channel, time, b'\0\1\0\0\2\0\0\0a\0\0\0', time)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


@pytest.mark.parametrize('options', [
    {'compression': kind} for kind in CompressionType] + [
    {'use_chunking': False}, {'use_statistics': False}, {'repeat_channels': False},
    {'enable_crcs': False}, {'enable_data_crcs': True, 'use_chunking': False},
    {'use_summary_offsets': False, 'repeat_schemas': False},
], ids=str)
def test_every_way_to_write_mcap_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    times = [5, 3, 9, 1, 7, 7, 2] * 50
    path = write_mcap(tmp_path / 'x.mcap', times, chunk_size=256, **options)
    with open_bag(path) as bag:
        found = [m.log_ns for m in bag.messages()]
        assert found == sorted(times)
        assert bag.disorder.count > 0
        assert [d.data for _, d in bag.decoded(['/t'])] == ['a'] * len(times)


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    with (tmp_path / 'x.mcap').open('wb') as file:
        writer = Writer(file, chunk_size=64)
        writer.start()
        channel = writer.register_channel('/t', 'cdr', writer.register_schema('a/b', '', b''))
        for number in range(40):
            writer.add_message(channel, 5, bytes([number]), 5, sequence=number + 1)
        writer.finish()  # type: ignore[no-untyped-call]
    with open_bag(tmp_path / 'x.mcap') as bag:
        assert [m.sequence for m in bag.messages()] == list(range(1, 41))


def write_sqlite(path: Path, count: int, *, wal: bool = False) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    if wal:
        database.execute('PRAGMA journal_mode=WAL')
    database.execute('CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, '
                     'serialization_format TEXT, offered_qos_profiles TEXT)')
    database.execute('CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, '
                     'timestamp INTEGER, data BLOB)')
    database.execute("INSERT INTO topics VALUES (1, '/t', 'std_msgs/msg/String', 'cdr', '')")
    database.executemany('INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)',
                         [(count - i, b'\0\1\0\0\2\0\0\0a\0\0\0') for i in range(count)])
    database.commit()
    return database


def test_sqlite_gives_what_it_knows(tmp_path: Path) -> None:
    write_sqlite(tmp_path / 'x.db3', 10).close()
    with open_bag(tmp_path / 'x.db3') as bag:
        found = list(bag.messages())
        assert [m.log_ns for m in found] == list(range(1, 11))
        assert {(m.publish_ns, m.sequence) for m in found} == {(NEVER_NS, NO_SEQUENCE)}


def test_a_write_ahead_log_is_read_too(tmp_path: Path) -> None:
    database = write_sqlite(tmp_path / 'x.db3', 10, wal=True)
    folder = tmp_path / 'copy'
    folder.mkdir()
    for path in tmp_path.glob('x.db3*'):
        shutil.copy(path, folder)
    database.close()
    folder.chmod(0o555)
    try:
        with open_bag(folder / 'x.db3') as bag:
            assert sum(1 for _ in bag.messages()) == 10
    finally:
        folder.chmod(0o755)


def edit_metadata(folder: Path, old: str, new: str) -> None:
    path = folder / 'metadata.yaml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(('old', 'new', 'what'), [
    ('version: 9', 'version: 10', 'version 10; versions up to 9'),
    ('version: 9', 'version: x', "version 'x'"),
    ('rosbag2_bagfile_information', 'something', 'no metadata of rosbag2'),
    ('message_count: 50', 'message_count: 51', 'declares 51 messages, the files hold 50'),
    ('joints_0.mcap', '../other_0.mcap', 'not in the folder'),
    ('storage_identifier', 'storage', 'incomplete'),
    ('version: 9', 'version: [', 'not usable as YAML'),
    ("compression_format: ''", 'compression_format: lzo', 'zstd is read'),
])
def test_metadata_that_does_not_fit_is_refused(
    make_joint_bag: Callable[..., Path], old: str, new: str, what: str,
) -> None:
    folder = make_joint_bag(50)
    edit_metadata(folder, old, new)
    with pytest.raises(BagError, match=what) as caught:
        open_bag(folder)
    assert '\n' not in str(caught.value)


def test_nothing_outside_of_the_folder_is_opened(make_joint_bag: Callable[..., Path]) -> None:
    other, folder = make_joint_bag(50, 'other'), make_joint_bag(50, 'joints')
    edit_metadata(folder, 'joints_0.mcap', str(other / 'other_0.mcap'))
    with pytest.raises(BagError, match=r'other_0\.mcap.*, which is not in the folder'):
        open_bag(folder)


def bomb(size: int) -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(size))


def test_a_compressed_file_that_explodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'x.mcap.zstd').write_bytes(bomb(64 << 20))
    with pytest.raises(BagError, match='at most 1000 to 1'):
        open_bag(tmp_path / 'x.mcap.zstd')


def test_a_chunk_that_explodes_is_refused_before_it_does(tmp_path: Path) -> None:
    with (tmp_path / 'x.mcap').open('wb') as file:
        writer = Writer(file, compression=CompressionType.ZSTD, chunk_size=1 << 30)
        writer.start()
        channel = writer.register_channel('/t', 'cdr', writer.register_schema('a/b', '', b''))
        writer.add_message(channel, 1, bytes(32 << 20), 1)
        writer.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(BagError, match='at most 1000 to 1'), open_bag(tmp_path / 'x.mcap') as bag:
        list(bag.messages())
