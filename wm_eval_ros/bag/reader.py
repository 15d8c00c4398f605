"""
Open a bag of any form rosbag2 writes, and read it: in columns, raw, decoded, or as records.

Order of everything that is read: by log time; equal log times by file, then by place in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wm_eval_ros.bag.columns import Columns, from_payloads, Ints
from wm_eval_ros.bag.decode import Decoder, full_name, header_stamp_ns
from wm_eval_ros.bag.locate import contents, open_file, Scratch
from wm_eval_ros.bag.mcap_file import McapFile
from wm_eval_ros.bag.merge import merged, Source
from wm_eval_ros.bag.message import (
    Connection,
    Damage,
    Disorder,
    RawMessage,
    StorageFile,
    unzstd,
)
from wm_eval_ros.bag.metadata import Metadata, TopicDeclaration
from wm_eval_ros.bag.metadata import NAME as METADATA
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Record, SampleRecord
from wm_eval_ros.wire.codec import (
    cycle_from_msg,
    CYCLE_TYPE,
    event_from_msg,
    EVENT_TYPE,
    exchange_from_msg,
    EXCHANGE_TYPE,
    link_from_msg,
    LINK_TYPE,
    run_info_from_json,
    status_from_msg,
    STATUS_TYPE,
)
from wm_eval_ros.wire.topics import RUN_INFO, TYPES

#: connections are numbered in 16 bits
_MAX_CONNECTIONS = 1 << 16
#: messages that are compressed one by one are decompressed together up to this size [bytes]
_UNZIPPED_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some messages of one connection, in the order they are read."""

    connection: Connection
    #: the bag's connections, by the numbers in the columns
    connections: tuple[Connection, ...]
    columns: Columns
    #: header stamps [ns, ROS], shape (N,); None for a type without a header
    stamps_ns: Ints | None

    def messages(self) -> Iterator[RawMessage]:
        """Yield them one by one."""
        return self.columns.messages(self.connections)


