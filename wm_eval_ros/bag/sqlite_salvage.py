"""What can still be read of an sqlite3 file whose pages do not hold together."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
import sqlite3
from typing import Any

import numpy as np

from wm_eval_ros.bag.message import Damage

#: ids asked for at once
_STRIDE = 1 << 14
#: a row takes at least this many bytes of the file
_LEAST_BYTES = 12
#: so many rows are tried one by one before the rest is given up
_PATIENCE = 20_000


def surviving(
    database: sqlite3.Connection, path: Path, damage: Damage,
) -> Iterator[tuple[int, int, int, bytes]]:
    """
    Yield id, log time, topic and payload of every row that can be read, by log time, then by id.

    Rows are asked for by ranges of ids, and a range that fails is halved: what is lost is the
    rows of a damaged page. The file has no checksum; a row that is read is believed.
    """
    found = _Search(database, path.stat().st_size // _LEAST_BYTES)
    ids, times = np.array(found.ids, np.int64), np.array(found.times, np.int64)
    lost = found.lost
    for number in ids[np.lexsort((ids, times))].tolist():
        row = _row(database, number)
        if row is None:
            lost += 1
        else:
            yield row
    if lost or found.given_up:
        least = 'at least ' if found.given_up else ''
        damage.found(f'{path}: {least}{lost} rows stand on damaged pages and are left out',
                     max(1, lost) * _LEAST_BYTES)


class _Search:
    """Ids and log times of the rows whose place in the table can be reached."""

    def __init__(self, database: sqlite3.Connection, most: int) -> None:
        """
        Go through all ids.

        :param most: no id is larger where the table itself cannot say
        """
        self.ids, self.times = array('q'), array('q')
        self.lost = 0
        self.given_up = False
        self._database = database
        first, last = self._extremes(most)
        for start in range(first, last + 1, _STRIDE):
            self._take(start, min(start + _STRIDE - 1, last))

    def _extremes(self, most: int) -> tuple[int, int]:
        found = []
        for what, other in (('MIN', 1), ('MAX', most)):
            try:
                value = self._database.execute(f'SELECT {what}(id) FROM messages').fetchone()[0]
            except sqlite3.DatabaseError:
                value = None
            found.append(value if type(value) is int else other)
        return max(found[0], -most), min(found[1], max(most, found[0] + most))

    def _take(self, first: int, last: int) -> None:
        if self.given_up:
            return
        try:
            rows = self._database.execute(
                'SELECT id, timestamp FROM messages WHERE id BETWEEN ? AND ?',
                (first, last)).fetchall()
        except sqlite3.DatabaseError:
            self._halve(first, last)
            return
        for number, time in rows:
            if type(time) is int and first <= number <= last:
                self.ids.append(number)
                self.times.append(time)

    def _halve(self, first: int, last: int) -> None:
        if first == last:
            self.lost += 1
            self.given_up = self.lost >= _PATIENCE
            return
        middle = (first + last) // 2
        self._take(first, middle)
        self._take(middle + 1, last)


def _row(database: sqlite3.Connection, number: int) -> tuple[int, int, int, bytes] | None:
    query = 'SELECT id, timestamp, topic_id, data FROM messages WHERE id = ?'
    try:
        row: Any = database.execute(query, (number,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row if row is not None and type(row[3]) is bytes else None
