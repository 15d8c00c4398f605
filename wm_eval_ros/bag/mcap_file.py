"""
Read an MCAP file: streaming, in log-time order, with every checksum and count checked.

The file is walked record by record, so that a file without an end is recognised and can be
salvaged by the same code. Messages are unpacked here because the library makes an object of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from operator import itemgetter
import os
from pathlib import Path
from struct import error as StructError
from struct import Struct
from typing import Any, BinaryIO
import zlib

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Footer, Schema, Statistics
import numpy as np

from wm_eval_ros.bag.message import check_size, Connection, MAX_BYTES, RawMessage, unzstd
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NO_SEQUENCE

MAGIC = b'\x89MCAP0\r\n'
_RECORD = Struct('<BQ')
#: opcode, length, channel, sequence, log time, publish time
_MESSAGE = Struct('<BQHIQQ')
#: start, end, uncompressed size, CRC, length of the compression's name
_CHUNK = Struct('<QQQII')
_SIZE = Struct('<Q')
#: loose messages are gathered into segments of this size [bytes]
_SEGMENT_BYTES = 1 << 20
_FOOTER_BYTES = 20
_UNKNOWN_RECORDS = (McapError, StructError, UnicodeDecodeError, ValueError, IndexError)

_log_time = itemgetter(0)


@dataclass(slots=True)
class _Segment:
    """A chunk record, or a run of messages outside of chunks."""

    #: of the record's contents for a chunk, of the first record for a run
    offset: int
    size: int
    start_ns: int
    end_ns: int
    chunk: bool


class _Walk:
    """What one pass over the records of the file found."""

    def __init__(self) -> None:
        self.segments: list[_Segment] = []
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.statistics: Statistics | None = None
        self.data_end: int | None = None
        self.data_crc = 0
        self.footer: Footer | None = None
        self.summary_channels = False


class McapFile:
    """An MCAP file, whole or, in salvage, what is left of one."""

    def __init__(self, path: Path, *, salvage: bool = False) -> None:
        """
        Walk the file, and check its end and the checksum of its summary.

        :param salvage: note what is broken in :attr:`notes` instead of refusing the file
        :raises BagError: it is no MCAP file, was not closed, or is damaged
        """
        self.path = path
        self.notes: list[str] = []
        self.read: Counter[str] = Counter()
        self.disordered = 0
        self._salvage = salvage
        self._file: BinaryIO = path.open('rb')
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._walk = _Walk()
            self._open()
            self._connections = self._connect()
        except BaseException:
            self._file.close()
            raise
        self.connections = tuple(dict.fromkeys(self._connections.values()))
        self.declared = self._declared()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """
        Yield messages by log time; equal times in the order of the file.

        :param topics: only these, None: all
        :raises BagError: a checksum or a count does not hold
        """
        wanted = {n: c if topics is None or c.topic in topics else None
                  for n, c in self._connections.items()}
        read: Counter[str] = Counter()
        self.read = read
        segments = sorted(self._walk.segments, key=lambda s: s.start_ns)
        starts = [s.start_ns for s in segments[1:]]
        pending: list[RawMessage] = []
        self.disordered, latest = 0, 0
        for number, segment in enumerate(segments):
            batch = self._load(segment, wanted)
            late, latest = _disorder(batch, latest)
            self.disordered += late
            for connection, count in _count(batch).items():
                read[connection.topic] += count
            pending = pending + batch if pending else batch
            pending.sort(key=_log_time)
            cut = len(pending) if number == len(starts) else bisect_left(
                pending, starts[number], key=_log_time)
            yield from pending[:cut]
            pending = pending[cut:]
        self._check_counts(read, topics)

    def _check_counts(self, read: Counter[str], topics: Collection[str] | None) -> None:
        for topic, count in (self.declared or {}).items():
            if (topics is None or topic in topics) and read[topic] != count:
                self._broken(f'{self.path}: {topic}: the file declares {count} messages and holds '
                             f'{read[topic]}; it is damaged')

    def _broken(self, what: str) -> None:
        """Refuse the file, or in salvage take a note."""
        if not self._salvage:
            raise BagError(what)
        if what not in self.notes:
            self.notes.append(what)

    def _open(self) -> None:
        if self._read(0, len(MAGIC)) != MAGIC:
            raise BagError(f'{self.path}: no MCAP file (it does not begin like one)')
        end = self._walk_records()
        if self._walk.footer is None:
            self._broken(f'{self.path}: ends at byte {self._size} without a footer (whole up to '
                         f'byte {end}, {len(self._walk.segments)} chunks): it was not closed, or '
                         'is cut off; --salvage reads it, `ros2 bag reindex` or `mcap recover` '
                         'restores it')
        else:
            self._check_end()

    def _walk_records(self) -> int:
        """Visit every record; return the end of the last whole one."""
        at = len(MAGIC)
        while at + _RECORD.size <= self._size and self._walk.footer is None:
            opcode, length = _RECORD.unpack(self._read(at, _RECORD.size))
            contents = at + _RECORD.size
            if opcode == 0 or contents + length > self._size:
                break
            try:
                self._visit(opcode, contents, length)
            except _UNKNOWN_RECORDS as error:
                self._broken(f'{self.path}: the record at byte {at} is damaged ({error})')
                break
            at = contents + length
        return at

    def _visit(self, opcode: int, at: int, length: int) -> None:
        walk = self._walk
        if opcode == Opcode.MESSAGE:
            self._visit_message(at, length)
        elif opcode == Opcode.CHUNK:
            start, end, _, _, _ = _CHUNK.unpack(self._read(at, _CHUNK.size))
            walk.segments.append(_Segment(at, length, start, end, chunk=True))
        elif opcode == Opcode.DATA_END:
            walk.data_end = at - _RECORD.size
            walk.data_crc = int.from_bytes(self._read(at, 4), 'little')
        elif opcode == Opcode.STATISTICS:
            walk.statistics = Statistics.read(self._record(at, length))
        elif opcode == Opcode.FOOTER:
            walk.footer = Footer.read(self._record(at, length))
            self._summary_end = at - _RECORD.size
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            self._learn(opcode, self._record(at, length))
            walk.summary_channels |= walk.data_end is not None and opcode == Opcode.CHANNEL

    def _visit_message(self, at: int, length: int) -> None:
        """Add a message outside of chunks to the run it stands in."""
        log_ns = _MESSAGE.unpack(self._read(at - _RECORD.size, _MESSAGE.size))[4]
        segments = self._walk.segments
        first = at - _RECORD.size
        if segments and not segments[-1].chunk and segments[-1].size < _SEGMENT_BYTES and (
                segments[-1].offset + segments[-1].size == first):
            run = segments[-1]
            run.size += length + _RECORD.size
            run.start_ns, run.end_ns = min(run.start_ns, log_ns), max(run.end_ns, log_ns)
        else:
            segments.append(_Segment(first, length + _RECORD.size, log_ns, log_ns, chunk=False))

    def _learn(self, opcode: int, stream: ReadDataStream) -> None:
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._walk.schemas[schema.id] = schema
        else:
            channel = Channel.read(stream)
            self._walk.channels[channel.id] = channel

    def _check_end(self) -> None:
        footer, data_end = self._walk.footer, self._walk.data_end
        assert footer is not None
        if self._read(self._size - len(MAGIC), len(MAGIC)) != MAGIC or (
                self._summary_end + _RECORD.size + _FOOTER_BYTES + len(MAGIC) != self._size):
            self._broken(f'{self.path}: what follows the footer is no end of an MCAP file')
        if data_end is None:
            self._broken(f'{self.path}: no end of the data section; the file is damaged')
            return
        start = data_end + _RECORD.size + 4
        if footer.summary_start not in (0, start):
            self._broken(f'{self.path}: the summary is not where the footer says; it is damaged')
        elif footer.summary_crc and footer.summary_crc != self._crc(
                start, self._summary_end + _RECORD.size + 16):
            self._broken(f'{self.path}: the checksum of the summary is wrong; it is damaged')
        if self._walk.data_crc and self._walk.data_crc != self._crc(0, data_end):
            self._broken(f'{self.path}: the checksum of the data section is wrong; it is damaged')

    def _crc(self, start: int, end: int) -> int:
        value = 0
        for at in range(start, end, _SEGMENT_BYTES):
            value = zlib.crc32(self._read(at, min(_SEGMENT_BYTES, end - at)), value)
        return value

    def _connect(self) -> dict[int, Connection]:
        """Make the connections; without a usable summary, from a pass over all chunks."""
        schemas = {c.schema_id for c in self._walk.channels.values()} - {0}
        if not self._walk.summary_channels or self._salvage or (
                schemas - self._walk.schemas.keys()):
            for segment in self._walk.segments:
                times = [m.log_ns for m in self._load(segment, {}, learn=True)]
                segment.start_ns = min(times, default=segment.start_ns)
                segment.end_ns = max(times, default=segment.end_ns)
        return {number: self._connection(channel)
                for number, channel in self._walk.channels.items()}

    def _connection(self, channel: Channel) -> Connection:
        schema = self._walk.schemas.get(channel.schema_id)
        if schema is None:
            return Connection(channel.topic, '', '', '', channel.message_encoding)
        try:
            text = schema.data.decode()
        except UnicodeDecodeError:
            text = ''
        return Connection(channel.topic, schema.name, schema.encoding if text else '', text,
                          channel.message_encoding)

    def _declared(self) -> dict[str, int] | None:
        statistics = self._walk.statistics
        if statistics is None:
            return None
        counts: Counter[str] = Counter({c.topic: 0 for c in self.connections})
        for number, count in statistics.channel_message_counts.items():
            if number in self._connections:
                counts[self._connections[number].topic] += count
            elif count:
                self._broken(f'{self.path}: the file counts {count} messages of a channel '
                             f'{number} that it does not declare; it is damaged')
        if sum(statistics.channel_message_counts.values()) != statistics.message_count:
            self._broken(f'{self.path}: the counts of the summary contradict each other')
        return dict(counts)

    def _load(
        self, segment: _Segment, wanted: dict[int, Connection | None], *, learn: bool = False,
    ) -> list[RawMessage]:
        """Return the messages of a segment; in salvage, those before a damaged place."""
        where = f'{self.path}: chunk at byte {segment.offset}'
        messages: list[RawMessage] = []
        try:
            data = self._read(segment.offset, segment.size)
            if segment.chunk:
                data = self._unpack(where, data)
            self._split(where, data, wanted, messages, learn=learn)
            if segment.chunk and not learn and messages:
                _check_times(where, segment, messages)
        except BagError as error:
            self._broken(str(error))
        return messages

    def _unpack(self, where: str, record: bytes) -> bytes:
        """Return the contents of a chunk, decompressed and checked."""
        try:
            _, _, size, crc, name_size = _CHUNK.unpack_from(record)
            at = _CHUNK.size + name_size
            compression = record[_CHUNK.size:at].decode()
            packed = record[at + _SIZE.size:]
            stored = _SIZE.unpack_from(record, at)[0]
        except (StructError, UnicodeDecodeError):
            raise BagError(f'{where}: not a chunk; the file is damaged') from None
        if stored != len(packed):
            raise BagError(f'{where}: {len(packed)} bytes where {stored} are declared; '
                           'the file is damaged')
        check_size(where, size, stored)
        data = _decompress(where, compression, packed, size)
        if crc and zlib.crc32(data) != crc:
            raise BagError(f'{where}: the checksum is wrong; the file is damaged')
        return data

    def _split(
        self, where: str, data: bytes, wanted: dict[int, Connection | None],
        messages: list[RawMessage], *, learn: bool,
    ) -> None:
        """Append the messages of a chunk's contents; the innermost loop of reading."""
        unpack, add = _MESSAGE.unpack_from, messages.append
        make = partial(tuple.__new__, RawMessage)
        at, end, head = 0, len(data), _MESSAGE.size
        connections: dict[int, Any] = wanted
        try:
            while at < end:
                if data[at] == 5:
                    _, length, channel, sequence, log_ns, publish_ns = unpack(data, at)
                    stop = at + 9 + length
                    connection = None if learn else connections[channel]
                    if connection is not None or learn:
                        add(make((log_ns, connection, publish_ns, sequence or NO_SEQUENCE,
                                  data[at + head:stop])))
                else:
                    opcode, length = _RECORD.unpack_from(data, at)
                    stop = at + 9 + length
                    if learn and opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                        self._learn(opcode, ReadDataStream(BytesIO(data[at + 9:stop])))
                at = stop
            if at != end:
                raise BagError(f'{where}: a record is longer than its chunk; the file is damaged')
        except KeyError as error:
            raise BagError(f'{where}: a message of channel {error}, which the file does not '
                           'declare; it is damaged') from None
        except _UNKNOWN_RECORDS as error:
            raise BagError(f'{where}: a record is damaged ({error})') from None

    def _record(self, at: int, length: int) -> ReadDataStream:
        check_size(f'{self.path}: record at byte {at}', length, length)
        return ReadDataStream(BytesIO(self._read(at, length)))

    def _read(self, at: int, size: int) -> bytes:
        if size > MAX_BYTES:
            raise BagError(f'{self.path}: a record of {size} bytes at byte {at}; at most '
                           f'{MAX_BYTES} are read')
        try:
            self._file.seek(at)
            return self._file.read(size)
        except OSError as error:
            raise BagError(f'{self.path}: cannot be read ({error.strerror})') from None


