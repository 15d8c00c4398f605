"""Find the next record of an MCAP file behind a damaged one."""

from __future__ import annotations

from collections.abc import Collection
from struct import Struct
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    ChunkIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.mcap_record import (
    CHUNK,
    chunk_contents,
    MAGIC,
    MESSAGE_FIELDS,
    RECORD,
    RecordFile,
    UNREADABLE,
)
from wm_eval_ros.bag.message import MAX_BYTES
from wm_eval_ros.errors import BagError

#: so many records must follow each other before the first of them is believed
_CHAIN = 3
_STEP_BYTES = 1 << 20
#: fields up to this size are read through the file's window
_PEEKED = 4096
_COMPRESSIONS = (b'', b'lz4', b'zstd')
_CHANNEL = Struct('<H')
#: channel and length of the entries of a message index
_ENTRIES = Struct('<HI')
_FIXED = {Opcode.DATA_END: 4, Opcode.FOOTER: 20}
_PARSED: dict[Opcode, Any] = {
    Opcode.SCHEMA: Schema, Opcode.CHANNEL: Channel, Opcode.ATTACHMENT: Attachment,
    Opcode.METADATA: Metadata, Opcode.STATISTICS: Statistics, Opcode.CHUNK_INDEX: ChunkIndex,
    Opcode.ATTACHMENT_INDEX: AttachmentIndex, Opcode.METADATA_INDEX: MetadataIndex,
    Opcode.SUMMARY_OFFSET: SummaryOffset,
}
#: fewest bytes behind the head of a record of each kind that may begin a stretch of whole records
_LEAST: dict[Opcode, int] = _FIXED | {
    Opcode.SCHEMA: 14, Opcode.CHANNEL: 16, Opcode.ATTACHMENT: 36, Opcode.METADATA: 8,
    Opcode.STATISTICS: 46, Opcode.CHUNK_INDEX: 64, Opcode.ATTACHMENT_INDEX: 48,
    Opcode.METADATA_INDEX: 20, Opcode.SUMMARY_OFFSET: 17, Opcode.CHUNK: CHUNK.size + 8,
    Opcode.MESSAGE: MESSAGE_FIELDS, Opcode.MESSAGE_INDEX: _ENTRIES.size,
}
#: fewest and most of each opcode; none of those that begin nothing
_SIZES = np.zeros((2, 256), np.int64)
_SIZES[0] = MAX_BYTES + 1
_SIZES[:, list(_LEAST)] = [list(_LEAST.values()), [_FIXED.get(k, MAX_BYTES) for k in _LEAST]]
#: tries at places that look like a record, chunks apart, in each step: bytes made to look like
#: records cost no more than this, and what is missed is told as damaged
_TRIES = 2000
#: fields in which one record may be read: a map of zeros could have millions
_FIELDS = 10_000
#: bytes behind the place of a record in which its form is looked at, at least
_BEYOND = 64


def next_record(
    file: RecordFile, at: int, limit: int, channels: Collection[int] | None,
) -> int:
    """
    Return the first place where whole records follow each other again.

    :param at: where to begin to look
    :param limit: where to end; returned where there is none before
    :param channels: known channels of a file without chunks; None where messages stand in chunks:
        a message outside of one would be believed without a checksum, and is not looked for
    """
    for base in range(at, limit, _STEP_BYTES):
        for place in _candidates(file, base, channels).tolist():
            if base + place >= limit:
                return limit
            if _chain_begins(file, base + place, channels):
                return int(base + place)
    return limit


def is_sound(file: RecordFile, at: int, after: int) -> bool:
    """Say whether a record is one beyond doubt, its length included: by checksum or by form."""
    opcode, _ = file.head(at)
    if opcode != Opcode.CHUNK:
        return _end(file, at, ()) == after
    try:
        chunk_contents('', file.read(at + RECORD.size, after - at - RECORD.size))
    except BagError:
        return False
    return True


