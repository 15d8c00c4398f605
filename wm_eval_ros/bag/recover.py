"""
Write what can be read of a damaged or unclosed bag into a new one that any reader opens.

The source is only read. Messages keep bytes, times, sequence numbers and, from MCAP, the order of
the file, and the records of its audit trail stay between the messages they stood between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from wm_eval_ros.bag.columns import Columns
from wm_eval_ros.bag.locate import inside
from wm_eval_ros.bag.mcap_file import McapFile
from wm_eval_ros.bag.message import Connection, RawMessage, StorageFile
from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.bag.seal import RECORD as SEAL_RECORD
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.config.yaml_file import parse_yaml
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.records import NameEnum, RecorderStatus
from wm_eval_ros.wire.codec import status_from_msg, STATUS_TYPE

#: key of the custom data of a recovered bag
KEY = 'wm_eval_ros.recovered'
#: of many things that are wrong so many are kept in the metadata
_NOTED = 20


class Outcome(NameEnum):
    """How much came out."""

    #: nothing of the file is missing; what had not reached it is not known to it
    FULL = 'full'
    #: some of it is missing
    LOSSY = 'lossy'
    NOTHING = 'nothing'


@dataclass(frozen=True, slots=True)
class TopicRecovery:
    """One topic."""

    topic: str
    type: str
    messages: int
    #: of payload
    bytes: int
    #: messages the source says it holds, and that could not be read; there may be more of which
    #: it says nothing
    lost_at_least: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of a bag."""

    source: Path
    #: the new bag; None where nothing came out
    folder: Path | None
    topics: tuple[TopicRecovery, ...]
    #: of the storage files, and how much of that was of no use
    size_bytes: int
    lost_bytes: int
    #: what is wrong with the source, one sentence each
    notes: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """Say how much came out."""
        if self.folder is None:
            return Outcome.NOTHING
        missing = self.lost_bytes or any(t.lost_at_least for t in self.topics)
        return Outcome.LOSSY if missing else Outcome.FULL

    @property
    def messages(self) -> int:
        """Number of messages recovered."""
        return sum(topic.messages for topic in self.topics)


def recover(
    path: Path, folder: Path, tell: Callable[[float], object] = lambda share: None,
) -> Recovery:
    """
    Recover a bag.

    :param path: folder or storage file of the source
    :param folder: of the new bag; new or empty, and not within the source
    :param tell: called now and then with the share that is done, in [0, 1]
    :raises BagError: there is no source
    :raises ConfigError: the new bag would lie in the source
    :raises RecordingError: the new bag cannot be written
    """
    if not path.exists():
        raise BagError(f'{path}: there is no such file or folder')
    if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
        raise ConfigError(f'{folder}: lies in the bag that is recovered, which is only read; name '
                          'a folder beside it')
    try:
        bag, why = _opened(path)
    except BagError as error:
        size = path.stat().st_size if path.is_file() else sum(
            p.stat().st_size for p in path.iterdir() if p.is_file())
        return Recovery(path, None, (), size, size, (str(error),))
    with bag:
        return _Copy(bag, folder, tell, why).run()


def _opened(path: Path) -> tuple[Bag, tuple[str, ...]]:
    """Open the bag; where its metadata.yaml is of no use without it, and with what is wrong."""
    try:
        return open_bag(path, salvage=True), ()
    except BagError as error:
        files = [] if path.is_file() else [
            p for p in path.iterdir() if p.suffix in ('.mcap', '.db3')]
        if len(files) != 1:
            raise
        return open_bag(inside(files[0], path), salvage=True), (str(error),)


