"""Read a rosbag2 sqlite3 file, also one with a write-ahead log in a folder that is read-only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from wm_eval_ros.bag.columns import Columns, from_payloads, ROW
from wm_eval_ros.bag.message import Connection, Damage, Disorder
from wm_eval_ros.bag.sqlite_salvage import surviving
from wm_eval_ros.bag.sqlite_schema import check_schema, restrict
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NEVER_NS, NO_SEQUENCE

MAGIC = b'SQLite format 3\x00'
_HEADER_BYTES = 100
#: rows fetched at once
_FETCH = 256
#: rows are gathered up to this many, or this size [bytes]
_BLOCK = 8192
_BLOCK_BYTES = 2 << 20


class SqliteFile:
    """A storage file of rosbag2_storage_sqlite3, of any of its schemas."""

    #: the format has no checksum
    checked = False

    def __init__(self, path: Path, *, salvage: bool = False) -> None:
        """
        Open the file and count its messages.

        :param salvage: note what is broken in :attr:`damage` instead of refusing the file
        :raises BagError: no rosbag2 file, or damaged
        """
        self.path = path
        self.damage = Damage(salvage=salvage)
        self.size = path.stat().st_size
        self.read: Counter[str] = Counter()
        #: rows of a table have no order
        self.disorder = Disorder()
        self._copy: TemporaryDirectory[str] | None = None
        self._database = self._open()
        try:
            self._check()
            self._connections = dict(self._connect())
            self.declared = self._count()
        except (sqlite3.Error, BagError) as error:
            self.close()
            raise (error if isinstance(error, BagError) else self._damaged(error)) from None
        self.connections = tuple(self._connections.values())

    @property
    def start_ns(self) -> int:
        """No message is earlier [ns, system]."""
        try:
            first = self._database.execute('SELECT MIN(timestamp) FROM messages').fetchone()[0]
        except sqlite3.Error:
            first = None
        return first if type(first) is int and not self.damage.notes else -2**63

    def close(self) -> None:
        """Release the file."""
        self._database.close()
        if self._copy is not None:
            self._copy.cleanup()

    def columns(self, topics: Collection[str] | None = None) -> Iterator[Columns]:
        """
        Yield messages by log time; equal times in the order of the file.

        :param topics: only these, None: all
        :raises BagError: the file is damaged
        """
        self.read = Counter()
        wanted = {number: place for place, (number, connection) in enumerate(
            self._connections.items()) if topics is None or connection.topic in topics}
        blocks = self._surviving() if self.damage.notes else self._rows(topics, wanted)
        try:
            for block in blocks:
                if batch := self._batch(block, wanted):
                    yield batch
        except sqlite3.Error as error:
            self.damage.found(str(self._damaged(error)))

    def _rows(
        self, topics: Collection[str] | None, wanted: Collection[int],
    ) -> Iterator[list[Any]]:
        query = 'SELECT id, timestamp, topic_id, data FROM messages'
        if topics is not None:
            query += f' WHERE topic_id IN ({",".join(str(int(n)) for n in wanted)})'
        rows = self._database.execute(f'{query} ORDER BY timestamp, id')
        block: list[Any] = []
        size = 0
        while found := rows.fetchmany(_FETCH):
            block += found
            size += sum(len(row[3]) for row in found if type(row[3]) is bytes)
            if len(block) >= _BLOCK or size >= _BLOCK_BYTES:
                yield block
                block, size = [], 0
        yield block

    def _surviving(self) -> Iterator[list[Any]]:
        """Read a file whose pages do not hold together, as far as it goes."""
        block: list[Any] = []
        size = 0
        for row in surviving(self._database, self.path, self.damage):
            block.append(row)
            size += len(row[3])
            if len(block) >= _BLOCK or size >= _BLOCK_BYTES:
                yield block
                block, size = [], 0
        yield block

    def _batch(self, block: Sequence[Any], wanted: dict[int, int]) -> Columns | None:
        kept = [row for row in block if self._is_message(row) and row[2] in wanted]
        if not kept:
            return None
        places, times, topics, payloads = zip(*kept, strict=True)
        rows = np.empty(len(kept), ROW)
        rows['place'], rows['log_ns'] = places, times
        rows['publish_ns'], rows['sequence'] = NEVER_NS, NO_SEQUENCE
        rows['connection'] = [wanted[number] for number in topics]
        for number, count in Counter(topics).items():
            self.read[self._connections[number].topic] += count
        return from_payloads(rows, payloads)

    def _is_message(self, row: Any) -> bool:
        number, log_ns, topic, data = row
        if type(data) is bytes and type(log_ns) is int and type(number) is int and (
                topic in self._connections):
            return True
        self.damage.found(f'{self.path}: row {number!r} of topic {topic!r} is none of a message; '
                          'the file is damaged', len(data) if type(data) is bytes else 0)
        return False

    def _open(self) -> sqlite3.Connection:
        try:
            database = self._connected()
            restrict(database)
        except (sqlite3.Error, OSError) as error:
            raise self._damaged(error) from None
        return database

    def _connected(self) -> sqlite3.Connection:
        path = self.path.resolve()
        log = path.with_name(f'{path.name}-wal')
        if log.is_file() and log.stat().st_size:
            # Reading through a write-ahead log writes beside the file; `immutable` would skip it.
            self._copy = TemporaryDirectory(prefix='wm_eval_ros_')
            shutil.copy(log, Path(self._copy.name) / log.name)
            path = Path(shutil.copy(path, self._copy.name))
            return sqlite3.connect(path, check_same_thread=False)
        self._check_size(path)
        return sqlite3.connect(f'{path.as_uri()}?mode=ro&immutable=1', uri=True,
                               check_same_thread=False)

    def _check_size(self, path: Path) -> None:
        """Hold the size against the header: sqlite3 does not miss the rest of the last page."""
        with path.open('rb') as file:
            head = file.read(_HEADER_BYTES)
        page = int.from_bytes(head[16:18], 'big')
        wanted = (65536 if page == 1 else page) * int.from_bytes(head[28:32], 'big')
        counted = head[24:28] == head[92:96]
        if len(head) < _HEADER_BYTES or (counted and self.size < wanted):
            what = f'{self.size} bytes where its header declares {wanted}'
            self.damage.found(str(self._damaged(what)), max(0, wanted - self.size))

    def _check(self) -> None:
        """Refuse a file that computes, whose pages do not hold together, or that is of no bag."""
        check_schema(self._database, self.path)
        try:
            verdict = str(self._database.execute('PRAGMA quick_check(1)').fetchone()[0])
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != 'ok':
            self.damage.found(str(self._damaged(' '.join(verdict.split()))))
        tables = {row[0] for row in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {'topics', 'messages'} <= tables:
            raise BagError(f'{self.path}: no rosbag2 file: it has the tables '
                           f'{", ".join(sorted(tables)) or "(none)"}, not topics and messages')

    def _connect(self) -> Iterator[tuple[int, Connection]]:
        definitions = self._definitions()
        for number, topic, type_name, form in self._database.execute(
                'SELECT id, name, type, serialization_format FROM topics'):
            if not all(isinstance(entry, str) for entry in (topic, type_name, form)):
                self.damage.found(str(self._damaged(f'topic {number!r} has no name or no type')))
                continue
            encoding, text = definitions.get(type_name, ('', ''))
            yield number, Connection(topic, type_name, encoding, text, form)

    def _definitions(self) -> dict[str, tuple[str, str]]:
        try:
            rows = self._database.execute('SELECT topic_type, encoding, '
                                          'encoded_message_definition FROM message_definitions')
            return {type_name: (encoding, text) for type_name, encoding, text in rows
                    if isinstance(encoding, str) and isinstance(text, str)}
        except sqlite3.OperationalError:
            return {}  # before schema 4
        except sqlite3.DatabaseError as error:
            self.damage.found(str(self._damaged(error)))
            return {}

    def _count(self) -> dict[str, int] | None:
        counts = {connection.topic: 0 for connection in self._connections.values()}
        try:
            rows = self._database.execute(
                'SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id').fetchall()
        except sqlite3.DatabaseError as error:
            self.damage.found(str(self._damaged(error)))
            return None
        for number, count in rows:
            if number in self._connections:
                counts[self._connections[number].topic] += count
            else:
                self.damage.found(str(self._damaged(
                    f'{count} messages of a topic {number} that it does not declare')))
        return counts

    def _damaged(self, error: object) -> BagError:
        return BagError(f'{self.path}: not readable as sqlite3 ({error}); '
                        'it is cut off or damaged')