class Bag:
    """An open bag. Iterating twice reads twice; nothing is kept in memory."""

    def __init__(
        self, path: Path, files: tuple[StorageFile, ...], metadata: Metadata | None,
        scratch: Scratch, definitions: Mapping[str, str] | None, damage: Damage,
    ) -> None:
        """Hold what :func:`open_bag` opened."""
        self.path = path
        self.metadata = metadata
        self._files = files
        self._scratch = scratch
        self._damage = damage
        known: dict[tuple[str, ...], Connection] = {}
        self._numbers: list[Ints] = []
        for file in files:
            own = [known.setdefault(_key(c), c) for c in file.connections]
            places = {connection: n for n, connection in enumerate(known.values())}
            self._numbers.append(np.array([places[c] for c in own], np.int64))
        self.connections: tuple[Connection, ...] = tuple(known.values())
        if len(known) > _MAX_CONNECTIONS:
            raise BagError(f'{path}: {len(known)} topics; at most {_MAX_CONNECTIONS} are read')
        self.topics = {c.topic: c.type for c in self.connections}
        self.decoder = Decoder(self.connections, definitions)

    @property
    def has_order(self) -> bool:
        """Whether its files keep an order of messages; those of sqlite3 keep none."""
        return all(isinstance(file, McapFile) for file in self._files)

    @property
    def salvage(self) -> bool:
        """Whether what is broken is left out and noted, instead of refused."""
        return self._damage.salvage

    @property
    def notes(self) -> tuple[str, ...]:
        """What salvage had to leave out so far, one sentence each."""
        return (*self._damage.notes, *(n for file in self._files for n in file.damage.notes))

    @property
    def read(self) -> Counter[str]:
        """Messages read by the last pass, by topic; final when the pass has ended."""
        return sum((file.read for file in self._files), Counter())

    @property
    def disorder(self) -> Disorder:
        """Messages of the last pass that stand after a later one in their file."""
        found = [file.disorder for file in self._files]
        fall = max(found, key=lambda disorder: disorder.fall_ns)
        return Disorder(sum(d.count for d in found), max(d.worst_ns for d in found),
                        sum(d.within_topics for d in found), fall.fall_ns, fall.fall_at_ns)

    @property
    def size(self) -> int:
        """Size of the storage files, decompressed where files were [bytes]."""
        return sum(file.size for file in self._files)

    @property
    def lost_bytes(self) -> int:
        """How much of that salvage could not use so far [bytes]."""
        return min(self.size, sum(file.damage.lost_bytes for file in self._files))

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Names of the files in which no checksum covers the messages."""
        return tuple(file.path.name for file in self._files if not file.checked)

    @property
    def declared(self) -> dict[str, int]:
        """Declared number of messages by topic: of the files, else of metadata.yaml."""
        counts: Counter[str] = Counter(dict.fromkeys(self.topics, 0))
        for file in self._files:
            if file.declared is None:
                topics = self.metadata.topics if self.metadata else ()
                return {topic.name: topic.count or 0 for topic in topics}
            counts.update(file.declared)
        return dict(counts)

    @property
    def unreadable(self) -> dict[str, str]:
        """Why a topic cannot be decoded, by topic; such topics are still counted and timed."""
        why = self.decoder.unreadable
        return {topic: why[full_name(kind)] for topic, kind in self.topics.items()
                if full_name(kind) in why}

    def columns(self, topics: Collection[str] | None = None) -> Iterator[Columns]:
        """
        Yield the messages by the thousand, ordered as the module says.

        The connection of a row is its place in :attr:`connections`.

        :param topics: only these, None: all
        :raises BagError: the bag is damaged, or holds fewer messages than it declares
        """
        return merged([Source(partial(self._numbered, number, topics), file.start_ns)
                       for number, file in enumerate(self._files)])

    def parts(self) -> Iterator[Part]:
        """
        Yield the messages by the thousand, those of one connection at a time.

        Each connection's messages come in order; those of different ones are not interleaved.

        :raises BagError: the bag is damaged, or holds fewer messages than it declares
        """
        stamped = [self.decoder.is_stamped(c.type) for c in self.connections]
        for columns in self.columns():
            for number, own in columns.by_connection():
                connection = self.connections[number]
                yield Part(connection, self.connections, own,
                           own.stamps(connection.topic) if stamped[number] else None)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """
        Yield raw messages, ordered as the module says.

        :param topics: only these, None: all
        :raises BagError: the bag is damaged, or holds fewer messages than it declares
        """
        for columns in self.columns(topics):
            yield from columns.messages(self.connections)

    def decoded(self, topics: Collection[str]) -> Iterator[tuple[RawMessage, Any]]:
        """
        Yield messages of the topics with their decoded form.

        :raises BagError: a topic is not in the bag or not readable, or the bag is damaged
        """
        for topic in topics:
            if topic not in self.topics:
                have = ', '.join(sorted(self.topics)) or 'nothing'
                raise BagError(f'{self.path}: no topic {topic}; it holds {have}')
            if topic in self.unreadable:
                raise BagError(f'{self.path}: {topic}: {self.unreadable[topic]}')
        for message in self.messages(topics):
            yield message, self.decoder.decode(message)

    def records(self) -> Iterator[Record]:
        """
        Yield the bag as records: ours decoded, every other message as a :class:`SampleRecord`.

        :raises BagError: the bag is damaged, or a record of ours does not decode
        """
        ours = {c: decode for c in self.connections if (decode := record_decoder(c))}
        stamped = {c for c in self.connections if self.decoder.is_stamped(c.type)}
        for message in self.messages():
            log_ns, connection, _, sequence, _ = message
            if connection in ours:
                yield ours[connection](self.decoder.decode(message))
            else:
                stamp_ns = header_stamp_ns(message) if connection in stamped else None
                yield SampleRecord(connection.topic, stamp_ns, log_ns, sequence)

    def stored(self) -> Iterator[tuple[StorageFile, Columns]]:
        """
        Yield the messages as they stand in their files, whatever their log times.

        :raises BagError: the bag is damaged, or a file is not MCAP: only there is an order stored
        """
        for number, file in enumerate(self._files):
            if not isinstance(file, McapFile):
                raise BagError(f'{file.path}: not MCAP; it keeps no order of messages')
            for columns in file.stored():
                for block in self._renumbered(number, columns):
                    yield file, block

    def metadata_records(self, name: str) -> Iterator[tuple[int, dict[str, str]]]:
        """
        Yield place and content of the metadata records of a name; files of other forms have none.

        :raises BagError: one is damaged
        """
        for file in self._files:
            if isinstance(file, McapFile):
                yield from file.metadata(name)

    def close(self) -> None:
        """Release the files."""
        for file in self._files:
            file.close()
        self._scratch.close()

    def __enter__(self) -> Bag:
        """Return the bag."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the files."""
        self.close()

    def _numbered(self, number: int, topics: Collection[str] | None) -> Iterator[Columns]:
        """Yield one file's messages with the bag's own numbers of connections."""
        for columns in self._files[number].columns(topics):
            yield from self._renumbered(number, columns)

    def _renumbered(self, number: int, columns: Columns) -> Iterator[Columns]:
        columns.rows['connection'] = self._numbers[number][columns.rows['connection']]
        packed = self.metadata is not None and self.metadata.compression_mode == 'message'
        return self._unzipped(columns) if packed else iter((columns,))

    def _unzipped(self, columns: Columns) -> Iterator[Columns]:
        """Decompress messages a few at a time: thousands of small ones may become large."""
        first = size = 0
        payloads: list[bytes] = []
        for number, m in enumerate(columns.messages(self.connections), 1):
            payloads.append(unzstd(f'{self.path}: {m.topic} at {m.log_ns} ns', m.data))
            size += len(payloads[-1])
            if size >= _UNZIPPED_BYTES or number == len(columns):
                yield from_payloads(columns.rows[first:number], payloads)
                first, size, payloads = number, 0, []

    def _check(self) -> None:
        """Hold metadata.yaml against the files."""
        formats = {c.serialization_format for c in self.connections}
        if self.metadata is not None and self.metadata.topics:
            formats &= {t.serialization_format for t in self.metadata.topics}
            formats = formats or {t.serialization_format for t in self.metadata.topics}
        if formats and 'cdr' not in formats:
            raise BagError(f'{self.path}: serialized as {", ".join(map(repr, sorted(formats)))}; '
                           'only cdr is read: convert it with `ros2 bag convert`')
        if self.metadata is not None and all(f.declared is not None for f in self._files):
            self._check_topics(self.metadata.topics)
        if not any(self.declared.values()) and self._is_empty():
            raise BagError(f'{self.path}: empty: {len(self.topics)} topics and no message'
                           + ''.join(f'; {note}' for note in self.notes))

    def _check_topics(self, topics: Collection[TopicDeclaration]) -> None:
        listed = {topic.name: topic.count for topic in topics}
        for topic, held in {**dict.fromkeys(listed, 0), **self.declared}.items():
            if listed.get(topic, 0) not in (held, None):
                self._damage.found(
                    f'{self.path}: {topic}: {METADATA} declares {listed.get(topic, 0)} messages, '
                    f'the files hold {held}; `ros2 bag reindex` writes it anew')

    def _is_empty(self) -> bool:
        return not any(len(columns) for columns in self.columns())


