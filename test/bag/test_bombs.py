"""R8: small files that would become large ones are refused in a moment and in little memory."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import sqlite3
import struct
import subprocess
import sys

from mcap.writer import CompressionType, Writer
import pytest
import zstandard

JOINED = '=' * 80 + '\nMSG: '
#: refused within so long [s], in so much memory more than after the imports [MiB]
MOST_S, MOST_MIB = 1.0, 300
#: makes every bomb go off in a process of its own, after what is imported was imported
RUNNER = """
import contextlib, io, json, os, resource, sys, time
from wm_eval_ros.cli.main import main
with contextlib.redirect_stderr(io.StringIO()):
    assert main(['score', sys.argv[1]]) == 2
    assert main(['compare', sys.argv[1], sys.argv[1]]) == 2
import wm_eval_ros.models.load
for words in json.loads(sys.argv[2]):
    out, into = os.pipe()
    if os.fork() == 0:
        before = int(open('/proc/self/statm').read().split()[1]) * 4096
        begun, said = time.perf_counter(), io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                code = main(words)
            except BaseException as error:
                code = repr(error)
        took = time.perf_counter() - begun
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before / 2**20
        os.write(into, json.dumps([code, took, grown, said.getvalue()[:2000]]).encode())
        os._exit(0)
    os.close(into)
    print(os.read(out, 1 << 16).decode(), flush=True)
    os.wait()
