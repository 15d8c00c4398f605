"""What stands where in an MCAP file: one walk over its records, which gets over damaged ones."""

from __future__ import annotations

from bisect import bisect_right
from io import BytesIO
from struct import Struct

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Footer, Schema, Statistics
import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.columns import gather
from wm_eval_ros.bag.mcap_record import (
    CHUNK,
    MAGIC,
    MESSAGE,
    MESSAGE_FIELDS,
    message_log_times,
    RECORD,
    record_places,
    RecordFile,
    UNREADABLE,
)
from wm_eval_ros.bag.mcap_resync import is_sound, next_record
from wm_eval_ros.bag.message import check_size, Damage
from wm_eval_ros.errors import BagError

#: a chunk record, or a run of messages outside of chunks
SEGMENT = np.dtype([
    # of the record's contents for a chunk, of the first record for a run
    ('offset', '<i8'), ('size', '<i8'),
    # log times it declares or holds
    ('start', '<u8'), ('end', '<u8'),
    # decompressed
    ('bytes', '<i8'), ('chunk', '<i8'), ('checked', '<i8')])
_SEGMENT = Struct('<qqQQqqq')
#: loose messages are gathered into runs of this size [bytes]
_RUN_BYTES = 1 << 20
_FOOTER_BYTES = 20
#: a count for each of 65536 channels, and what else is in statistics [bytes]
_MAX_STATISTICS = 1 << 20
#: a schema, or a channel with its metadata: as objects they take many times this [bytes]
_MAX_DECLARATION = 4 << 20
#: opcodes above are not defined
_LAST_OPCODE = 15