def _candidates(file: RecordFile, base: int, channels: Collection[int] | None,
                ) -> NDArray[np.int64]:
    """Return the places in a step that may begin a record by its length and by what follows."""
    data = file.read(base, _STEP_BYTES + RECORD.size - 1)
    held = np.frombuffer(data + bytes(_BEYOND), np.uint8)
    count = max(0, len(data) - RECORD.size + 1)
    least, most = _SIZES[:, held[:count]]
    known = least <= MAX_BYTES
    for high in range(5, RECORD.size):
        known &= held[high:high + count] == 0
    at = np.flatnonzero(known)
    length = _field(held, '<u4', at + 1).astype(np.int64)
    fits = (least[at] <= length) & (length <= most[at])
    fits &= base + at + RECORD.size + length <= file.size
    at, length = at[fits], length[fits]
    opcode, after = held[at], at + RECORD.size + length
    contents = at + RECORD.size
    likely = np.ones(len(at), bool)
    likely &= (opcode != Opcode.MESSAGE) | np.isin(
        _field(held, '<u2', contents), np.array(sorted(channels or ()), np.uint16))
    likely &= (opcode != Opcode.MESSAGE_INDEX) | (
        _field(held, '<u4', contents + 2) == length - _ENTRIES.size)
    likely &= (opcode != Opcode.CHUNK) | np.isin(
        _field(held, '<u4', contents + CHUNK.size - 4), [len(name) for name in _COMPRESSIONS])
    likely &= (opcode != Opcode.STATISTICS) | (
        _field(held, '<u4', contents + 42) == length - _LEAST[Opcode.STATISTICS])
    offsets = _field(held, '<u4', contents + 32)
    likely &= (opcode != Opcode.CHUNK_INDEX) | (
        (offsets % 10 == 0) & (offsets <= length - _LEAST[Opcode.CHUNK_INDEX]))
    seen = (after < count) & (opcode != Opcode.FOOTER)
    likely[seen] &= known[after[seen]]
    at, chunk = at[likely], opcode[likely] == Opcode.CHUNK
    return np.asarray(at[chunk | (np.cumsum(~chunk) <= _TRIES)])


def _field(held: NDArray[np.uint8], kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
    """Return the numbers that stand at places, aligned or not."""
    size = np.dtype(kind).itemsize
    every: NDArray[Any] = np.ndarray((len(held) - size + 1,), kind, held.data, 0, (1,))
    return np.asarray(every[at])


class _Contents:
    """
    What is in a record, read as it is asked for: a length made up costs nothing.

    :param at: where the contents begin
    :param left: how many bytes they have
    """

    def __init__(self, file: RecordFile, at: int, left: int) -> None:
        self._file, self._at, self.left = file, at, left
        self._fields = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes; ValueError where the record has fewer, or too many fields."""
        self._fields += 1
        if size > self.left or self._fields > _FIELDS:
            raise ValueError(f'{size} bytes of {self.left}, field {self._fields}')
        read = self._file.peek if size <= _PEEKED else self._file.read
        found = read(self._at, size)
        self._at, self.left = self._at + size, self.left - size
        return found


def _chain_begins(file: RecordFile, at: int, channels: Collection[int] | None) -> bool:
    for _ in range(_CHAIN):
        after = _end(file, at, channels)
        if after is None:
            return False
        if after == file.size or file.peek(at, 1)[0] == Opcode.FOOTER:
            return True
        at = after
    return True


def _end(file: RecordFile, at: int, channels: Collection[int] | None) -> int | None:
    """Return where the record at a place ends; None where none of a sensible form is."""
    if at + RECORD.size > file.size:
        return None
    opcode, length = file.head(at)
    after = at + RECORD.size + length
    if after > file.size or length > MAX_BYTES:
        return None
    return after if _has_form(file, opcode, at + RECORD.size, length, channels) else None


def _has_form(
    file: RecordFile, opcode: int, at: int, length: int, channels: Collection[int] | None,
) -> bool:
    if opcode == Opcode.MESSAGE:
        return channels is not None and length >= MESSAGE_FIELDS and (
            _CHANNEL.unpack(file.peek(at, _CHANNEL.size))[0] in channels)
    if opcode == Opcode.CHUNK:
        return _is_chunk(file, at, length)
    if opcode == Opcode.MESSAGE_INDEX:
        return length >= _ENTRIES.size and (
            _ENTRIES.unpack(file.peek(at, _ENTRIES.size))[1] == length - _ENTRIES.size)
    if opcode in _FIXED:
        return length == _FIXED[Opcode(opcode)] and (
            opcode != Opcode.FOOTER or file.peek(at + length, len(MAGIC)) == MAGIC)
    return opcode in _PARSED and _parses(_Contents(file, at, length), Opcode(opcode))


def _is_chunk(file: RecordFile, at: int, length: int) -> bool:
    if length < CHUNK.size + 8:
        return False
    start, end, size, _, name_size = CHUNK.unpack(file.peek(at, CHUNK.size))
    if start > end or size > MAX_BYTES or name_size > max(map(len, _COMPRESSIONS)):
        return False
    name = file.peek(at + CHUNK.size, name_size)
    stored = int.from_bytes(file.peek(at + CHUNK.size + name_size, 8), 'little')
    return name in _COMPRESSIONS and stored == length - CHUNK.size - name_size - 8


def _parses(contents: _Contents, opcode: Opcode) -> bool:
    try:
        _PARSED[opcode].read(ReadDataStream(contents))  # type: ignore[arg-type]
    except UNREADABLE:
        return False
    return contents.left == 0
