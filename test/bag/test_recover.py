"""Recovery: the new bag opens everywhere, holds what was whole, and says what is lost."""

from __future__ import annotations

from collections.abc import Callable
import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

from mcap.reader import make_reader
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
import yaml

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.recover import KEY, Outcome, recover, Recovery
from wm_eval_ros.bag.seal import RECORD as SEAL_RECORD
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.errors import BagError, ConfigError, RecordingError
from wm_eval_ros.wire.topics import LATCHED, SENSOR_OFFER

Told = list[tuple[str, int, int, int, bytes]]
JOINTS = 'sensor_msgs/msg/JointState'


def told(path: Path) -> Told:
    """Return what a bag holds, in the order it is read."""
    with open_bag(path) as bag:
        return [(m.topic, m.log_ns, m.publish_ns, m.sequence, m.data) for m in bag.messages()]


def digest(path: Path) -> dict[str, str]:
    """Return what the files of a folder are."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(path.iterdir())}


@pytest.fixture
def unclosed(tmp_path: Path, joint_data: Callable[..., bytes]) -> tuple[Path, Told]:
    """A bag of a killed recorder: two topics, out of log-time order, without an end."""
    folder = tmp_path / 'killed'
    writer = BagWriter(folder)
    writer.add_topic('/joint_states', JOINTS, qos=SENSOR_OFFER)
    writer.add_topic('/note', 'std_msgs/msg/Empty', qos=LATCHED)
    put: Told = []
    for k in range(300):
        topic = '/joint_states' if k % 3 else '/note'
        data = joint_data(k, float(k)) if k % 3 else bytes([0, 1, 0, 0])
        put.append((topic, 1000 + (k ^ 1), 900 + k, 1 + k, data))
        writer.write(topic, data, *put[-1][1:4])
        if k % 20 == 19:
            writer.flush()
    writer._disk.close()
    return folder, sorted(put, key=lambda m: m[1])


def cut(folder: Path, bytes_off: int) -> None:
    path = next(folder.glob('*.mcap'))
    path.write_bytes(path.read_bytes()[:-bytes_off])


def test_an_unclosed_bag_comes_back_whole_for_every_reader(
    tmp_path: Path, unclosed: tuple[Path, Told],
) -> None:
    folder, put = unclosed
    before = digest(folder)
    found = recover(folder, tmp_path / 'new')
    assert digest(folder) == before, 'the source is only read'
    assert found.outcome is Outcome.FULL
    assert (found.messages, found.lost_bytes) == (300, 0)
    assert told(tmp_path / 'new') == put
    with Reader(tmp_path / 'new') as reader:
        assert sum(1 for _ in reader.messages()) == 300
        latched = next(c for c in reader.connections if c.topic == '/note')
        assert 'transient_local' in str(latched.ext.offered_qos_profiles).lower()
    with AnyReader([tmp_path / 'new'], default_typestore=known_types()) as any_reader:
        positions = [any_reader.deserialize(data, c.msgtype).position[0]
                     for c, _, data in any_reader.messages() if c.topic == '/joint_states']
    assert sorted(positions) == [float(k) for k in range(300) if k % 3]
    with next((tmp_path / 'new').glob('*.mcap')).open('rb') as file:
        assert sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages()) == 300


def test_the_order_of_the_file_is_kept(tmp_path: Path, unclosed: tuple[Path, Told]) -> None:
    recover(unclosed[0], tmp_path / 'new')
    with open_bag(unclosed[0], salvage=True) as old, open_bag(tmp_path / 'new') as new:
        orders = [[m.log_ns for _, columns in bag.stored()
                   for m in columns.messages(bag.connections)] for bag in (old, new)]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_what_a_cut_cost_is_stated(tmp_path: Path, unclosed: tuple[Path, Told]) -> None:
    folder, put = unclosed
    cut(folder, 700)
    found = recover(folder, tmp_path / 'new')
    assert found.outcome is Outcome.LOSSY
    # the last chunk of 20 messages is cut; the others are whole
    assert found.messages == 280
    assert found.lost_bytes > 0
    assert set(told(tmp_path / 'new')) < set(put)
    raw = yaml.safe_load((tmp_path / 'new' / 'metadata.yaml').read_text())
    custom = raw['rosbag2_bagfile_information']['custom_data']
    assert all(isinstance(value, str) for value in custom.values())
    assert custom[KEY].startswith('outcome=lossy messages=280 ')


def test_messages_that_metadata_or_the_file_declare_are_missed(
    tmp_path: Path, make_joint_bag: Callable[..., Path],
) -> None:
    folder = make_joint_bag(6000)
    path = next(folder.glob('*.mcap'))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    found = recover(folder, tmp_path / 'new')
    assert found.outcome is Outcome.LOSSY
    topic, = found.topics
    assert topic.messages + topic.lost_at_least == 6000
    assert 0 < topic.lost_at_least < 6000
    assert any('checksum' in note for note in found.notes)


def test_of_nothing_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / 'zeros.mcap').write_bytes(bytes(10_000))
    found = recover(tmp_path / 'zeros.mcap', tmp_path / 'new')
    assert found.outcome is Outcome.NOTHING
    assert found.lost_bytes == found.size_bytes == 10_000
    assert not (tmp_path / 'new').exists()


def test_the_source_is_not_written_to_and_a_folder_in_use_is_refused(
    tmp_path: Path, unclosed: tuple[Path, Told],
) -> None:
    folder, _ = unclosed
    with pytest.raises(ConfigError, match='lies in the bag'):
        recover(folder, folder / 'new')
    with pytest.raises(RecordingError, match='not empty'):
        recover(next(folder.glob('*.mcap')), folder)
    with pytest.raises(BagError, match='no such file'):
        recover(tmp_path / 'nowhere', tmp_path / 'new')


def test_a_damaged_metadata_file_does_not_matter(
    tmp_path: Path, make_joint_bag: Callable[..., Path],
) -> None:
    folder = make_joint_bag(50)
    (folder / 'metadata.yaml').write_text('{')
    found = recover(folder, tmp_path / 'new')
    assert (found.outcome, found.messages) == (Outcome.FULL, 50)
    assert any('metadata.yaml: not usable' in note for note in found.notes)


def test_a_link_out_of_the_folder_is_not_followed(
    tmp_path: Path, make_joint_bag: Callable[..., Path],
) -> None:
    folder = make_joint_bag(50)
    own = next(folder.glob('*.mcap'))
    own.symlink_to(own.rename(tmp_path / 'theirs.mcap'))
    found = recover(folder, tmp_path / 'new')
    assert found.outcome is Outcome.NOTHING
    assert any('a link to' in note for note in found.notes)
    assert not (tmp_path / 'new').exists()


def test_an_sqlite_bag_becomes_one_of_mcap(tmp_path: Path, scenes: ModuleType) -> None:
    made = scenes.write_bag(tmp_path / 'made', scenes.busy_run(episodes=2))
    with open_bag(made) as bag, RosbagsWriter(
            tmp_path / 'sql', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        own: dict[str, Any] = {}
        messages = list(bag.messages())
        for m in messages:
            if m.topic not in own:
                own[m.topic] = writer.add_connection(
                    m.topic, m.type, msgdef=m.connection.text,
                    rihs01=known_types().hash_rihs01(m.type))
            writer.write(own[m.topic], m.log_ns, m.data)
    (tmp_path / 'sql' / 'metadata.yaml').unlink()
    found = recover(tmp_path / 'sql', tmp_path / 'new')
    assert (found.outcome, found.messages) == (Outcome.FULL, len(messages))
    assert sorted(m[4] for m in told(tmp_path / 'new')) == sorted(m.data for m in messages)


class Counting:
    """A seal that counts what it has seen."""

    def __init__(self) -> None:
        self.count = 0

    def declare(self, topic: str, type_name: str, text: str) -> None:
        pass

    def take(self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        self.count += 1

    def checkpoint(self) -> dict[str, str]:
        return {'count': f'n {self.count}'}

    def durable(self) -> None:
        pass

    def close(self) -> dict[str, str]:
        return self.checkpoint()


def test_the_records_of_the_audit_trail_stay_in_their_places(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / 'old', seal=Counting())
    writer.add_topic('/u', 'std_msgs/msg/Empty')
    for k in range(10):
        writer.write('/u', bytes(4), k + 1)
        if k in (3, 7):
            writer.sync()
    writer.flush()
    writer._disk.close()
    recover(tmp_path / 'old', tmp_path / 'new')
    with open_bag(tmp_path / 'new') as bag:
        sealed = [(at, values['count']) for at, values in bag.metadata_records(SEAL_RECORD)]
        places = [file.place_of(row) for file, columns in bag.stored()  # type: ignore[attr-defined]
                  for row in columns.rows]
    assert [count for _, count in sealed] == ['n 4', 'n 8']
    assert [sum(place < at for place in places) for at, _ in sealed] == [4, 8]


def test_outcomes_are_told_apart_by_what_is_missing() -> None:
    def of(folder: Path | None, lost: int) -> Outcome:
        return Recovery(Path('a'), folder, (), 10, lost, ()).outcome

    assert [of(None, 10), of(Path('b'), 1), of(Path('b'), 0)] == [
        Outcome.NOTHING, Outcome.LOSSY, Outcome.FULL]