class McapIndex:
    """
    The records of a file: its segments of messages, what describes them, and its end.

    Without salvage the first thing wrong ends the walk. In salvage it goes on at the next record
    that is one beyond doubt; what lies between is counted as lost.
    """

    def __init__(self, file: RecordFile, damage: Damage) -> None:
        """
        Walk the file, and check its end and the checksum of its summary.

        :raises BagError: it is no MCAP file, was not closed, or is damaged
        """
        self._file, self._damage = file, damage
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.statistics: Statistics | None = None
        self.data_crc = 0
        #: place and length of the contents of each metadata record
        self.metadata: list[tuple[int, int]] = []
        #: whether the summary repeats the channels
        self.summary_channels = False
        self._packed = bytearray()
        self._data_end: int | None = None
        self._footer: Footer | None = None
        self._summary_end = 0
        self._chunked = False
        #: where the last message of the last run begins
        self._last_message = 0
        #: chunks by the summary, place -> length, and their places; read in salvage only
        self._indexed: dict[int, int] = {}
        self._starts: list[int] = []
        self._walk()
        self.segments: NDArray[np.void] = np.frombuffer(self._packed, SEGMENT)

    def learn(self, opcode: int, contents: bytes) -> None:
        """Take a schema or a channel in."""
        stream = ReadDataStream(BytesIO(contents))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self.channels[channel.id] = channel

    @property
    def _in_chunks(self) -> bool:
        return self._chunked or bool(self._indexed)

    @property
    def _where(self) -> str:
        return str(self._file.path)

    def _walk(self) -> None:
        if self._file.read(0, len(MAGIC)) != MAGIC:
            raise BagError(f'{self._where}: no MCAP file (its first bytes are not those of one)')
        if self._damage.salvage:
            self._read_summary()
        whole, end = self._walk_records()
        if self._footer is not None:
            self._check_end(self._footer)
            return
        size, chunks = self._file.size, len(self._packed) // _SEGMENT.size
        if self._file.read(size - len(MAGIC), len(MAGIC)) == MAGIC and not self._damage.salvage:
            raise BagError(f'{self._where}: damaged at byte {whole} of {size}, where no record '
                           'begins; --salvage reads on behind it')
        self._damage.found(
            f'{self._where}: ends at byte {size} without a footer (whole up to byte {whole}, '
            f'{chunks} chunks): it was not closed, or is cut off; --salvage reads it, '
            '`wm-eval recover` writes it anew', max(0, size - end))

    def _walk_records(self) -> tuple[int, int]:
        """Visit every record; return the end of the last whole one, and how far was looked."""
        at = before = whole = len(MAGIC)
        while at + RECORD.size <= self._file.size and self._footer is None:
            after = self._visit(at)
            if after is not None:
                before, at = at, after
                if not self._damage.salvage:
                    at = self._file.skip(at, Opcode.MESSAGE_INDEX)
                whole = at
            elif self._damage.salvage:
                before = at = self._resume(at, before)
            else:
                break
        return whole, at

    def _visit(self, at: int) -> int | None:
        """Take one record, or one run of messages, in; None where none is."""
        opcode, length = self._file.head(at)
        if opcode == Opcode.MESSAGE:
            # among chunks it is more likely what is left of one, without its checksum
            believed = not (self._damage.salvage and self._in_chunks)
            return self._visit_run(at) if believed else None
        if at in self._indexed and opcode == Opcode.CHUNK and length != self._indexed[at]:
            self._damage.found(f'{self._where}: the length of the chunk at byte {at} is damaged; '
                               'it is taken from the summary')
        length = self._indexed.get(at, length)
        contents = at + RECORD.size
        after = contents + length
        if opcode == 0 or after > self._limit(at) or (
                at in self._indexed and opcode != Opcode.CHUNK):
            return None
        try:
            self._take(opcode, contents, length)
        except UNREADABLE as error:
            self._damage.found(f'{self._where}: the record at byte {at} is damaged ({error})')
            return None
        return after

    def _limit(self, at: int) -> int:
        """No record goes over the end of the file, or in salvage over the next known chunk."""
        number = bisect_right(self._starts, at)
        return self._starts[number] if number < len(self._starts) else self._file.size

    def _take(self, opcode: int, at: int, length: int) -> None:
        if opcode == Opcode.CHUNK:
            start, end, size, crc, _ = CHUNK.unpack(self._file.peek(at, CHUNK.size))
            self._add(at, length, start, end, size, chunk=True, checked=crc != 0)
        elif opcode == Opcode.DATA_END:
            self._data_end = at - RECORD.size
            self.data_crc = int.from_bytes(self._file.peek(at, 4), 'little')
        elif opcode == Opcode.STATISTICS:
            _require_small(at, length, _MAX_STATISTICS)
            self.statistics = Statistics.read(self._stream(at, length))
        elif opcode == Opcode.FOOTER:
            self._footer = Footer.read(self._stream(at, length))
            self._summary_end = at - RECORD.size
        elif opcode == Opcode.METADATA:
            self.metadata.append((at, length))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            _require_small(at, length, _MAX_DECLARATION)
            self.learn(opcode, self._contents(at, length))
            self.summary_channels |= self._data_end is not None and opcode == Opcode.CHANNEL
        elif opcode > _LAST_OPCODE and self._damage.salvage:
            self._damage.found(f'{self._where}: the record at byte {at - RECORD.size} is of an '
                               f'unknown kind ({opcode})', length)

    def _visit_run(self, at: int) -> int | None:
        """Take messages outside of chunks in, as many as follow each other."""
        data = self._file.read(at, min(_RUN_BYTES, self._limit(at) - at))
        places, _ = record_places(data, 0, len(data))
        if not len(places):  # one that is longer than a run
            _, length = self._file.head(at)
            if at + RECORD.size + length > self._limit(at):
                return None
            data, places = self._file.read(at, RECORD.size + length), np.zeros(1, np.int64)
        heads = gather(data + bytes(MESSAGE.itemsize), places, MESSAGE)
        others = np.flatnonzero(
            (heads['opcode'] != Opcode.MESSAGE) | (heads['length'] < MESSAGE_FIELDS))
        heads = heads[:others[0]] if len(others) else heads
        if len(heads) == 0:
            return None
        last = int(places[len(heads) - 1])
        end = last + RECORD.size + int(heads['length'][-1])
        times = message_log_times(heads)
        self._add(at, end, int(times.min()), int(times.max()), end, chunk=False, checked=False)
        self._last_message = at + last
        return at + end

    def _add(self, offset: int, size: int, start: int, end: int, decompressed: int, *,
             chunk: bool, checked: bool) -> None:
        self._chunked |= chunk
        self._packed += _SEGMENT.pack(
            offset, size, start, end, min(decompressed, 2**62), chunk, checked)

    def _take_back(self) -> np.void:
        """Remove the last segment and return it."""
        last: np.void = np.frombuffer(bytes(self._packed[-_SEGMENT.size:]), SEGMENT)[0]
        del self._packed[-_SEGMENT.size:]
        return last

    def _resume(self, at: int, before: int) -> int:
        """Return where whole records go on behind a place where none is."""
        start = at
        if before != at and at not in self._indexed:
            start = self._distrusted(at, before)
        found = next_record(self._file, start + 1, self._limit(at),
                            None if self._in_chunks else self.channels)
        self._damage.found(f'{self._where}: bytes {start} to {found} are damaged and left out',
                           found - start)
        return found

    def _distrusted(self, at: int, before: int) -> int:
        """Take the record before a place where none is back, if its length may be wrong."""
        opcode, _ = self._file.head(before)
        if opcode == Opcode.MESSAGE:
            return self._shortened()
        if is_sound(self._file, before, at):
            return at
        if opcode == Opcode.CHUNK:
            self._take_back()
        return before

    def _shortened(self) -> int:
        """Take the last message of the last run back."""
        run = self._take_back()
        size = self._last_message - int(run['offset'])
        if size > 0:
            self._add(int(run['offset']), size, int(run['start']), int(run['end']), size,
                      chunk=False, checked=False)
        return self._last_message

    def _read_summary(self) -> None:
        """Learn where the chunks are, if the file has an end whose checksum holds."""
        file = self._file
        at = file.size - len(MAGIC) - RECORD.size - _FOOTER_BYTES
        try:
            footer = Footer.read(self._stream(at + RECORD.size, _FOOTER_BYTES))
            start = footer.summary_start
            crc = file.crc(start, at + RECORD.size + 16) if 0 < start < at else 0
            if not footer.summary_crc or footer.summary_crc != crc:
                return
            self._learn_summary(start, at)
        except (*UNREADABLE, BagError):
            return

    def _learn_summary(self, at: int, end: int) -> None:
        while at < end:
            opcode, length = self._file.head(at)
            contents = at + RECORD.size
            if opcode == Opcode.CHUNK_INDEX:
                found = ChunkIndex.read(self._stream(contents, length))
                self._indexed[found.chunk_start_offset] = found.chunk_length - RECORD.size
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self.learn(opcode, self._contents(contents, length))
            at = contents + length
        self._starts = sorted(self._indexed)

    def _check_end(self, footer: Footer) -> None:
        found, file = self._damage.found, self._file
        if file.read(file.size - len(MAGIC), len(MAGIC)) != MAGIC or (
                self._summary_end + RECORD.size + _FOOTER_BYTES + len(MAGIC) != file.size):
            found(f'{self._where}: what follows the footer is no end of an MCAP file')
        if self._data_end is None:
            found(f'{self._where}: no end of the data section; the file is damaged')
            return
        start = self._data_end + RECORD.size + 4
        if footer.summary_start not in (0, start):
            found(f'{self._where}: the summary is not where the footer says; it is damaged')
        elif footer.summary_crc and footer.summary_crc != file.crc(
                start, self._summary_end + RECORD.size + 16):
            found(f'{self._where}: the checksum of the summary is wrong; it is damaged')
        if self.data_crc and self.data_crc != file.crc(0, self._data_end):
            found(f'{self._where}: the checksum of the data section is wrong; it is damaged')

    def _contents(self, at: int, length: int) -> bytes:
        check_size(f'{self._where}: record at byte {at}', length, length)
        return self._file.read(at, length)

    def _stream(self, at: int, length: int) -> ReadDataStream:
        return ReadDataStream(BytesIO(self._contents(at, length)))


def _require_small(at: int, length: int, limit: int) -> None:
    if length > limit:
        raise ValueError(f'{length} bytes at byte {at}; at most {limit} are read')
