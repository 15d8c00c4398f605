"""One pass over a bag: the container does not matter, and a broken bag gives nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
import hashlib
from pathlib import Path
import random
import sqlite3
from types import ModuleType
from typing import Any

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
import yaml

from wm_eval_ros.bag.decode import header_stamp_ns
from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.message import Connection, RawMessage
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.reading import read, Scored
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NO_SEQUENCE, Verdict

#: findings that tell of the container, not of what is in it
ABOUT_THE_CONTAINER = {'read', 'checksum', 'order', 'clock_step'}
_ROOT = 'rosbag2_bagfile_information'


@pytest.fixture(scope='module')
def messages(tmp_path_factory: pytest.TempPathFactory, scenes: ModuleType) -> list[RawMessage]:
    """Return the messages of a run, each logged a millisecond after its stamp."""
    made = scenes.write_bag(tmp_path_factory.mktemp('made') / 'bag', scenes.busy_run())
    with open_bag(made) as found:
        stamps = [(header_stamp_ns(m) if found.decoder.is_stamped(m.type) else scenes.ROS, m)
                  for m in found.messages()]
    return sorted((m._replace(log_ns=stamp + scenes.MS) for stamp, m in stamps),
                  key=lambda m: m.log_ns)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, messages: list[RawMessage]) -> Path:
    folder = tmp_path_factory.mktemp('run') / 'bag'
    split(folder, [messages])
    return folder


def write_mcap(path: Path, messages: Iterable[RawMessage], **options: Any) -> Path:
    """Write messages in their order, as the library of MCAP does."""
    with path.open('wb') as file:
        writer = McapWriter(file, chunk_size=16 << 10, **options)
        writer.start('ros2')
        channels: dict[Connection, int] = {}
        for m in messages:
            c = m.connection
            if c not in channels:
                schema = writer.register_schema(c.type, c.encoding, c.text.encode())
                channels[c] = writer.register_channel(c.topic, 'cdr', schema)
            sequence = 0 if m.sequence == NO_SEQUENCE else m.sequence
            writer.add_message(channels[c], m.log_ns, m.data, m.publish_ns, sequence)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def write_rosbags(
    folder: Path, messages: Iterable[RawMessage], version: int, plugin: StoragePlugin,
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write messages as `rosbags` does: metadata, container and compression by other hands."""
    writer = RosbagsWriter(folder, version=version, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[Connection, Any] = {}
        for m in messages:
            c = m.connection
            if c not in connections:
                connections[c] = writer.add_connection(
                    c.topic, c.type, msgdef=c.text,
                    rihs01=known_types().hash_rihs01(c.type))
            writer.write(connections[c], m.log_ns, m.data)
    return folder


def age(folder: Path, version: int) -> Path:
    """Turn an sqlite3 bag of version 8 into one of an older version."""
    path = folder / 'metadata.yaml'
    found = yaml.safe_load(path.read_text())[_ROOT]
    found['version'] = version
    for entry in found['topics_with_message_count']:
        if version < 7:
            del entry['topic_metadata']['type_description_hash']
    for key, since in (('files', 5), ('custom_data', 6), ('ros_distro', 7)):
        if version < since:
            del found[key]
    path.write_text(yaml.safe_dump({_ROOT: found}))
    if version < 6:
        # definitions came with schema 4 of the storage
        with closing(sqlite3.connect(next(folder.glob('*.db3')))) as database, database:
            database.execute('DROP TABLE message_definitions')
    return folder


def split(folder: Path, parts: list[list[RawMessage]]) -> Path:
    """Write several files and a metadata.yaml of them all."""
    folder.mkdir()
    names = [write_mcap(folder / f'part_{n}.mcap', part).name for n, part in enumerate(parts)]
    every = [m for part in parts for m in part]
    topics = dict.fromkeys(m.connection for m in every)
    (folder / 'metadata.yaml').write_text(yaml.safe_dump({_ROOT: {
        'version': 9, 'storage_identifier': 'mcap', 'relative_file_paths': names,
        'message_count': len(every), 'compression_format': '', 'compression_mode': '',
        'topics_with_message_count': [
            {'topic_metadata': {'name': c.topic, 'type': c.type, 'serialization_format': 'cdr'},
             'message_count': sum(m.connection is c for m in every)} for c in topics]}}))
    return folder


def shuffled(messages: list[RawMessage]) -> list[RawMessage]:
    """Bring messages out of order, but no topic's: as several queues of a recorder would."""
    pick = random.Random(1)
    return sorted(messages, key=lambda m: m.log_ns + pick.randrange(10**9) * (
        m.topic == '/joint_states'))


CONTAINERS: dict[str, Callable[[Path, list[RawMessage]], Path]] = {
    **{f'mcap-{kind.name.lower()}': lambda p, m, kind=kind: write_mcap(
        p / 'x.mcap', m, compression=kind) for kind in CompressionType},
    'mcap-without-chunks': lambda p, m: write_mcap(p / 'x.mcap', m, use_chunking=False),
    'mcap-without-checksums': lambda p, m: write_mcap(p / 'x.mcap', m, enable_crcs=False),
    'mcap-without-summary': lambda p, m: write_mcap(
        p / 'x.mcap', m, repeat_channels=False, repeat_schemas=False, use_statistics=False),
    'mcap-out-of-order': lambda p, m: write_mcap(p / 'x.mcap', shuffled(m)),
    'mcap-backwards': lambda p, m: write_mcap(p / 'x.mcap', m[::-1]),
    'split': lambda p, m: split(p / 'b', [m[:200], m[200:500], m[500:]]),
    'split-interleaved': lambda p, m: split(p / 'b', [m[n::3] for n in range(3)]),
}
#: these keep no sequence number
OTHERS: dict[str, Callable[[Path, list[RawMessage]], Path]] = {
    **{f'sqlite-v{version}': lambda p, m, version=version: age(write_rosbags(
        p / 'b', m, 8, StoragePlugin.SQLITE3), version) for version in range(4, 8)},
    **{f'sqlite-v{version}': lambda p, m, version=version: write_rosbags(
        p / 'b', m, version, StoragePlugin.SQLITE3) for version in (8, 9)},
    **{f'sqlite-{mode.name.lower()}-zstd': lambda p, m, mode=mode: write_rosbags(
        p / 'b', m, 9, StoragePlugin.SQLITE3, mode)
        for mode in (CompressionMode.FILE, CompressionMode.MESSAGE)},
    **{f'mcap-{mode.name.lower()}-zstd': lambda p, m, mode=mode: write_rosbags(
        p / 'b', m, 9, StoragePlugin.MCAP, mode)
        for mode in (CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE)},
    'mcap-v8': lambda p, m: write_rosbags(p / 'b', m, 8, StoragePlugin.MCAP),
}


def findings(found: Scored) -> list[tuple[str, str, str]]:
    return [(c.name, c.verdict, c.text) for c in found.checks
            if c.name.split()[0] not in ABOUT_THE_CONTAINER]


@pytest.mark.parametrize('name', CONTAINERS)
def test_any_container_of_the_same_messages_gives_the_same_scorecard(
    bag: Path, messages: list[RawMessage], tmp_path: Path, name: str,
) -> None:
    want, found = read(bag), read(CONTAINERS[name](tmp_path, messages))
    assert found.card.to_json() == want.card.to_json()
    assert findings(found) == findings(want)


@pytest.mark.parametrize('name', OTHERS)
def test_a_container_without_sequence_numbers_differs_in_what_needs_them_alone(
    bag: Path, messages: list[RawMessage], tmp_path: Path, name: str,
) -> None:
    want, found = read(bag), read(OTHERS[name](tmp_path, messages))
    assert found.card.identity_bytes() == want.card.identity_bytes()
    assert found.card.counts == want.card.counts
    differ = {a.name for a, b in zip(found.card.host, want.card.host, strict=True) if a != b}
    assert differ == {'samples_superseded[/joint_states]', 'samples_lost[/joint_states]'}
    for each in differ:
        assert found.card[each].value is None
        assert 'no sequence numbers' in found.card[each].why
    lost = [f for f in findings(want) if f[0] != 'lost /joint_states']
    assert findings(found) == lost


def test_records_one_by_one_give_the_scorecard_of_the_columns(
    bag: Path, scenes: ModuleType,
) -> None:
    from wm_eval_ros.scoring.scorer import score
    with open_bag(bag) as found:
        assert score(found.records()).to_json() == read(bag).card.to_json()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir() if path.is_file()}


