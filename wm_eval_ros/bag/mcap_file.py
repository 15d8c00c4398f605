"""
Read an MCAP file: streaming, in log-time order, with every checksum and count checked.

The file is walked record by record, so that a file without an end is recognised and can be
salvaged by the same code. Messages are unpacked here, a few chunks at a time, because the library
makes an object of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata
import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.columns import Columns, EMPTY, gather, in_order, Ints, joined, ROW
from wm_eval_ros.bag.disorder import OrderWatch
from wm_eval_ros.bag.mcap_index import McapIndex
from wm_eval_ros.bag.mcap_record import (
    CHUNK,
    chunk_contents,
    MESSAGE,
    MESSAGE_FIELDS,
    message_log_times,
    RECORD,
    record_places,
    RecordFile,
    UNREADABLE,
)
from wm_eval_ros.bag.message import check_size, Connection, Damage, Disorder
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NO_SEQUENCE

Segments = NDArray[np.void]

#: chunks are unpacked together up to this size [bytes]
_BLOCK_BYTES = 4 << 20
#: messages that wait for an earlier one, which may stand at the end of the file [bytes]
_MAX_PENDING_BYTES = 1 << 30
#: a place in the file is the number of a segment and the offset in it
_PLACE_SHIFT = 32
_MAX_CHANNELS = 1 << 16
_UNWANTED, _UNKNOWN = -1, -2
_FIRST_NS = -2**63


class McapFile:
    """An MCAP file, whole or, in salvage, what is left of one."""

    def __init__(self, path: Path, *, salvage: bool = False) -> None:
        """
        Walk the file, and check its end and the checksum of its summary.

        :param salvage: note what is broken in :attr:`damage` instead of refusing the file
        :raises BagError: it is no MCAP file, was not closed, or is damaged
        """
        self.path = path
        self.damage = Damage(salvage=salvage)
        self.read: Counter[str] = Counter()
        self.disorder = Disorder()
        self._file = RecordFile(path)
        self.size = self._file.size
        try:
            self._index = McapIndex(self._file, self.damage)
            self._connections = self._connect()
        except BaseException:
            self._file.close()
            raise
        segments = self._index.segments
        self._starts = _earliest(segments)
        self.connections = tuple(dict.fromkeys(self._connections.values()))
        self.declared = self._declared()
        self.checked = bool(self._index.data_crc or np.all(segments['checked']))
        self.start_ns = int(min(self._starts, default=0))

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def columns(self, topics: Collection[str] | None = None) -> Iterator[Columns]:
        """
        Yield messages by log time; equal times in the order of the file.

        :param topics: only these, None: all
        :raises BagError: a checksum or a count does not hold
        """
        wanted = self._wanted(topics)
        watch = OrderWatch(self._starts, _latest(self._index.segments), len(self.connections))
        self.read, self.disorder = Counter(), watch.found
        order = np.argsort(self._starts, kind='stable')
        pending = EMPTY
        for first, last in self._blocks(order):
            batch = self._load(order[first:last], wanted)
            self._count(batch)
            watch.stored(batch)
            pending = in_order(joined((pending.released(), batch)))
            if sum(map(len, pending.buffers)) > _MAX_PENDING_BYTES:
                raise BagError(f'{self.path}: more than {_MAX_PENDING_BYTES} bytes of messages '
                               'stand before earlier ones; put them in order with `mcap sort`')
            cut = len(pending) if last == len(order) else int(np.searchsorted(
                pending.log_ns, self._starts[order[last]]))
            if cut:
                watch.read(pending[:cut])
                yield pending[:cut]
                pending = pending[cut:]
        self._check_counts(topics)

    def stored(self) -> Iterator[Columns]:
        """
        Yield all messages as they stand in the file, whatever their log times.

        :raises BagError: a checksum does not hold
        """
        wanted, order = self._wanted(None), np.arange(len(self._index.segments))
        for first, last in self._blocks(order):
            yield self._load(order[first:last], wanted)

    def metadata(self, name: str) -> Iterator[tuple[int, dict[str, str]]]:
        """
        Yield place and content of the metadata records of a name, in the order of the file.

        :raises BagError: one is damaged
        """
        for at, length in self._index.metadata:
            try:
                check_size(f'{self.path}: metadata at byte {at}', length, length)
                found = Metadata.read(ReadDataStream(BytesIO(self._file.read(at, length))))
            except UNREADABLE as error:
                self.damage.found(f'{self.path}: the metadata at byte {at} is damaged ({error})')
                continue
            if found.name == name:
                yield at, found.metadata

    def place_of(self, row: np.void) -> int:
        """Return where in the file a message stands; in a compressed chunk, where that begins."""
        place = int(row['place'])
        segment = self._index.segments[place >> _PLACE_SHIFT]
        offset, within = int(segment['offset']), place & ((1 << _PLACE_SHIFT) - 1)
        if not segment['chunk']:
            return offset + within
        # an uncompressed chunk: its head, and the length of the records
        plain = int(segment['size']) - int(segment['bytes'])
        return offset + plain + within if plain == CHUNK.size + 8 else offset

    def _blocks(self, order: Ints) -> Iterator[tuple[int, int]]:
        """Yield first and last of the segments that are unpacked together."""
        first = size = 0
        for number, more in enumerate(self._index.segments['bytes'][order].tolist()):
            if size and size + more > _BLOCK_BYTES:
                yield first, number
                first, size = number, 0
            size += more
        if first < len(order):
            yield first, len(order)

    def _wanted(self, topics: Collection[str] | None) -> Ints:
        """Return the place of each channel's connection, or why it has none."""
        found = np.full(_MAX_CHANNELS, _UNKNOWN)
        places = {connection: n for n, connection in enumerate(self.connections)}
        for number, connection in self._connections.items():
            chosen = topics is None or connection.topic in topics
            found[number] = places[connection] if chosen else _UNWANTED
        return found

    def _count(self, batch: Columns) -> None:
        counts = np.bincount(batch.rows['connection'], minlength=len(self.connections))
        for connection, count in zip(self.connections, counts.tolist(), strict=True):
            self.read[connection.topic] += count

    def _check_counts(self, topics: Collection[str] | None) -> None:
        for topic, count in (self.declared or {}).items():
            if (topics is None or topic in topics) and self.read[topic] != count:
                self.damage.found(f'{self.path}: {topic}: the file declares {count} messages and '
                                  f'holds {self.read[topic]}; it is damaged')

    def _connect(self) -> dict[int, Connection]:
        """Make the connections; without a usable summary, from a pass over all chunks."""
        index = self._index
        schemas = {channel.schema_id for channel in index.channels.values()} - {0}
        if not index.summary_channels or self.damage.salvage or schemas - index.schemas.keys():
            self._look_into_chunks()
        return {number: self._connection(channel) for number, channel in index.channels.items()}

    def _look_into_chunks(self) -> None:
        """Learn channels, and correct the times of the segments by those they hold."""
        for segment in self._index.segments:
            try:
                data = self._contents(segment)
                places, _ = self._places(segment, data, 0, len(data))
            except BagError as error:
                self.damage.found(str(error), int(segment['size']))
                continue
            for at in places.tolist():
                if data[at] in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self._learn(segment, data, at)
            heads = _heads(data, places)
            times = message_log_times(heads[heads['opcode'] == Opcode.MESSAGE])
            if len(times):
                segment['start'], segment['end'] = times.min(), times.max()

    def _learn(self, segment: np.void, data: bytes, at: int) -> None:
        opcode, length = RECORD.unpack_from(data, at)
        contents = at + RECORD.size
        try:
            self._index.learn(opcode, data[contents:contents + length])
        except UNREADABLE as error:
            self.damage.found(f'{self._where(segment)}: a record is damaged ({error})')

    def _connection(self, channel: Channel) -> Connection:
        schema = self._index.schemas.get(channel.schema_id)
        qos = channel.metadata.get('offered_qos_profiles', '')
        if schema is None:
            return Connection(channel.topic, '', '', '', channel.message_encoding, qos)
        try:
            encoding, text = schema.encoding, schema.data.decode()
        except UnicodeDecodeError:
            encoding, text = '', ''
        return Connection(channel.topic, schema.name, encoding, text, channel.message_encoding,
                          qos)

    def _declared(self) -> dict[str, int] | None:
        statistics = self._index.statistics
        if statistics is None:
            return None
        counts: Counter[str] = Counter({c.topic: 0 for c in self.connections})
        for number, count in statistics.channel_message_counts.items():
            if number in self._connections:
                counts[self._connections[number].topic] += count
            elif count:
                self.damage.found(f'{self.path}: the file counts {count} messages of a channel '
                                  f'{number} that it does not declare; it is damaged')
        if sum(statistics.channel_message_counts.values()) != statistics.message_count:
            self.damage.found(f'{self.path}: the counts of the summary contradict each other')
        return dict(counts)

    def _load(self, numbers: Ints, wanted: Ints) -> Columns:
        """Return the messages of some segments; in salvage, what is left of each of them."""
        try:
            return self._unpacked(numbers, wanted)
        except BagError as error:
            if len(numbers) > 1 and self.damage.salvage:
                return joined([self._load(numbers[n:n + 1], wanted) for n in range(len(numbers))])
            self.damage.found(str(error), int(self._index.segments[numbers]['size'].sum()))
            return EMPTY

    def _unpacked(self, numbers: Ints, wanted: Ints) -> Columns:
        segments = self._index.segments[numbers]
        pieces = [self._contents(segment) for segment in segments]
        data = b''.join(pieces)
        places: list[Ints] = []
        at = 0
        for segment, piece in zip(segments, pieces, strict=True):
            found, end = self._places(segment, data, at, at + len(piece))
            at += len(piece)
            if end != at:
                self._break_off(segment, at - end)
            places.append(found)
        owners = np.repeat(np.arange(len(numbers)), [len(found) for found in places])
        starts = np.cumsum([0, *map(len, pieces)])[:-1]
        return self._columns(numbers, data, np.concatenate(places), owners, starts, wanted)

    def _places(self, segment: np.void, data: bytes, at: int, end: int) -> tuple[Ints, int]:
        try:
            return record_places(data, at, end)
        except BagError as error:
            raise BagError(f'{self._where(segment)}: {error}') from None

    def _break_off(self, segment: np.void, lost: int) -> None:
        self.damage.found(f'{self._where(segment)}: a record is longer than what is left of '
                          f'it, {lost} bytes; the file is damaged', lost)

    def _columns(
        self, numbers: Ints, data: bytes, places: Ints, owners: Ints, starts: Ints, wanted: Ints,
    ) -> Columns:
        """
        Return the wanted messages among records.

        :param numbers: of the segments, shape (S,)
        :param places: of the records in the data, shape (N,)
        :param owners: which of the segments each record stands in, shape (N,)
        :param starts: where each segment begins in the data, shape (S,)
        """
        heads = _heads(data, places)
        if np.any(heads['opcode'] == 0):
            where = self._where(self._index.segments[numbers[0]])
            raise BagError(f'{where}: a record of no kind; the file is damaged')
        own = heads['opcode'] == Opcode.MESSAGE
        heads, places, owners = heads[own], places[own], owners[own]
        self._check(numbers, heads, owners)
        connections = wanted[heads['channel']]
        if np.any(connections == _UNKNOWN):
            self._name_unknown(numbers, heads, owners, connections)
        kept = connections >= 0
        heads, places, owners = heads[kept], places[kept], owners[kept]
        rows = np.empty(len(heads), ROW)
        rows['log_ns'], rows['publish_ns'] = heads['log_ns'], heads['publish_ns']
        sequences = heads['sequence'].astype(np.uint64)
        rows['sequence'] = np.where(sequences == 0, np.uint64(NO_SEQUENCE), sequences)
        rows['place'] = (numbers[owners] << _PLACE_SHIFT) + (places - starts[owners])
        rows['start'], rows['size'] = places + MESSAGE.itemsize, heads['length'] - MESSAGE_FIELDS
        rows['buffer'], rows['connection'] = 0, connections[kept]
        return Columns(rows, (data,))

    def _check(self, numbers: Ints, heads: NDArray[np.void], owners: Ints) -> None:
        """Refuse messages that cannot be, or that their segment does not announce."""
        segments = self._index.segments[numbers]
        times = message_log_times(heads)
        outside = (times < segments['start'][owners]) | (times > segments['end'][owners])
        short = heads['length'] < MESSAGE_FIELDS
        for wrong, what in ((short, 'a message is too short to be one'),
                            (outside, 'holds messages outside of the times it declares')):
            if np.any(wrong):
                where = self._where(segments[owners[np.flatnonzero(wrong)[0]]])
                raise BagError(f'{where}: {what}; the file is damaged')

    def _name_unknown(
        self, numbers: Ints, heads: NDArray[np.void], owners: Ints, connections: Ints,
    ) -> None:
        unknown = np.flatnonzero(connections == _UNKNOWN)
        where = self._where(self._index.segments[numbers[owners[unknown[0]]]])
        lost = int(heads['length'][unknown].sum()) + RECORD.size * len(unknown)
        names = ', '.join(map(str, np.unique(heads['channel'][unknown]).tolist()))
        self.damage.found(f'{where}: {len(unknown)} messages of channels that the file does not '
                          f'declare ({names}); it is damaged', lost)

    def _contents(self, segment: np.void) -> bytes:
        record = self._file.read(int(segment['offset']), int(segment['size']))
        return chunk_contents(self._where(segment), record) if segment['chunk'] else record

    def _where(self, segment: np.void) -> str:
        kind = 'chunk' if segment['chunk'] else 'messages'
        return f'{self.path}: {kind} at byte {segment["offset"]}'


def _heads(data: bytes, places: Ints) -> NDArray[np.void]:
    """Return the heads of messages; where another record stands, what would be the head of one."""
    last = len(data) - MESSAGE.itemsize
    if len(places) and places[-1] > last:
        # only a record that is no message can be so short, or one that is damaged
        data += bytes(MESSAGE.itemsize)
    return gather(data, places, MESSAGE)


def _earliest(segments: Segments) -> Ints:
    """Return the earliest time a segment may hold [ns]; one with negative times may hold any."""
    starts = segments['start'].astype(np.int64)
    return np.where(segments['end'] >= 2**63, _FIRST_NS, starts)


def _latest(segments: Segments) -> Ints:
    """Return the latest time a segment may hold [ns]."""
    return np.asarray(np.minimum(segments['end'], 2**63 - 1).astype(np.int64))
