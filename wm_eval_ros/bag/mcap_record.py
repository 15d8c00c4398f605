"""The bytes of an MCAP file: record headers, chunks, and messages by the thousand."""

from __future__ import annotations

from array import array
import os
from pathlib import Path
from struct import error as StructError
from struct import Struct
import zlib

from mcap.exceptions import McapError
import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.columns import Ints
from wm_eval_ros.bag.message import check_size, MAX_BYTES, unzstd
from wm_eval_ros.config.bounded import open_regular
from wm_eval_ros.errors import BagError

MAGIC = b'\x89MCAP0\r\n'
#: opcode and length of a record
RECORD = Struct('<BQ')
#: start, end, uncompressed size, CRC, length of the compression's name
CHUNK = Struct('<QQQII')
#: a message record up to its payload
MESSAGE = np.dtype([('opcode', 'u1'), ('length', '<u8'), ('channel', '<u2'), ('sequence', '<u4'),
                    ('log_ns', '<i8'), ('publish_ns', '<i8')])
#: of the fields of a message record before its payload [bytes]
MESSAGE_FIELDS = MESSAGE.itemsize - RECORD.size
#: what a library or we ourselves raise over bytes that are no such record
UNREADABLE = (McapError, StructError, UnicodeDecodeError, ValueError, IndexError)
_LENGTH = Struct('<Q')
#: small reads are served from a window of this size [bytes]
_WINDOW_BYTES = 64 << 10
_CRC_BYTES = 1 << 20
#: records of one chunk, at most: chunks have some MB, and a message takes at least 31 bytes
MAX_RECORDS = 1 << 20
_STRETCH_BYTES = 1 << 20


class RecordFile:
    """An MCAP file as bytes; headers are read through a window, contents straight."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self.path = path
        self._file = open_regular(path)
        self.size = os.fstat(self._file.fileno()).st_size
        self._window, self._window_at = b'', 0

    def read(self, at: int, size: int) -> bytes:
        """
        Return bytes of the file, fewer at its end.

        :raises BagError: more than the limit is asked for, or the device fails
        """
        if size > MAX_BYTES:
            raise BagError(f'{self.path}: a record of {size} bytes at byte {at}; at most '
                           f'{MAX_BYTES} are read')
        try:
            self._file.seek(at)
            return self._file.read(size)
        except OSError as error:
            raise BagError(f'{self.path}: cannot be read ({error.strerror})') from None

    def peek(self, at: int, size: int) -> bytes:
        """Return a few bytes, fewer at the end of the file."""
        start = at - self._window_at
        if start < 0 or start + size > len(self._window):
            self._window, self._window_at = self.read(at, _WINDOW_BYTES), at
            start = 0
        return self._window[start:start + size]

    def head(self, at: int) -> tuple[int, int]:
        """
        Return opcode and length of the record at a place.

        :raises struct.error: the file ends before
        """
        opcode, length = RECORD.unpack(self.peek(at, RECORD.size))
        return opcode, length

    def skip(self, at: int, opcode: int) -> int:
        """Return where the first record stands that is of another kind, or may not be whole."""
        data, start = self._window, at - self._window_at
        if not 0 <= start < len(data):
            return at
        last, unpack = len(data) - RECORD.size, RECORD.unpack_from
        while start <= last:
            found, length = unpack(data, start)
            if found != opcode:
                break
            start += RECORD.size + length
        return self._window_at + start if start <= len(data) else at

    def crc(self, start: int, end: int) -> int:
        """Return the CRC of a part of the file."""
        value = 0
        for at in range(start, end, _CRC_BYTES):
            value = zlib.crc32(self.read(at, min(_CRC_BYTES, end - at)), value)
        return value

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def record_places(data: bytes, at: int, end: int) -> tuple[Ints, int]:
    """
    Return where the whole records of a stretch begin, and where the last of them ends.

    The innermost loop of all reading: each length says where the next record is.

    :raises BagError: there are too many: each takes a hundred bytes of memory, and nine of a chunk
    """
    found = array('q')
    add, length_at, last = found.append, _LENGTH.unpack_from, end - RECORD.size
    while at <= last:
        stop = min(last, at + _STRETCH_BYTES)
        while at <= stop:
            after = at + 9 + length_at(data, at + 1)[0]
            if after > end:
                return np.array(found, np.int64), at
            add(at)
            at = after
        if len(found) > MAX_RECORDS:
            raise BagError(f'more than {MAX_RECORDS} records in one chunk; so many are not read')
    return np.array(found, np.int64), at


def chunk_contents(where: str, record: bytes) -> bytes:
    """
    Return the contents of a chunk record, decompressed and checked.

    :param record: contents of the record
    :raises BagError: not a chunk, over the limits, or damaged
    """
    try:
        _, _, size, crc, name_size = CHUNK.unpack_from(record)
        at = CHUNK.size + name_size
        compression = record[CHUNK.size:at].decode()
        stored = _LENGTH.unpack_from(record, at)[0]
    except (StructError, UnicodeDecodeError):
        raise BagError(f'{where}: not a chunk; the file is damaged') from None
    packed = memoryview(record)[at + _LENGTH.size:]
    if stored != len(packed):
        raise BagError(f'{where}: {len(packed)} bytes where {stored} are declared; '
                       'the file is damaged')
    check_size(where, size, stored)
    data = _decompressed(where, compression, bytes(packed), size)
    if crc and zlib.crc32(data) != crc:
        raise BagError(f'{where}: the checksum is wrong; the file is damaged')
    return data


def message_log_times(heads: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the log times of message heads as the file compares them, without a sign."""
    return np.ascontiguousarray(heads['log_ns']).view(np.uint64)


def _decompressed(where: str, compression: str, packed: bytes, size: int) -> bytes:
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