"""


def record(opcode: int, contents: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(contents)) + contents


def chunk(size: int, packed: bytes) -> bytes:
    return record(6, struct.pack('<QQQII', 1, 1, size, 0, 4) + b'zstd'
                  + struct.pack('<Q', len(packed)) + packed)


def closed(*records: bytes) -> bytes:
    return b''.join([b'\x89MCAP0\r\n', record(1, struct.pack('<II', 0, 0)), *records,
                     record(15, bytes(4)), record(2, bytes(20)), b'\x89MCAP0\r\n'])


def zstd(block: bytes, times: int, *, declared: bool = True) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj(len(block) * times if declared else -1)
    return b''.join([*(packer.compress(block) for _ in range(times)), packer.flush()])


def with_schema(path: Path, text: str) -> None:
    with path.open('wb') as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        kinds = [('/run_info', 'std_msgs/msg/String', 'string data'), ('/t', 'a/msg/M', text)]
        for topic, kind, definition in kinds:
            schema = writer.register_schema(kind, 'ros2msg', definition.encode())
            writer.add_message(writer.register_channel(topic, 'cdr', schema), 1, b'\0\1\0\0' * 9,
                               1)
        writer.finish()  # type: ignore[no-untyped-call]


def run_info(path: Path, text: str) -> None:
    data = text.encode() + b'\0'
    with path.open('wb') as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        for topic, kind, definition in (
                ('/run_info', 'std_msgs/msg/String', b'string data'),
                ('/episode_event', 'wm_eval_ros/msg/EpisodeEvent', b'')):
            schema = writer.register_schema(kind, 'ros2msg', definition)
            channel = writer.register_channel(topic, 'cdr', schema)
            if definition:
                writer.add_message(channel, 1, b'\0\1\0\0' + struct.pack('<I', len(data)) + data,
                                   1)
        writer.finish()  # type: ignore[no-untyped-call]


def database(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as made:
        for statement in statements:
            made.execute(statement)
    made.close()


TOPICS = 'CREATE TABLE topics(id INTEGER, name TEXT, type TEXT, serialization_format TEXT)'
MESSAGES = 'CREATE TABLE messages(id INTEGER, topic_id INTEGER, timestamp INTEGER, data BLOB'
FOREVER = 'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)'
LAUGHS = 'a0: &a0 [x]\n' + ''.join(
    f'a{i}: &a{i} [{",".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 30))

FILES: dict[str, Callable[[Path], object]] = {
    'chunk-beyond-the-ratio.mcap': lambda p: p.write_bytes(
        closed(chunk(200 << 20, zstd(bytes(1 << 20), 200)))),
    'chunk-of-a-terabyte.mcap': lambda p: p.write_bytes(closed(chunk(1 << 40, bytes(100)))),
    'chunk-of-records-of-nothing.mcap': lambda p: p.write_bytes(closed(chunk(
        9 * 2 ** 23, zstd(record(5, b'') * 2 ** 20, 8) + bytes(90_000)))),
    'record-of-2-to-the-63.mcap': lambda p: p.write_bytes(
        closed() + struct.pack('<BQ', 10, 2**63)),
    'statistics-of-200-mib.mcap': lambda p: sparse(p, 11, 200 << 20),
    'channel-of-200-mib.mcap': lambda p: sparse(p, 4, 200 << 20),
    'file-beyond-the-ratio.mcap.zstd': lambda p: p.write_bytes(zstd(bytes(1 << 20), 1000)),
    'file-without-a-size.mcap.zstd': lambda p: p.write_bytes(
        zstd(bytes(1 << 20), 1000, declared=False)),
    'view-for-ever.db3': lambda p: database(
        p, TOPICS, f'CREATE VIEW messages AS {FOREVER} SELECT n id, 1 topic_id, n timestamp, '
        'zeroblob(100000000) data FROM r'),
    'computed-column.db3': lambda p: database(
        p, TOPICS, MESSAGES + ', more BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL)'),
    'check.db3': lambda p: database(
        p, TOPICS, MESSAGES + ", CHECK (hex(zeroblob(100000)) LIKE '%1%2%3%4'))"),
    'virtual.db3': lambda p: database(p, TOPICS, 'CREATE VIRTUAL TABLE messages USING fts5(id)'),
    'trigger.db3': lambda p: database(
        p, TOPICS, MESSAGES + ')',
        'CREATE TRIGGER t AFTER INSERT ON topics BEGIN SELECT 1; END'),
    'index-that-computes.db3': lambda p: database(
        p, TOPICS, MESSAGES + ')', 'CREATE INDEX i ON messages(hex(data))'),
    'type-in-itself.mcap': lambda p: with_schema(p, 'a/M[] x'),
    'type-that-explodes.mcap': lambda p: with_schema(p, '\n'.join(
        ['a/T1[1000] x', *(f'{JOINED}a/T{i}\na/T{i + 1}[1000] x' for i in range(1, 12)),
         f'{JOINED}a/T12\nuint8 x'])),
    'type-of-many-lines.mcap': lambda p: with_schema(p, 'uint8 x\n' * 100_000),
    'deep-run-info.mcap': lambda p: run_info(p, '[' * 500_000),
    'wide-run-info.mcap': lambda p: run_info(p, '[' + '[],' * 5_000_000 + '[]]'),
    'long-number-run-info.mcap': lambda p: run_info(p, '{"seed": ' + '9' * 5_000_000 + '}'),
    'laughs.yaml': lambda p: p.write_text(LAUGHS),
    'deep.yaml': lambda p: p.write_text('[' * 1_000_000),
    'wide.yaml': lambda p: p.write_text('- a\n' * 250_000),
    'long-number.yaml': lambda p: p.write_text('seed: 0x' + 'f' * 1_000_000),
    'sixties.yaml': lambda p: p.write_text('seed: ' + '1:' * 500_000 + '1'),
    'large.yaml': lambda p: sparse_text(p, 2 << 30),
    'wide.json': lambda p: p.write_text('[' + '{},' * 20_000_000 + '{}]'),
    'deep.json': lambda p: p.write_text('[' * 500_000),
    'large.json': lambda p: sparse_text(p, 2 << 30),
    'model.zip': lambda p: sparse_text(p, 2 << 30),
    'model.pt': lambda p: sparse_text(p, 2 << 30),
}


def sparse(path: Path, opcode: int, size: int) -> None:
    """A file with a long record of zeros, which takes no room on the disk."""
    with path.open('wb') as file:
        file.write(b'\x89MCAP0\r\n' + record(1, struct.pack('<II', 0, 0))
                   + struct.pack('<BQ', opcode, size))
        file.seek(size, 1)
        file.write(closed()[25:])


def sparse_text(path: Path, size: int) -> None:
    with path.open('wb') as file:
        file.truncate(size)


def words_of(path: Path) -> list[str]:
    if path.suffix == '.yaml':
        return ['run', str(path)]
    if path.suffix == '.json':
        return ['compare', str(path), str(path)]
    if path.name.startswith('model'):
        return ['run', 'reacher', '--set', f'planner.model={path}', '--out',
                str(path.parent / 'out')]
    return ['score', str(path)]


def test_bombs_are_refused_at_once_and_in_little_memory(tmp_path: Path) -> None:
    every = []
    for name, make in FILES.items():
        make(tmp_path / name)
        every.append(words_of(tmp_path / name))
    folder = tmp_path / 'bag'
    folder.mkdir()
    (folder / 'metadata.yaml').write_text(LAUGHS)
    every.append(['score', str(folder)])
    nothing = tmp_path / 'nothing'
    nothing.write_bytes(b'')
    done = subprocess.run([sys.executable, '-c', RUNNER, str(nothing), json.dumps(every)],
                          capture_output=True, text=True, check=True, timeout=120)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(every)
    for words, (code, took, grown, said) in zip(every, results, strict=True):
        print(words[-1].rpartition('/')[2], said.strip()[:300])
        told = f'{words}: exit {code} after {took:.2f} s, {grown:.0f} MiB: {said}'
        assert code == 2, told
        assert said.count('\n') == 1, told
        assert len(said) < 600, told
        assert took < MOST_S, told
        assert grown < MOST_MIB, told
    worst = max(results, key=lambda result: float(result[1]))
    print(f'slowest {worst[1]:.2f} s, most {max(r[2] for r in results):.0f} MiB')


def test_messages_compressed_one_by_one_are_not_decompressed_all_at_once(tmp_path: Path) -> None:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.bag.writer import BagWriter
    data = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/t', 'std_msgs/msg/String')
        for i in range(100):
            writer.write('/t', data, i + 1)
    path = tmp_path / 'bag' / 'metadata.yaml'
    path.write_text(path.read_text().replace("compression_mode: ''", 'compression_mode: message')
                    .replace("compression_format: ''", 'compression_format: zstd'))
    with open_bag(tmp_path / 'bag') as bag:
        sizes = [sum(map(len, c.buffers)) for c in bag.columns()]
    assert sum(sizes) == 100 << 20
    assert max(sizes) <= 8 << 20


@pytest.mark.parametrize(('limit', 'refused'), [(1 << 20, True), (1 << 30, False)])
def test_messages_that_wait_for_an_earlier_one_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, refused: bool,
) -> None:
    from wm_eval_ros.bag import mcap_file
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.errors import BagError
    monkeypatch.setattr(mcap_file, '_MAX_PENDING_BYTES', limit)
    monkeypatch.setattr(mcap_file, '_BLOCK_BYTES', 1 << 18)
    path = tmp_path / 'x.mcap'
    with path.open('wb') as file:
        writer = Writer(file, compression=CompressionType.NONE, chunk_size=1 << 18)
        writer.start()
        channel = writer.register_channel('/t', 'cdr', writer.register_schema('a/b', '', b''))
        for i in range(64):
            # every chunk begins with the bag
            writer.add_message(channel, 1, b'', 1)
            writer.add_message(channel, 10**9 + i, bytes(1 << 18), 1)
        writer.finish()  # type: ignore[no-untyped-call]
    with open_bag(path) as bag:
        if refused:
            with pytest.raises(BagError, match='in order with `mcap sort`'):
                list(bag.messages())
        else:
            assert len(list(bag.messages())) == 128
