"""
Write a rosbag2 directory: one MCAP file and its metadata.yaml.

Chunks are small, carry a CRC, are not compressed, and reach the operating system when they are
closed: after a SIGKILL everything but the open chunk is in the file. After :meth:`BagWriter.sync`
it is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from wm_eval_ros.bag.definitions import definition
from wm_eval_ros.bag.disk import DiskFile
from wm_eval_ros.bag.mcap_writer import McapWriter
from wm_eval_ros.bag.metadata import metadata_yaml, NAME, offered_qos, to_yaml, WrittenTopic
from wm_eval_ros.bag.seal import RECORD as SEAL_RECORD
from wm_eval_ros.bag.seal import Seal
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.records import NO_SEQUENCE
from wm_eval_ros.wire.topics import Qos

#: a chunk is closed at this size [bytes]
CHUNK_BYTES = 64 << 10
#: and at this age [ns, steady]
CHUNK_NS = 100_000_000
#: start of a bag without messages, as rosbag2 writes it
_NO_START_NS = 2**63 - 1


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
        clock: Callable[[], int] = time.monotonic_ns, seal: Seal | None = None,
        answered: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Create the folder and the file.

        :param folder: must not exist, or be empty
        :param distribution: name of the ROS distribution, for metadata.yaml
        :param clock: steady clock [ns]
        :param seal: follows what is written; None: nobody does
        :param answered: called after every single wait for the disk
        :raises RecordingError: the folder is in use, or cannot be written
        """
        self.folder = Path(folder)
        self.path = self.folder / f'{self.folder.name}_0.mcap'
        self._distribution = distribution
        self._clock = clock
        self._seal = seal
        self._answered = answered
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[str, int] = {}
        self._opened_ns = clock()
        self._failure = ''
        #: messages were taken that the disk did not: a seal would vouch for them
        self._cut = False
        self._closed = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise RecordingError(f'{self.folder}: not empty; name a new folder for the bag')
            self._disk = DiskFile(self.path)
            self._mcap = McapWriter(self._disk, 'ros2', 'wm_eval_ros')
        except OSError as error:
            raise RecordingError(f'{self.folder}: cannot be written ({error.strerror})') from None

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages taken, by topic; those of the open chunk are not in the file yet."""
        return {name: topic.count for name, topic in self._topics.items()}

    @property
    def failure(self) -> str:
        """Why nothing more is written; empty while all is well."""
        return self._failure

    def add_topic(
        self, name: str, type_name: str, text: str | None = None, type_hash: str | None = None,
        qos: Qos | Sequence[Mapping[str, Any]] = (), encoding: str = 'ros2msg',
    ) -> None:
        """
        Declare a topic; a topic already declared stays as it is.

        :param type_name: ``package/msg/Name``
        :param text: definition, None: the known one, empty: none
        :param encoding: of a definition that is given: ``ros2msg`` or ``ros2idl``
        :param type_hash: RIHS01 hash, None: that of the known definition
        :param qos: quality of service that the publisher offers
        """
        if name in self._topics:
            return
        known = definition(type_name) if text is None or type_hash is None else None
        text = known.text if text is None and known else text or ''
        type_hash = known.type_hash if type_hash is None and known else type_hash or ''
        profiles = tuple(offered_qos(qos) if isinstance(qos, Qos) else qos)
        channel = self._mcap.add_channel(
            name, self._schema(type_name, text or '', encoding),
            {'offered_qos_profiles': to_yaml(list(map(dict, profiles))).strip(),
             'topic_type_hash': type_hash or ''})
        self._topics[name] = _Topic(channel, type_name, type_hash or '', profiles)
        if self._seal is not None:
            self._seal.declare(name, type_name, text or '')

    def write(
        self, topic: str, data: bytes, log_ns: int, publish_ns: int | None = None,
        sequence: int = NO_SEQUENCE,
    ) -> None:
        """
        Append one serialized message.

        :param data: CDR with its encapsulation header
        :param log_ns: when it was received [ns, system]
        :param publish_ns: when it was published [ns, system], None or no time: as received
        :param sequence: publication sequence number; kept modulo 2**32, as MCAP has it
        :raises RecordingError: the topic was not declared, or writing failed now or before
        """
        entry = self._topics.get(topic)
        if entry is None:
            raise RecordingError(f'{self.folder}: topic {topic} was not declared')
        if not 0 <= log_ns < 2**63:
            raise RecordingError(f'{self.folder}: {topic}: log time {log_ns} ns is no time')
        self._require_well()
        if publish_ns is None or not 0 <= publish_ns < 2**63:
            publish_ns = log_ns
        number = 0 if sequence == NO_SEQUENCE else sequence & 0xFFFFFFFF
        if not self._mcap.messages_pending:
            self._opened_ns = self._clock()
        self._mcap.add_message(entry.channel, number, log_ns, publish_ns, data)
        entry.count += 1
        if self._seal is not None:
            self._seal.take(topic, data, log_ns, publish_ns, number)
        if self._mcap.pending >= CHUNK_BYTES:
            self.flush()
        else:
            self.tick()

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """
        Write a metadata record behind the messages so far.

        :raises RecordingError: writing failed now or before
        """
        self._guard(lambda: self._mcap.add_metadata(name, values))

    def tick(self) -> None:
        """Close the open chunk if it is old enough; to be called at least every 100 ms."""
        if self._mcap.messages_pending and self._clock() - self._opened_ns >= CHUNK_NS:
            self.flush()

    def flush(self) -> None:
        """
        Close the open chunk and hand it to the operating system.

        :raises RecordingError: writing failed now or before
        """
        self._guard(self._mcap.close_chunk)

    def sync(self) -> None:
        """
        Close the open chunk, and wait until everything is on the disk.

        :raises RecordingError: writing failed now or before
        """
        self._guard(self._sync)

    def fail(self, reason: str, *, whole: bool) -> None:
        """
        End all writing, for good; `close` still gives the file its end.

        :param whole: everything that was taken is in the file, and the seal may say so
        """
        if not self._failure:
            self._failure, self._cut = reason, not whole

    def close(self, summary: Mapping[str, str] | None = None) -> None:
        """
        Finish the file and write metadata.yaml; a second call does nothing.

        After a failure both are tried too: what is whole in the file gets its index, and where
        there is no room for that, metadata.yaml says at least why.

        :param summary: free text by key, for the custom data of metadata.yaml
        :raises RecordingError: writing failed now or before
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure:
                for step in (self._finish, self._describe):
                    with contextlib.suppress(OSError):
                        step(summary or {})
            self._guard(lambda: self._complete(summary or {}))
        finally:
            with contextlib.suppress(OSError):
                self._disk.close()

    def __enter__(self) -> BagWriter:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self.close()

    def _schema(self, type_name: str, text: str, encoding: str) -> int:
        if type_name not in self._schemas:
            self._schemas[type_name] = self._mcap.add_schema(
                type_name, encoding if text else '', text.encode())
        return self._schemas[type_name]

    def _sync(self) -> None:
        self._mcap.close_chunk()
        if self._seal is not None:
            self._note(self._seal.checkpoint())
        self._disk.sync()
        self._answered()
        if self._seal is not None:
            self._seal.durable()
            self._answered()

    def _note(self, sealed: Mapping[str, str]) -> None:
        if sealed:
            self._mcap.add_metadata(SEAL_RECORD, sealed)

    def _complete(self, summary: Mapping[str, str]) -> None:
        self._finish(summary)
        self._describe(summary)

    def _finish(self, summary: Mapping[str, str]) -> None:
        self._mcap.close_chunk()
        if self._seal is not None and not self._cut:
            self._note(self._seal.close())
        contents = self._metadata(summary)
        self._mcap.add_metadata('rosbag2', {
            'serialized_metadata': to_yaml(next(iter(contents.values()))).strip()})
        self._mcap.finish()
        self._disk.sync()
        self._answered()
        if self._seal is not None and not self._cut:
            self._seal.durable()
            self._answered()

    def _describe(self, summary: Mapping[str, str]) -> None:
        part = self.folder / f'.{NAME}.part'
        part.write_text(to_yaml(self._metadata(summary)), encoding='utf-8')
        part.replace(self.folder / NAME)

    def _metadata(self, summary: Mapping[str, str]) -> dict[str, Any]:
        mcap = self._mcap
        topics = [WrittenTopic(name, t.type, t.type_hash, t.qos, mcap.counts[t.channel])
                  for name, t in self._topics.items()]
        start_ns = min(mcap.start_ns, _NO_START_NS)
        return metadata_yaml(self.path.name, topics, start_ns, max(0, mcap.end_ns - start_ns),
                             summary, self._distribution)

    def _require_well(self) -> None:
        if self._failure:
            raise RecordingError(f'{self.path}: writing ended after {self._failure}')

    def _guard(self, action: Callable[[], object]) -> None:
        """Run an action; the first failure of the disk ends all writing, for good."""
        self._require_well()
        try:
            action()
        except OSError as error:
            self._failure = error.strerror or str(error)
            self._cut = True
            raise RecordingError(f'{self.path}: cannot be written ({self._failure}); '
                                 'what was written before is readable') from None