#: of MCAP: what a file begins with, and the opcode of a chunk
MAGIC, CHUNK = b'\x89MCAP0\r\n', 6


def within_a_chunk(data: bytes) -> int:
    """Return a place that a checksum covers: what only indexes has none, and is not used."""
    place = len(MAGIC)
    while data[place] != CHUNK:
        place += 9 + int.from_bytes(data[place + 1:place + 9], 'little')
    return place + 9 + int.from_bytes(data[place + 1:place + 9], 'little') // 2


@pytest.mark.parametrize('damage', ['none', 'cut', 'flip'])
def test_a_bag_is_never_modified(bag: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / 'bag'
    folder.mkdir()
    for path in bag.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    storage = next(folder.glob('*.mcap'))
    whole = storage.read_bytes()
    if damage == 'cut':
        storage.write_bytes(whole[:-5000])
    if damage == 'flip':
        place = within_a_chunk(whole)
        storage.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
    before = digests(folder)
    for more in ((), ('--salvage',)):
        assert main(['score', str(folder), '--out', str(tmp_path / 'out'), *more]) == (
            2 if damage != 'none' and not more else 0)
    assert digests(folder) == before


def test_a_flip_in_the_last_chunk_leaves_no_scorecard(
    messages: list[RawMessage], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_mcap(tmp_path / 'x.mcap', messages, compression=CompressionType.NONE)
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(messages[-1].data) + 8] ^= 1
    path.write_bytes(whole)
    assert main(['score', str(path), '--out', str(tmp_path / 'out')]) == 2
    printed = capsys.readouterr()
    assert printed.out == ''
    assert 'the checksum is wrong' in printed.err and printed.err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_what_the_fold_finds_wrong_at_the_end_leaves_no_scorecard(
    tmp_path: Path, scenes: ModuleType,
) -> None:
    records = scenes.busy_run()
    broken = scenes.write_bag(tmp_path / 'bag', [*records, scenes.info(run_id='other')])
    with pytest.raises(BagError, match='2 run infos that differ in run_id'):
        read(broken)
    checks = read(broken, salvage=True).checks
    assert [c.verdict for c in checks if c.name == 'run_info'] == [Verdict.ERROR]


def test_a_record_that_does_not_decode_is_refused_and_in_salvage_named(
    bag: Path, messages: list[RawMessage], tmp_path: Path,
) -> None:
    cycles = [m for m in messages if m.topic == '/planner_cycle']
    broken = [m._replace(data=m.data[:50]) if m is cycles[5] else m for m in messages]
    path = write_mcap(tmp_path / 'x.mcap', broken)
    with pytest.raises(BagError, match='/planner_cycle: the message logged at'):
        read(path)
    found = read(path, salvage=True)
    assert found.card.counts['cycles'] == len(cycles) - 1
    told = next(c for c in found.checks if c.name == 'damaged /planner_cycle')
    assert told.verdict is Verdict.ERROR
    assert told.text.startswith('1 messages do not decode, the first: /planner_cycle')


def test_no_check_of_a_bag_says_fail(bag: Path, messages: list[RawMessage],
                                     tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'x.mcap', messages)
    path.write_bytes(path.read_bytes()[:-4000])
    found = read(path, salvage=True)
    verdicts = {c.verdict for c in found.checks if c.group == 'preflight'}
    assert Verdict.ERROR in verdicts
    assert Verdict.FAIL not in verdicts