def _count(batch: list[RawMessage]) -> Counter[Connection]:
    return Counter(map(itemgetter(1), batch))


def _disorder(batch: list[RawMessage], latest: int) -> tuple[int, int]:
    """Count the messages that are earlier than one before them; return the latest time too."""
    if not batch:
        return 0, latest
    times = np.fromiter(map(_log_time, batch), dtype=np.uint64, count=len(batch))
    before = np.maximum(np.maximum.accumulate(times), np.uint64(latest))
    return int(np.sum(times < before)), int(before[-1])


def _check_times(where: str, segment: _Segment, messages: list[RawMessage]) -> None:
    times = [message.log_ns for message in messages]
    if min(times) < segment.start_ns or max(times) > segment.end_ns:
        raise BagError(f'{where}: holds messages outside of the times it declares; '
                       'the file is damaged')


def _decompress(where: str, compression: str, packed: bytes, size: int) -> bytes:
    if compression == 'zstd':
        return unzstd(where, packed, size)
    if compression == 'lz4':
        data = _unlz4(where, packed, size)
    elif compression == '':
        data = packed
    else:
        raise BagError(f'{where}: compression {compression!r}; zstd and lz4 are read')
    if len(data) != size:
        raise BagError(f'{where}: {len(data)} bytes where {size} are declared; '
                       'the file is damaged')
    return data


def _unlz4(where: str, packed: bytes, size: int) -> bytes:
    import lz4.frame  # type: ignore[import-untyped]
    try:
        found = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except RuntimeError as error:
        raise BagError(f'{where}: not decompressed ({error}); the file is damaged') from None
    return bytes(found)