def open_bag(
    path: Path | str, *, salvage: bool = False, definitions: Mapping[str, str] | None = None,
) -> Bag:
    """
    Open a rosbag2 directory, or a storage file of one.

    :param path: folder with metadata.yaml, or a file: MCAP, sqlite3, or one of these in zstd
    :param salvage: read what can be read of a damaged bag; :attr:`Bag.notes` says what is missing
    :param definitions: definitions of types the bag does not define, by type name
    :raises BagError: missing, no bag, damaged, empty, of a newer version or another serialization
    """
    path = Path(path)
    path = path.parent if path.name == METADATA else path
    damage = Damage(salvage=salvage)
    metadata, paths = contents(path, damage)
    scratch = Scratch()
    files: list[StorageFile] = []
    try:
        files.extend(open_file(p, scratch, salvage=salvage) for p in paths)
        bag = Bag(path, tuple(files), metadata, scratch, definitions, damage)
        bag._check()
    except BaseException:
        for file in files:
            file.close()
        scratch.close()
        raise
    return bag


def record_decoder(connection: Connection) -> Any:
    """
    Return what makes a record of a connection's messages, None for those of others.

    It raises :class:`BagError` where the fields that the bag defines are not those of a record.
    """
    if connection.type == CYCLE_TYPE:
        return partial(_record, connection, cycle_from_msg)
    if connection.type == EVENT_TYPE:
        return partial(_record, connection, event_from_msg)
    if connection.type == STATUS_TYPE:
        return partial(_record, connection, status_from_msg)
    if connection.type == LINK_TYPE:
        return partial(_record, connection, link_from_msg)
    if connection.type == EXCHANGE_TYPE:
        return partial(_record, connection, exchange_from_msg)
    if connection.type == TYPES[RUN_INFO] and connection.topic.rpartition('/')[2] == RUN_INFO:
        return partial(_record, connection, lambda msg: run_info_from_json(msg.data))
    return None


def _record(connection: Connection, make: Callable[[Any], Record], msg: Any) -> Record:
    try:
        return make(msg)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise BagError(f'{connection.topic}: its {connection.type} is not as this version knows '
                       f'it ({" ".join(str(error).split())})') from None


def _key(connection: Connection) -> tuple[str, ...]:
    """Return what makes connections of several files, or several publishers, one."""
    return (connection.topic, connection.type, connection.encoding, connection.text,
            connection.serialization_format)
