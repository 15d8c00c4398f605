from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

from mcap.reader import make_reader
import pytest
from rosbags.rosbag2 import Reader
import yaml

from wm_eval_ros.bag.definitions import definition, known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.seal import RECORD as SEAL_RECORD
from wm_eval_ros.bag.writer import BagWriter, CHUNK_BYTES, CHUNK_NS
from wm_eval_ros.errors import BagError, RecordingError
from wm_eval_ros.records import NO_SEQUENCE
from wm_eval_ros.wire.topics import COMMAND, LATCHED, SENSOR_OFFER

JOINTS = 'sensor_msgs/msg/JointState'


class Clock:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_rosbags_and_mcap_read_every_message(make_joint_bag: Callable[..., Path]) -> None:
    folder = make_joint_bag(1000)
    with Reader(folder) as reader:
        decoded = [known_types().deserialize_cdr(data, connection.msgtype).position[0]
                   for connection, _, data in reader.messages()]
    assert decoded == [float(i) for i in range(1000)]
    with (folder / 'joints_0.mcap').open('rb') as file:
        found = make_reader(file, validate_crcs=True)
        assert sum(1 for _ in found.iter_messages()) == 1000
        summary = found.get_summary()
    assert summary is not None and summary.statistics is not None
    assert summary.statistics.message_count == 1000
    assert all(index.uncompressed_size <= CHUNK_BYTES + 4096 for index in summary.chunk_indexes)


def test_the_metadata_has_every_key_of_version_9(make_joint_bag: Callable[..., Path]) -> None:
    raw = yaml.safe_load((make_joint_bag(3) / 'metadata.yaml').read_text())
    information = raw['rosbag2_bagfile_information']
    assert information['version'] == 9
    assert set(information) == {
        'version', 'storage_identifier', 'duration', 'starting_time', 'message_count',
        'topics_with_message_count', 'compression_format', 'compression_mode',
        'relative_file_paths', 'files', 'custom_data', 'ros_distro'}
    topic = information['topics_with_message_count'][0]['topic_metadata']
    assert isinstance(topic['offered_qos_profiles'], list)
    assert topic['type_description_hash'].startswith('RIHS01_')
    assert information['duration']['nanoseconds'] == 20_000_000


def test_times_and_sequence_come_back(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'b') as writer:
        writer.add_topic('/u', 'std_msgs/msg/Empty', qos=COMMAND)
        writer.write('/u', b'\0\1\0\0', 20, 10, 5)
        writer.write('/u', b'\0\1\0\0', 21)
        writer.write('/u', b'\0\1\0\0', 22, 12, 2**32 + 7)
    with open_bag(tmp_path / 'b') as bag:
        found = [(m.log_ns, m.publish_ns, m.sequence) for m in bag.messages()]
    assert found == [(20, 10, 5), (21, 21, NO_SEQUENCE), (22, 12, 7)]


def test_an_unknown_type_is_recorded_without_a_definition(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'b') as writer:
        writer.add_topic('/x', 'nobody_msgs/msg/Nothing')
        writer.write('/x', b'\0\1\0\0', 1)
    with open_bag(tmp_path / 'b') as bag:
        assert [m.type for m in bag.messages()] == ['nobody_msgs/msg/Nothing']
        assert 'no definition' in bag.unreadable['/x']


def test_our_definitions_are_whole(tmp_path: Path) -> None:
    text = definition('wm_eval_ros/msg/PlannerCycle').text
    for part in ('wm_eval_ros/InputRef', 'std_msgs/Header', 'builtin_interfaces/Time'):
        assert f'MSG: {part}\n' in text


def sizes(writer: BagWriter) -> int:
    return writer.path.stat().st_size


def test_a_chunk_closes_by_age_and_by_size(
    tmp_path: Path, joint_data: Callable[..., bytes],
) -> None:
    clock = Clock()
    writer = BagWriter(tmp_path / 'b', clock=clock)
    writer.add_topic('/j', JOINTS, qos=SENSOR_OFFER)
    clock.now = 10 * CHUNK_NS
    before = sizes(writer)
    writer.write('/j', joint_data(0), 1)
    clock.now += CHUNK_NS - 1
    writer.tick()
    assert sizes(writer) == before
    clock.now += 1
    writer.tick()
    aged = sizes(writer)
    assert aged > before
    writer.write('/j', bytes(CHUNK_BYTES), 2)
    assert sizes(writer) > aged + CHUNK_BYTES
    writer.close()


def test_after_sigkill_everything_flushed_is_read(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from wm_eval_ros.bag.writer import BagWriter
writer = BagWriter(Path({str(tmp_path / 'b')!r}))
writer.add_topic('/u', 'std_msgs/msg/Empty')
for i in range(5000):
    writer.write('/u', bytes(100), i + 1)
writer.flush()
writer.write('/u', bytes(100), 6000)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, '-c', script], check=False, cwd=Path.cwd(),
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(BagError, match='not closed'):
        open_bag(tmp_path / 'b')
    with pytest.raises(BagError, match='without a footer'):
        open_bag(tmp_path / 'b' / 'b_0.mcap')
    with open_bag(tmp_path / 'b', salvage=True) as bag:
        assert [m.log_ns for m in bag.messages()] == list(range(1, 5001))
        assert any('without a footer' in note for note in bag.notes)


