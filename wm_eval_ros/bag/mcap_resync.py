"""Find the next record of an MCAP file behind a damaged one."""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
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
#: what may begin a stretch of whole records
_OPCODES = np.zeros(256, bool)
_OPCODES[[*_FIXED, *_PARSED, Opcode.CHUNK, Opcode.MESSAGE, Opcode.MESSAGE_INDEX]] = True


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
        data = file.read(base, _STEP_BYTES + RECORD.size - 1)
        for place in _candidates(data).tolist():
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


def _candidates(data: bytes) -> NDArray[np.int64]:
    """Return the places of known opcodes with a length below 4 GiB behind them."""
    held = np.frombuffer(data, np.uint8)
    count = max(0, len(held) - RECORD.size + 1)
    found = _OPCODES[held[:count]]
    for high in range(5, RECORD.size):
        found &= held[high:high + count] == 0
    return np.flatnonzero(found)


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
    return opcode in _PARSED and _parses(file.read(at, length), Opcode(opcode))


def _is_chunk(file: RecordFile, at: int, length: int) -> bool:
    if length < CHUNK.size + 8:
        return False
    start, end, size, _, name_size = CHUNK.unpack(file.peek(at, CHUNK.size))
    if start > end or size > MAX_BYTES or name_size > max(map(len, _COMPRESSIONS)):
        return False
    name = file.peek(at + CHUNK.size, name_size)
    stored = int.from_bytes(file.peek(at + CHUNK.size + name_size, 8), 'little')
    return name in _COMPRESSIONS and stored == length - CHUNK.size - name_size - 8


def _parses(contents: bytes, opcode: Opcode) -> bool:
    stream = BytesIO(contents)
    try:
        _PARSED[opcode].read(ReadDataStream(stream))
    except UNREADABLE:
        return False
    return stream.tell() == len(contents)
