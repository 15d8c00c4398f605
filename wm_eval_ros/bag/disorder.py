"""How far the order of a file is from the order of its log times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.columns import Columns, Ints
from wm_eval_ros.bag.message import Disorder

_FIRST = -2**63


class OrderWatch:
    """Fold over one file, seen as it is stored and as it is read."""

    def __init__(self, starts_ns: Ints, ends_ns: Ints, connections: int) -> None:
        """
        Begin.

        :param starts_ns: earliest log time of each part of the file, as stored [ns], shape (S,)
        :param ends_ns: latest log time of each [ns], shape (S,)
        :param connections: number of connections
        """
        self.found = Disorder()
        self._latest = _FIRST
        #: latest log time stored, of each connection
        self._newest: NDArray[np.int64] = np.full(connections, _FIRST)
        #: largest place read so far, of all and of each connection
        self._top = -1
        self._tops: NDArray[np.int64] = np.full(connections, -1)
        if len(starts_ns) > 1:
            falls = np.maximum.accumulate(ends_ns)[:-1] - starts_ns[1:]
            worst = int(falls.argmax())
            if falls[worst] > 0:
                self.found.fall_ns = int(falls[worst])
                self.found.fall_at_ns = int(starts_ns[worst + 1])

    def stored(self, columns: Columns) -> None:
        """Take messages in as they stand in the file."""
        if len(columns) == 0:
            return
        log_ns = columns.log_ns
        before = np.maximum(np.maximum.accumulate(log_ns), self._latest)
        self._latest = int(before[-1])
        late = before - log_ns
        worst = int(late.max())
        if worst == 0:
            np.maximum.at(self._newest, columns.rows['connection'], log_ns)
            return
        self.found.count += int(np.count_nonzero(late))
        self.found.worst_ns = max(self.found.worst_ns, worst)
        for number, own in columns.by_connection():
            self._stored_own(number, own.log_ns)

    def read(self, columns: Columns) -> None:
        """Take messages in as they are read, by log time."""
        places = columns.rows['place']
        top = int(places.max())
        if places[0] > self._top and np.all(places[1:] > places[:-1]):
            np.maximum.at(self._tops, columns.rows['connection'], places)
        else:
            for number, own in columns.by_connection():
                self._read_own(number, own.rows['place'])
        self._top = max(self._top, top)

    def _stored_own(self, number: int, log_ns: Ints) -> None:
        before = np.maximum(np.maximum.accumulate(log_ns), self._newest[number])
        self._newest[number] = before[-1]
        falls = before - log_ns
        worst = int(falls.argmax())
        if falls[worst] > self.found.fall_ns:
            self.found.fall_ns, self.found.fall_at_ns = int(falls[worst]), int(log_ns[worst])

    def _read_own(self, number: int, places: Ints) -> None:
        before = np.maximum(np.maximum.accumulate(places), self._tops[number])
        self.found.within_topics += int(np.count_nonzero(before > places))
        self._tops[number] = before[-1]
