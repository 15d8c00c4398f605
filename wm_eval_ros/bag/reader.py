"""
Open a bag of any form rosbag2 writes, and read it: raw, decoded, or as records.

Order of everything that is read: by log time; equal log times by file, then by place in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
import heapq
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wm_eval_ros.bag.decode import Decoder, full_name, header_stamp_ns
from wm_eval_ros.bag.mcap_file import MAGIC as MCAP_MAGIC
from wm_eval_ros.bag.mcap_file import McapFile
from wm_eval_ros.bag.message import (
    check_size,
    Connection,
    MAX_RATIO,
    RawMessage,
    StorageFile,
    unzstd,
)
from wm_eval_ros.bag.metadata import Metadata, read_metadata, TopicDeclaration
from wm_eval_ros.bag.metadata import NAME as METADATA
from wm_eval_ros.bag.sqlite_file import MAGIC as SQLITE_MAGIC
from wm_eval_ros.bag.sqlite_file import SqliteFile
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Record, SampleRecord
from wm_eval_ros.wire.codec import (
    cycle_from_msg,
    CYCLE_TYPE,
    event_from_msg,
    EVENT_TYPE,
    run_info_from_json,
)
from wm_eval_ros.wire.topics import RUN_INFO, TYPES

_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
#: a decompressed storage file is at most this large [bytes]
_MAX_FILE_BYTES = 64 << 30
_COPY_BYTES = 1 << 20


class Bag:
    """An open bag. Iterating twice reads twice; nothing is kept in memory."""

    def __init__(
        self, path: Path, files: tuple[StorageFile, ...], metadata: Metadata | None,
        scratch: TemporaryDirectory[str] | None, definitions: Mapping[str, str] | None = None,
    ) -> None:
        """Hold what :func:`open_bag` opened."""
        self.path = path
        self.metadata = metadata
        self._files = files
        self._scratch = scratch
        self._notes: list[str] = []
        self.connections: tuple[Connection, ...] = tuple(
            dict.fromkeys(c for file in files for c in file.connections))
        self.topics = {c.topic: c.type for c in self.connections}
        self.decoder = Decoder(self.connections, definitions)

    @property
    def notes(self) -> tuple[str, ...]:
        """What salvage had to leave out so far, one sentence each."""
        return (*self._notes, *(note for file in self._files for note in file.notes))

    @property
    def read(self) -> Counter[str]:
        """Messages read by the last pass, by topic; final when the pass has ended."""
        return sum((file.read for file in self._files), Counter())

    @property
    def disordered(self) -> int:
        """Messages of the last pass that stand after a later one in their file."""
        return sum(file.disordered for file in self._files)

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

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """
        Iterate over raw messages, ordered as the module says.

        :param topics: only these, None: all
        :raises BagError: the bag is damaged, or holds fewer messages than it declares
        """
        streams = [file.messages(topics) for file in self._files]
        merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(0))
        if self.metadata is not None and self.metadata.compression_mode == 'message':
            merged = map(self._unzip, merged)
        return iter(merged)

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

    def close(self) -> None:
        """Release the files."""
        for file in self._files:
            file.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Bag:
        """Return the bag."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the files."""
        self.close()

    def _unzip(self, message: RawMessage) -> RawMessage:
        where = f'{self.path}: {message.topic} at {message.log_ns} ns'
        return message._replace(data=unzstd(where, message.data))

    def _check(self, salvage: bool) -> None:
        """Hold metadata.yaml against the files."""
        formats = {c.serialization_format for c in self.connections}
        if self.metadata is not None and self.metadata.topics:
            formats &= {t.serialization_format for t in self.metadata.topics}
            formats = formats or {t.serialization_format for t in self.metadata.topics}
        if formats and 'cdr' not in formats:
            raise BagError(f'{self.path}: serialized as {", ".join(map(repr, sorted(formats)))}; '
                           'only cdr is read: convert it with `ros2 bag convert`')
        if self.metadata is not None and all(f.declared is not None for f in self._files):
            for topic in self.metadata.topics:
                self._check_topic(topic, salvage)
        if not any(self.declared.values()) and self._is_empty():
            raise BagError(f'{self.path}: empty: {len(self.topics)} topics and no message'
                           + ''.join(f'; {note}' for note in self.notes))

    def _check_topic(self, topic: TopicDeclaration, salvage: bool) -> None:
        held = self.declared.get(topic.name, 0)
        if topic.count == held:
            return
        what = (f'{self.path}: {topic.name}: {METADATA} declares {topic.count} messages, the '
                f'files hold {held}; `ros2 bag reindex` writes it anew')
        if not salvage:
            raise BagError(what)
        self._notes.append(what)

    def _is_empty(self) -> bool:
        return next(self.messages(), None) is None


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
    if path.name == METADATA:
        path = path.parent
    if not path.exists():
        raise BagError(f'{path}: there is no such file or folder')
    if not (path.is_file() or path.is_dir()):
        raise BagError(f'{path}: neither a file nor a folder; give a rosbag2 folder or its file')
    notes: list[str] = []
    metadata, paths = _contents(path, salvage, notes)
    scratch = None
    files: list[StorageFile] = []
    try:
        for file_path in paths:
            if _head(file_path).startswith(_ZSTD_MAGIC):
                scratch = scratch or TemporaryDirectory(prefix='wm_eval_ros_')
                file_path = _decompressed(file_path, Path(scratch.name))
            files.append(_open_file(file_path, salvage))
        bag = Bag(path, tuple(files), metadata, scratch, definitions)
        bag._notes.extend(notes)
        bag._check(salvage)
    except BaseException:
        for file in files:
            file.close()
        if scratch is not None:
            scratch.cleanup()
        raise
    return bag


