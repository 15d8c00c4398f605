"""
Write an MCAP file chunk by chunk, so that its end can be written after any of them.

The library keeps an object for each chunk, counts messages before the disk has them, and cannot
end a file after a write that failed. Here a chunk is one piece for the disk, and is counted and
indexed once the disk took it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from struct import Struct
import zlib

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    DataEnd,
    Footer,
    Header,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from wm_eval_ros.bag.disk import DiskFile
from wm_eval_ros.bag.mcap_record import CHUNK, MAGIC, RECORD

_LENGTH = Struct('<Q')
#: a message record up to its payload: head, channel, sequence, log and publish time
_MESSAGE = Struct('<BQHIQQ')
_MESSAGE_FIELDS = _MESSAGE.size - RECORD.size
#: head of a message index: record head, channel, bytes of the entries
_ENTRIES = Struct('<BQHI')
#: a chunk index: times, place, length | bytes of the offsets | an offset | index bytes, length of
#: the compression's name, sizes
_INDEX, _OFFSET, _INDEX_END = Struct('<QQQQI'), Struct('<HQ'), Struct('<QIQQ')
#: the part of a footer its checksum covers
_FOOTER = Struct('<BQQQ')


class _Chunk:
    """Records that are not in the file yet."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        #: channel -> log time and place of its messages, in turn
        self.messages: dict[int, array[int]] = {}
        self.start_ns, self.end_ns = 2**63, 0

    def add(self, *parts: bytes) -> None:
        self.parts += parts
        self.size += sum(map(len, parts))

    def index(self, channel: int, log_ns: int) -> None:
        """Note the message that comes next."""
        entries = self.messages.get(channel)
        if entries is None:
            entries = self.messages[channel] = array('Q')
        entries.append(log_ns)
        entries.append(self.size)
        self.start_ns = min(self.start_ns, log_ns)
        self.end_ns = max(self.end_ns, log_ns)


