"""
Write a rosbag2 directory: one MCAP file and its metadata.yaml.

Chunks are small, carry a CRC, are not compressed, and reach the operating system when they are
closed: after a SIGKILL everything but the open chunk is in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import time
from typing import Any

from mcap.writer import CompressionType, Writer

from wm_eval_ros.bag.definitions import definition
from wm_eval_ros.bag.metadata import metadata_yaml, NAME, offered_qos, to_yaml, WrittenTopic
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.records import NO_SEQUENCE
from wm_eval_ros.wire.topics import Qos

#: a chunk is closed at this size [bytes]
CHUNK_BYTES = 64 << 10
#: and at this age [ns, steady]
CHUNK_NS = 100_000_000
#: start of a bag without messages, as rosbag2 writes it
_NO_START_NS = 2**63 - 1
#: the library is never to close a chunk by itself: the file would not be flushed
_NEVER_BYTES = 1 << 62


@dataclass(slots=True)
class _Topic:
    channel: int
    type: str
    type_hash: str
    qos: tuple[Mapping[str, Any], ...]
    count: int = 0


class BagWriter:
    """A rosbag2 MCAP directory under construction. Messages are bytes; nothing is decoded."""

    def __init__(
        self, folder: Path, *, distribution: str = 'jazzy',
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """
        Create the folder and the file.

        :param folder: must not exist, or be empty
        :param distribution: name of the ROS distribution, for metadata.yaml
        :param clock: steady clock [ns]
        :raises RecordingError: the folder is in use, or cannot be written
        """
        self.folder = Path(folder)
        self.path = self.folder / f'{self.folder.name}_0.mcap'
        self._distribution = distribution
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[str, int] = {}
        self._pending = 0
        self._opened_ns = clock()
        self._start_ns, self._end_ns = _NO_START_NS, 0
        self._failure = ''
        self._closed = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise RecordingError(f'{self.folder}: not empty; name a new folder for the bag')
            self._file = self.path.open('xb')
        except OSError as error:
            raise RecordingError(f'{self.folder}: cannot be written ({error.strerror})') from None
        self._writer = Writer(self._file, chunk_size=_NEVER_BYTES,
                              compression=CompressionType.NONE, enable_crcs=True)
        self._guard(self._begin)

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages written, by topic."""
        return {name: topic.count for name, topic in self._topics.items()}

    def add_topic(
        self, name: str, type_name: str, text: str | None = None, type_hash: str | None = None,
        qos: Qos | Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """
        Declare a topic; a topic already declared stays as it is.

        :param type_name: ``package/msg/Name``
        :param text: definition in ros2msg form, None: the known one, empty: none
        :param type_hash: RIHS01 hash, None: that of the known definition
        :param qos: quality of service that the publisher offers
        """
        if name in self._topics:
            return
        known = definition(type_name) if text is None or type_hash is None else None
        text = known.text if text is None and known else text or ''
        type_hash = known.type_hash if type_hash is None and known else type_hash or ''
        profiles = tuple(offered_qos(qos) if isinstance(qos, Qos) else qos)

        def declare() -> None:
            channel = self._writer.register_channel(
                name, 'cdr', self._schema(type_name, text or ''),
                {'offered_qos_profiles': to_yaml(list(map(dict, profiles))).strip(),
                 'topic_type_hash': type_hash or ''})
            self._topics[name] = _Topic(channel, type_name, type_hash or '', profiles)

        self._guard(declare)

    def write(
        self, topic: str, data: bytes, log_ns: int, publish_ns: int | None = None,
        sequence: int = NO_SEQUENCE,
    ) -> None:
        """
        Append one serialized message.

        :param data: CDR with its encapsulation header
        :param log_ns: when it was received [ns, system]
        :param publish_ns: when it was published [ns, system], None or NEVER_NS: as received
        :param sequence: publication sequence number; kept modulo 2**32, as MCAP has it
        :raises RecordingError: the topic was not declared, or writing failed now or before
        """
        entry = self._topics.get(topic)
        if entry is None:
            raise RecordingError(f'{self.folder}: topic {topic} was not declared')
        if not 0 <= log_ns < 2**63:
            raise RecordingError(f'{self.folder}: {topic}: log time {log_ns} ns is no time')
        published_ns = log_ns if publish_ns is None or publish_ns < 0 else publish_ns
        number = 0 if sequence == NO_SEQUENCE else sequence & 0xFFFFFFFF

        def append() -> None:
            self._writer.add_message(entry.channel, log_ns, data, published_ns, number)

        self._guard(append)
        entry.count += 1
        self._start_ns = min(self._start_ns, log_ns)
        self._end_ns = max(self._end_ns, log_ns)
        if not self._pending:
            self._opened_ns = self._clock()
        self._pending += len(data) + 31
        if self._pending >= CHUNK_BYTES:
            self.flush()
        else:
            self.tick()

    def tick(self) -> None:
        """Close the open chunk if it is old enough; to be called at least every 100 ms."""
        if self._pending and self._clock() - self._opened_ns >= CHUNK_NS:
            self.flush()

    def flush(self) -> None:
        """Close the open chunk and hand it to the operating system."""
        self._guard(self._flush)
        self._pending = 0

    def close(self) -> None:
        """
        Finish the file and write metadata.yaml; a second call does nothing.

        :raises RecordingError: writing failed now or before
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._guard(self._finish)
        finally:
            self._close_file()

    def __enter__(self) -> BagWriter:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self.close()

    def _begin(self) -> None:
        self._writer.start(profile='ros2', library='wm_eval_ros')
        self._file.flush()

    def _schema(self, type_name: str, text: str) -> int:
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(
                type_name, 'ros2msg' if text else '', text.encode())
        return self._schemas[type_name]

    def _flush(self) -> None:
        # The library closes chunks by size alone and offers no call for it.
        self._writer._Writer__finalize_chunk()  # type: ignore[attr-defined]
        self._file.flush()

    def _finish(self) -> None:
        contents = self._metadata()
        self._flush()
        self._writer.add_metadata('rosbag2', {
            'serialized_metadata': to_yaml(next(iter(contents.values()))).strip()})
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        part = self.folder / f'.{NAME}.part'
        part.write_text(to_yaml(contents), encoding='utf-8')
        part.replace(self.folder / NAME)

    def _metadata(self) -> dict[str, Any]:
        topics = [WrittenTopic(name, t.type, t.type_hash, t.qos, t.count)
                  for name, t in self._topics.items()]
        return metadata_yaml(self.path.name, topics, self._start_ns,
                             max(0, self._end_ns - self._start_ns), {},
                             self._distribution)

    def _close_file(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self._failure = self._failure or str(error.strerror)

    def _guard(self, action: Callable[[], object]) -> None:
        """Run an action; the first failure of the disk ends all writing, for good."""
        if self._failure:
            raise RecordingError(f'{self.path}: writing ended after {self._failure}')
        try:
            action()
        except OSError as error:
            self._failure = error.strerror or str(error)
            raise RecordingError(f'{self.path}: cannot be written ({self._failure}); '
                                 'what was written before is readable') from None