class _Copy:
    """One bag on its way into another."""

    def __init__(self, bag: Bag, folder: Path, tell: Callable[[float], object],
                 notes: tuple[str, ...]) -> None:
        self._bag, self._folder, self._tell, self._notes = bag, folder, tell, notes
        self._kinds: dict[str, Connection] = {}
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._status: RecorderStatus | None = None

    def run(self) -> Recovery:
        """Copy everything."""
        blocks = self._blocks()
        first = next((block for block in blocks if len(block[1])), None)
        if first is None:
            return self._result(None)
        seals = _Seals(self._bag)
        writer = BagWriter(self._folder)
        for file, columns in chain([first], blocks):
            for number, message in enumerate(columns.messages(self._bag.connections)):
                seals.until(file, columns.rows[number], writer)
                self._take(message, writer)
            self._tell(self._bytes.total() / max(1, self._bag.size))
        seals.rest(writer)
        found = self._result(self._folder)
        writer.close(self._summary(found))
        return found

    def _blocks(self) -> Iterator[tuple[StorageFile | None, Columns]]:
        if self._bag.has_order:
            yield from self._bag.stored()
        else:
            yield from ((None, columns) for columns in self._bag.columns())

    def _take(self, message: RawMessage, writer: BagWriter) -> None:
        connection, topic = message.connection, message.topic
        known = self._kinds.setdefault(topic, connection)
        if known.type != connection.type or not 0 <= message.log_ns < 2**63:
            self._skipped[topic] += 1
            return
        if topic not in self._counts:
            writer.add_topic(topic, connection.type, connection.text or None,
                             encoding=connection.encoding or 'ros2msg', qos=_offered(connection))
        writer.write(topic, message.data, message.log_ns, message.publish_ns, message.sequence)
        self._counts[topic] += 1
        self._bytes[topic] += len(message.data)
        if connection.type == STATUS_TYPE:
            self._note_status(message)

    def _note_status(self, message: RawMessage) -> None:
        try:
            self._status = status_from_msg(self._bag.decoder.decode(message))
        except (BagError, AttributeError, TypeError, ValueError):
            self._status = None  # of another version: it says nothing then

    def _result(self, folder: Path | None) -> Recovery:
        bag = self._bag
        acknowledged = {} if self._status is None else dict(
            zip(self._status.topics, self._status.durable, strict=False))
        topics = []
        for topic, kind in sorted(bag.topics.items()):
            held = max(bag.declared.get(topic, 0), acknowledged.get(topic, 0))
            lost = max(0, held - self._counts[topic], self._skipped[topic])
            topics.append(TopicRecovery(
                topic, kind, self._counts[topic], self._bytes[topic], lost))
        skipped = [f'{topic}: {count} messages of another type, or of no time, are left out'
                   for topic, count in sorted(self._skipped.items())]
        return Recovery(bag.path, folder, tuple(topics), bag.size, bag.lost_bytes,
                        (*self._notes, *bag.notes, *skipped))

    def _summary(self, found: Recovery) -> dict[str, str]:
        custom = dict(self._bag.metadata.custom) if self._bag.metadata is not None else {}
        lost = sum(topic.lost_at_least for topic in found.topics)
        custom[KEY] = (f'outcome={found.outcome} messages={found.messages} lost_at_least={lost} '
                       f'lost_bytes={found.lost_bytes}')
        return custom | {f'{KEY}.{number}': f'note: {note}'
                         for number, note in enumerate(found.notes[:_NOTED])}


class _Seals:
    """The records of the audit trail of the one file of a bag, on their way."""

    def __init__(self, bag: Bag) -> None:
        self._waiting = list(bag.metadata_records(SEAL_RECORD)) if bag.has_order else []
        self._waiting.reverse()

    def until(self, file: StorageFile | None, row: np.void, writer: BagWriter) -> None:
        """Write those that stand before a message."""
        while self._waiting and isinstance(file, McapFile) and (
                self._waiting[-1][0] < file.place_of(row)):
            writer.note(SEAL_RECORD, self._waiting.pop()[1])

    def rest(self, writer: BagWriter) -> None:
        """Write those behind the last message."""
        while self._waiting:
            writer.note(SEAL_RECORD, self._waiting.pop()[1])


def _offered(connection: Connection) -> list[dict[str, object]]:
    """Return the quality of service a topic was recorded with, where its form is of today."""
    try:
        found = parse_yaml(connection.qos, connection.topic)
    except ConfigError:
        return []
    profiles = found if isinstance(found, list) else []
    if all(isinstance(p, dict) and isinstance(p.get('history'), str) for p in profiles):
        return profiles
    return []