class McapWriter:
    """
    An MCAP file under construction: uncompressed chunks with a checksum.

    Every method may raise OSError; what was in the open chunk is lost then, and `finish` may
    still be tried.
    """

    def __init__(self, disk: DiskFile, profile: str, library: str) -> None:
        """Write the head of the file."""
        self._disk = disk
        self._chunk = _Chunk()
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        #: messages in the file by channel
        self.counts: Counter[int] = Counter()
        #: earliest and latest log time in the file [ns, system]; the start is 2**63 without any
        self.start_ns, self.end_ns = 2**63, 0
        self._chunks = 0
        #: chunk indexes as they stand in the summary: a run of hours has a hundred thousand
        self._indexes = bytearray()
        self._metadata: list[MetadataIndex] = []
        disk.append(MAGIC, _record(Header(profile=profile, library=library)))

    @property
    def pending(self) -> int:
        """Size of the open chunk [bytes]."""
        return self._chunk.size

    @property
    def messages_pending(self) -> bool:
        """Say whether the open chunk holds a message."""
        return bool(self._chunk.messages)

    def add_schema(self, name: str, encoding: str, text: bytes) -> int:
        """Declare a type; return its number."""
        schema = Schema(id=len(self._schemas) + 1, data=text, encoding=encoding, name=name)
        self._schemas.append(schema)
        self._chunk.add(_record(schema))
        return schema.id

    def add_channel(self, topic: str, schema: int, metadata: Mapping[str, str]) -> int:
        """Declare a topic of CDR messages; return its number."""
        channel = Channel(id=len(self._channels) + 1, topic=topic, message_encoding='cdr',
                          metadata=dict(metadata), schema_id=schema)
        self._channels.append(channel)
        self._chunk.add(_record(channel))
        return channel.id

    def add_message(
        self, channel: int, sequence: int, log_ns: int, publish_ns: int, data: bytes,
    ) -> None:
        """Put a message into the open chunk."""
        chunk = self._chunk
        chunk.index(channel, log_ns)
        chunk.add(_MESSAGE.pack(Opcode.MESSAGE, _MESSAGE_FIELDS + len(data), channel, sequence,
                                log_ns, publish_ns), data)

    def close_chunk(self) -> None:
        """Write the open chunk; one without a message stays open."""
        chunk = self._chunk
        if not chunk.messages:
            return
        self._chunk = _Chunk()
        data = b''.join(chunk.parts)
        head = CHUNK.pack(chunk.start_ns, chunk.end_ns, len(data), zlib.crc32(data), 0)
        length = len(head) + _LENGTH.size + len(data)
        at = self._disk.size
        entries, offsets = _entries(chunk, at + RECORD.size + length)
        self._disk.append(RECORD.pack(Opcode.CHUNK, length), head, _LENGTH.pack(len(data)), data,
                          entries)
        self._chunks += 1
        self._indexes += RECORD.pack(
            Opcode.CHUNK_INDEX, _INDEX.size + len(offsets) + _INDEX_END.size)
        self._indexes += _INDEX.pack(chunk.start_ns, chunk.end_ns, at, RECORD.size + length,
                                     len(offsets))
        self._indexes += offsets + _INDEX_END.pack(len(entries), 0, len(data), len(data))
        self.counts.update({channel: len(found) // 2 for channel, found in chunk.messages.items()})
        self.start_ns = min(self.start_ns, chunk.start_ns)
        self.end_ns = max(self.end_ns, chunk.end_ns)

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write a metadata record, which must not stand in a chunk, behind what is there."""
        self.close_chunk()
        record = _record(Metadata(name=name, metadata=dict(values)))
        at = self._disk.size
        self._disk.append(record)
        self._metadata.append(MetadataIndex(offset=at, length=len(record), name=name))

    def finish(self) -> None:
        """Write the open chunk, the summary and the end."""
        self.close_chunk()
        end = _record(DataEnd(0))
        start = self._disk.size + len(end)
        summary, offsets = bytearray(), bytearray()
        for opcode, group in self._summary():
            offsets += _record(SummaryOffset(
                group_opcode=opcode, group_start=start + len(summary), group_length=len(group)))
            summary += group
        offsets_at = start + len(summary)
        covered = _FOOTER.pack(Opcode.FOOTER, 20, start, offsets_at)
        crc = zlib.crc32(covered, zlib.crc32(summary + offsets))
        footer = _record(Footer(summary_start=start, summary_offset_start=offsets_at,
                                summary_crc=crc))
        self._disk.append(end, summary, offsets, footer, MAGIC)

    def _summary(self) -> list[tuple[Opcode, bytes | bytearray]]:
        groups: list[tuple[Opcode, bytes | bytearray]] = [
            (Opcode.SCHEMA, b''.join(map(_record, self._schemas))),
            (Opcode.CHANNEL, b''.join(map(_record, self._channels))),
            (Opcode.STATISTICS, _record(self._statistics())),
            (Opcode.CHUNK_INDEX, self._indexes),
            (Opcode.METADATA_INDEX, b''.join(map(_record, self._metadata)))]
        return [(opcode, group) for opcode, group in groups if group]

    def _statistics(self) -> Statistics:
        total = self.counts.total()
        return Statistics(
            attachment_count=0, channel_count=len(self._channels),
            channel_message_counts=dict(self.counts), chunk_count=self._chunks,
            message_count=total, metadata_count=len(self._metadata),
            message_start_time=self.start_ns if total else 0, message_end_time=self.end_ns,
            schema_count=len(self._schemas))


def _record(
    record: (Channel | DataEnd | Footer | Header | Metadata | MetadataIndex | Schema | Statistics
             | SummaryOffset),
) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]


def _entries(chunk: _Chunk, at: int) -> tuple[bytearray, bytearray]:
    """Return the message indexes of a chunk that ends at a place, and where each stands."""
    entries, offsets = bytearray(), bytearray()
    for channel, found in chunk.messages.items():
        offsets += _OFFSET.pack(channel, at + len(entries))
        size = 8 * len(found)
        entries += _ENTRIES.pack(Opcode.MESSAGE_INDEX, 6 + size, channel, size)
        entries += found.tobytes()
    return entries, offsets