class FullDisk:
    """A file whose disk takes so many bytes more, then none."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.left: int | None = None

    def write(self, data: memoryview) -> int:
        if self.left is None:
            return int(self._file.write(data))
        if self.left == 0:
            raise OSError(28, 'No space left on device')
        taken = int(self._file.write(data[:self.left]))
        self.left -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize('freed', [True, False])
def test_the_first_failure_of_the_disk_ends_writing_for_good(
    tmp_path: Path, joint_data: Callable[..., bytes], freed: bool,
) -> None:
    writer = BagWriter(tmp_path / 'b')
    disk = FullDisk(writer._disk._raw)
    writer._disk._raw = disk  # type: ignore[assignment]
    writer.add_topic('/j', JOINTS)
    for i in range(100):
        writer.write('/j', joint_data(i), i + 1)
    writer.flush()
    disk.left = 20
    writer.write('/j', joint_data(0), 200)
    with pytest.raises(RecordingError, match='No space left'):
        writer.flush()
    disk.left = None if freed else 0
    with pytest.raises(RecordingError, match='writing ended'):
        writer.write('/j', joint_data(0), 201)
    with pytest.raises(RecordingError, match='writing ended'):
        writer.close({'state': 'failed'})
    # where there is room again the file gets its end, and needs no salvage
    with open_bag(tmp_path / 'b', salvage=not freed) as bag:
        assert [m.log_ns for m in bag.messages()] == list(range(1, 101))
        assert freed == (not bag.notes)
        # and says why in any case
        assert bag.metadata is not None
        assert bag.metadata.custom == {'state': 'failed'}


class Sealing:
    """A seal that writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.taken: list[tuple[str, bytes]] = []

    def declare(self, topic: str, type_name: str, text: str) -> None:
        self.calls.append('declare')

    def take(
        self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int,
    ) -> None:
        self.taken.append((topic, data))
        self.calls.append('take')

    def checkpoint(self) -> dict[str, str]:
        self.calls.append('checkpoint')
        return {'index': f'after {len(self.taken)}'} if self.taken else {}

    def durable(self) -> None:
        self.calls.append('durable')

    def close(self) -> dict[str, str]:
        self.calls.append('close')
        return {'index': f'last {len(self.taken)}'}


def test_a_seal_follows_the_file_and_stands_outside_of_chunks(tmp_path: Path) -> None:
    seal = Sealing()
    with BagWriter(tmp_path / 'b', seal=seal) as writer:
        writer.add_topic('/u', 'std_msgs/msg/Empty')
        writer.sync()
        for i in range(3):
            writer.write('/u', bytes([0, 1, 0, i]), 5 - i)
            if i == 1:
                writer.sync()
    assert seal.calls == ['declare', 'checkpoint', 'durable', 'take', 'take', 'checkpoint',
                          'durable', 'take', 'close', 'durable']
    assert [data[3] for _, data in seal.taken] == [0, 1, 2], 'the order of the file'
    with (tmp_path / 'b' / 'b_0.mcap').open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        sealed = [m.metadata for m in reader.iter_metadata() if m.name == SEAL_RECORD]
        assert sum(1 for _ in reader.iter_messages()) == 3
    assert [m['index'] for m in sealed] == ['after 2', 'last 3']


def test_after_a_failure_no_seal_vouches_for_what_the_disk_did_not_take(tmp_path: Path) -> None:
    seal = Sealing()
    writer = BagWriter(tmp_path / 'b', seal=seal)
    disk = FullDisk(writer._disk._raw)
    writer._disk._raw = disk  # type: ignore[assignment]
    writer.add_topic('/u', 'std_msgs/msg/Empty')
    writer.write('/u', bytes(4), 1)
    writer.sync()
    writer.write('/u', bytes(4), 2)
    disk.left = 0
    with pytest.raises(RecordingError):
        writer.sync()
    disk.left = None
    with pytest.raises(RecordingError):
        writer.close()
    assert 'close' not in seal.calls
    with open_bag(tmp_path / 'b') as bag:
        assert [m.log_ns for m in bag.messages()] == [1]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'there').write_text('')
    with pytest.raises(RecordingError, match='not empty'):
        BagWriter(tmp_path)
    with pytest.raises(RecordingError, match='cannot be written'):
        BagWriter(tmp_path / 'there')


def test_a_topic_must_be_declared(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'b') as writer, pytest.raises(RecordingError, match='declared'):
        writer.write('/x', b'', 1)


def test_an_empty_bag_closes_and_is_called_empty(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'b') as writer:
        writer.add_topic('/r', 'std_msgs/msg/String', qos=LATCHED)
    with pytest.raises(BagError, match='empty: 1 topics and no message'):
        open_bag(tmp_path / 'b')
