"""Read a rosbag2 sqlite3 file, also one with a write-ahead log in a folder that is read-only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from operator import itemgetter
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory

from wm_eval_ros.bag.message import Connection, RawMessage
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NEVER_NS, NO_SEQUENCE

MAGIC = b'SQLite format 3\x00'
_HEADER_BYTES = 100
#: rows fetched at once
_BATCH = 256


class SqliteFile:
    """A storage file of rosbag2_storage_sqlite3, of any of its schemas."""

    def __init__(self, path: Path, *, salvage: bool = False) -> None:
        """
        Open the file and count its messages.

        :param salvage: note what is broken in :attr:`notes` instead of refusing the file
        :raises BagError: no rosbag2 file, or damaged
        """
        self.path = path
        self.notes: list[str] = []
        self.read: Counter[str] = Counter()
        #: rows of a table have no order
        self.disordered = 0
        self._salvage = salvage
        self._copy: TemporaryDirectory[str] | None = None
        self._database = self._open()
        try:
            self._check()
            self._connections = dict(self._connect())
            self.declared: dict[str, int] | None = self._count()
        except (sqlite3.Error, BagError) as error:
            self.close()
            raise (error if isinstance(error, BagError) else self._damaged(error)) from None
        self.connections = tuple(dict.fromkeys(self._connections.values()))

    def close(self) -> None:
        """Release the file."""
        self._database.close()
        if self._copy is not None:
            self._copy.cleanup()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """
        Yield messages by log time; equal times in the order of the file.

        :param topics: only these, None: all
        :raises BagError: the file is damaged
        """
        wanted = {n: c for n, c in self._connections.items()
                  if topics is None or c.topic in topics}
        query = 'SELECT timestamp, topic_id, data FROM messages'
        if topics is not None:
            query += f' WHERE topic_id IN ({",".join(str(int(n)) for n in wanted)})'
        read: Counter[str] = Counter()
        self.read = read
        try:
            rows = self._database.execute(f'{query} ORDER BY timestamp, id')
            while batch := [_message(row, wanted) for row in rows.fetchmany(_BATCH)]:
                for connection, count in Counter(map(itemgetter(1), batch)).items():
                    read[connection.topic] += count
                yield from batch
        except sqlite3.Error as error:
            if not self._salvage:
                raise self._damaged(error) from None
            self.notes.append(f'{self.path}: reading ended early ({error})')

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except (sqlite3.Error, OSError) as error:
            raise self._damaged(error) from None

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
        size = path.stat().st_size
        counted = head[24:28] == head[92:96]
        if len(head) < _HEADER_BYTES or (counted and size < wanted):
            what = f'{size} bytes where its header declares {wanted}'
            if not self._salvage:
                raise sqlite3.DatabaseError(what)
            self.notes.append(f'{self.path}: {what}')

    def _check(self) -> None:
        """Refuse a file whose pages do not hold together, or that is of no bag."""
        verdict = self._database.execute('PRAGMA quick_check(1)').fetchone()[0]
        if verdict != 'ok':
            if not self._salvage:
                raise sqlite3.DatabaseError(verdict)
            self.notes.append(f'{self.path}: {verdict}')
        tables = {row[0] for row in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {'topics', 'messages'} <= tables:
            raise BagError(f'{self.path}: no rosbag2 file: it has the tables '
                           f'{", ".join(sorted(tables)) or "(none)"}, not topics and messages')

    def _connect(self) -> Iterator[tuple[int, Connection]]:
        definitions = dict(self._definitions())
        for number, topic, type_name, form in self._database.execute(
                'SELECT id, name, type, serialization_format FROM topics'):
            encoding, text = definitions.get(type_name, ('', ''))
            yield number, Connection(topic, type_name, encoding if text else '', text, form)

    def _definitions(self) -> Iterator[tuple[str, tuple[str, str]]]:
        try:
            rows = self._database.execute('SELECT topic_type, encoding, '
                                          'encoded_message_definition FROM message_definitions')
        except sqlite3.OperationalError:
            return  # before schema 4
        for type_name, encoding, text in rows:
            yield type_name, (encoding, text)

    def _count(self) -> dict[str, int]:
        counts = {connection.topic: 0 for connection in self._connections.values()}
        for number, count in self._database.execute(
                'SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id'):
            if number not in self._connections:
                raise sqlite3.DatabaseError(f'messages of a topic {number} it does not declare')
            counts[self._connections[number].topic] += count
        return counts

    def _damaged(self, error: Exception) -> BagError:
        return BagError(f'{self.path}: not readable as sqlite3 ({error}); '
                        'it is cut off or damaged')


def _message(row: tuple[object, object, object], wanted: dict[int, Connection]) -> RawMessage:
    log_ns, number, data = row
    if type(data) is not bytes or type(log_ns) is not int or type(number) is not int or (
            number not in wanted):
        raise sqlite3.DatabaseError(f'a row of topic {number!r} is none of a message')
    return RawMessage(log_ns, wanted[number], NEVER_NS, NO_SEQUENCE, data)
