"""
What of a foreign sqlite3 file is let near the database engine.

The schema of such a file is code: a view, a trigger, a virtual table, a computed column or a check
runs when a table is looked at. A bag has none of them, so a file that has is refused before.
"""

from __future__ import annotations

from pathlib import Path
import re
import sqlite3
import sys

from wm_eval_ros.bag.message import MAX_BYTES
from wm_eval_ros.errors import BagError

#: a plain table, an index of plain columns: nothing in them computes
_TABLE = re.compile(r'\s*CREATE\s+TABLE\b(?!.*\b(?:CHECK|GENERATED|AS)\b).*', re.I | re.S)
_INDEX = re.compile(r'\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b[^()]*\([^()]*\)\s*', re.I | re.S)
#: of one statement; those of a bag have some 200 characters
_MAX_SQL = 100_000
_MAX_OBJECTS = 1000


def restrict(database: sqlite3.Connection) -> None:
    """Take from a connection what no bag needs: functions in schemas, huge values, attachments."""
    database.execute('PRAGMA trusted_schema = OFF')
    database.execute('PRAGMA cell_size_check = ON')
    database.execute('PRAGMA query_only = ON')
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
        database.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MAX_SQL)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def check_schema(database: sqlite3.Connection, path: Path) -> None:
    """
    Refuse a file with more than plain tables and indices.

    :raises BagError: it has; the message names the first
    :raises sqlite3.Error: the schema cannot be read
    """
    rows = database.execute('SELECT type, name, sql FROM sqlite_master').fetchmany(_MAX_OBJECTS)
    if len(rows) == _MAX_OBJECTS:
        raise BagError(f'{path}: no rosbag2 file: it has {_MAX_OBJECTS} tables and more')
    for kind, name, sql in rows:
        form = {'table': _TABLE, 'index': _INDEX}.get(kind)
        # an index that a constraint made has no statement
        made = kind == 'index' and sql is None
        if not made and (form is None or form.fullmatch(str(sql)) is None):
            raise BagError(f'{path}: no rosbag2 file: its {kind} {str(name)[:80]!r} computes '
                           'something, and nothing is run; copy topics and messages into plain '
                           'tables')