def _contents(
    path: Path, salvage: bool, notes: list[str],
) -> tuple[Metadata | None, list[Path]]:
    """Return the metadata, if any, and the storage files in their order."""
    if path.is_file():
        return None, [path]
    if (path / METADATA).is_file():
        metadata = read_metadata(path)
        return metadata, _listed_files(path, metadata, salvage, notes)
    found = sorted((p for p in path.iterdir() if p.name.endswith(_SUFFIXES)), key=_split_number)
    if not found:
        raise BagError(f'{path}: no bag: it holds neither {METADATA} nor a storage file '
                       f'({", ".join(_SUFFIXES)})')
    what = (f'{path}: no {METADATA}, so it was not closed; it holds '
            f'{", ".join(p.name for p in found)}')
    if not salvage:
        raise BagError(f'{what}: read it with --salvage, or restore it with `ros2 bag reindex`')
    notes.append(what)
    return None, found


def _listed_files(
    path: Path, metadata: Metadata, salvage: bool, notes: list[str],
) -> list[Path]:
    if not metadata.files:
        raise BagError(f'{path}: empty: {METADATA} lists no storage file')
    if metadata.compression_format not in ('', 'zstd'):
        raise BagError(f'{path}: compression {metadata.compression_format!r}; zstd is read')
    files = []
    for listed in metadata.files:
        # Old bags list the folder too; nothing outside of it is ever opened.
        name = Path(listed).name
        there = [p for p in (path / name, path / f'{name}.zstd') if p.is_file()]
        if there:
            files.append(there[0])
            continue
        what = f'{path}: {METADATA} lists {name}, which is not there'
        if not salvage:
            raise BagError(f'{what}; restore it, or read the rest with --salvage')
        notes.append(what)
    if not files:
        raise BagError(f'{path}: none of its storage files is there')
    return files


def _split_number(path: Path) -> tuple[int, str]:
    """Order split files by their number: ``bag_10`` after ``bag_9``."""
    digits = path.name.split('.')[0].rpartition('_')[2]
    return (int(digits) if digits.isascii() and digits.isdigit() else 0, path.name)


def _open_file(path: Path, salvage: bool) -> StorageFile:
    head = _head(path)
    if head.startswith(MCAP_MAGIC):
        return McapFile(path, salvage=salvage)
    if head.startswith(SQLITE_MAGIC):
        return SqliteFile(path, salvage=salvage)
    what = 'an empty file' if not head else 'neither MCAP nor sqlite3'
    raise BagError(f'{path}: no bag: {what}')


def _head(path: Path) -> bytes:
    try:
        with path.open('rb') as file:
            return file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise BagError(f'{path}: cannot be read ({error.strerror or error})') from None


def _decompressed(path: Path, folder: Path) -> Path:
    """Decompress a storage file next to others in the folder, within the limits of size."""
    import zstandard
    packed = path.stat().st_size
    with path.open('rb') as source:
        declared = zstandard.frame_content_size(source.read(18))
    if declared > 0:
        _check_file(path, declared, packed)
    target = folder / path.name.removesuffix('.zstd')
    written = 0
    try:
        with path.open('rb') as source, target.open('wb') as sink:
            for block in zstandard.ZstdDecompressor().read_to_iter(source, write_size=_COPY_BYTES):
                written += len(block)
                _check_file(path, written, packed)
                sink.write(block)
    except (zstandard.ZstdError, OSError) as error:
        raise BagError(f'{path}: not decompressed ({error})') from None
    if declared > 0 and written != declared:
        raise BagError(f'{path}: {written} of {declared} bytes; it is cut off')
    return target


def _check_file(path: Path, size: int, packed: int) -> None:
    if size > _MAX_FILE_BYTES:
        raise BagError(f'{path}: declares {size} bytes; at most {_MAX_FILE_BYTES} are read')
    check_size(str(path), min(size, MAX_RATIO * packed + 1) if size > MAX_RATIO * packed else 0,
               packed)


def record_decoder(connection: Connection) -> Any:
    """Return what makes a record of a connection's messages, None for those of others."""
    if connection.type == CYCLE_TYPE:
        return cycle_from_msg
    if connection.type == EVENT_TYPE:
        return event_from_msg
    if connection.type == TYPES[RUN_INFO] and connection.topic.rpartition('/')[2] == RUN_INFO:
        return lambda msg: run_info_from_json(msg.data)
    return None
