"""Messages by the thousand: a row of numbers each, payloads left in the buffers they came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.message import Connection, RawMessage
from wm_eval_ros.errors import BagError

Ints = NDArray[np.int64]
Rows = NDArray[np.void]

#: one message
ROW = np.dtype([
    ('log_ns', '<i8'), ('publish_ns', '<i8'), ('sequence', '<u8'),
    # where it stands in its file: settles the order of equal log times
    ('place', '<i8'),
    # of the payload in its buffer
    ('start', '<i8'), ('size', '<i8'),
    ('buffer', '<i4'),
    # place in the list of connections
    ('connection', '<u2'),
], align=True)
#: a row as bytes: numpy copies those an order of magnitude faster than rows of fields
_WHOLE = np.dtype((np.void, ROW.itemsize))
#: the head of a CDR message whose type begins with a header, in either byte order
_STAMP = np.dtype({
    'names': ['flags', 'sec', 'nanosec', 'sec_big', 'nanosec_big'], 'offsets': [1, 4, 8, 4, 8],
    'formats': ['u1', '<i4', '<u4', '>i4', '>u4'], 'itemsize': 12})
_NS_PER_S = 1_000_000_000
#: buffers of which less than this share is in use are copied out of
_IN_USE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Messages in the order they are read."""

    #: fields as in ROW, shape (N,)
    rows: Rows
    buffers: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.generic]) -> Columns:
        """Return some of the messages."""
        return Columns(self.rows.view(_WHOLE)[which].view(ROW), self.buffers)

    @property
    def log_ns(self) -> Ints:
        """Arrivals at the recorder [ns, system], shape (N,)."""
        return np.asarray(self.rows['log_ns'])

    def payloads(self) -> Iterator[bytes]:
        """Yield the serialized messages."""
        starts = self.rows['start']
        places = zip(starts.tolist(), (starts + self.rows['size']).tolist(), strict=True)
        if len(self.buffers) == 1:
            data = self.buffers[0]
            return (data[start:stop] for start, stop in places)
        return (self.buffers[buffer][start:stop] for buffer, (start, stop) in zip(
            self.rows['buffer'].tolist(), places, strict=True))

    def messages(self, connections: Sequence[Connection]) -> Iterator[RawMessage]:
        """Yield the messages one by one."""
        rows = self.rows
        fields = zip(rows['log_ns'].tolist(),
                     map(connections.__getitem__, rows['connection'].tolist()),
                     rows['publish_ns'].tolist(), rows['sequence'].tolist(), self.payloads(),
                     strict=True)
        return map(partial(tuple.__new__, RawMessage), fields)

    def by_connection(self) -> Iterator[tuple[int, Columns]]:
        """Yield each connection's messages, and its place in the list, by that place."""
        numbers = self.rows['connection']
        order = np.argsort(numbers, kind='stable')
        ordered = self[order]
        numbers = numbers[order]
        edges = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
        for first, last in pairwise(edges):
            if last > first:
                yield int(numbers[first]), ordered[first:last]

    def stamps(self, topic: str) -> Ints:
        """
        Return the header stamps [ns, ROS], shape (N,), without decoding anything.

        :param topic: whose messages these are, all of a type that begins with a header
        :raises BagError: a message is too short to hold one
        """
        rows = self.rows
        short = np.flatnonzero(rows['size'] < _STAMP.itemsize)
        if len(short):
            row = rows[short[0]]
            raise BagError(f'{topic}: the message logged at {row["log_ns"]} ns has '
                           f'{row["size"]} bytes, too few for a header')
        heads = np.empty(len(rows), _STAMP)
        for number in np.unique(rows['buffer']).tolist():
            own = rows['buffer'] == number
            heads[own] = gather(self.buffers[number], rows['start'][own], _STAMP)
        little = (heads['flags'] & 1).astype(bool)
        sec = np.where(little, heads['sec'], heads['sec_big']).astype(np.int64)
        return sec * _NS_PER_S + np.where(little, heads['nanosec'], heads['nanosec_big'])

    def released(self) -> Columns:
        """Return the same messages without the buffers that they no longer need."""
        held = sum(map(len, self.buffers))
        if not len(self):
            return EMPTY
        if int(self.rows['size'].sum()) < _IN_USE * held:
            return from_payloads(self.rows, list(self.payloads()))
        used, numbers = np.unique(self.rows['buffer'], return_inverse=True)
        if len(used) == len(self.buffers):
            return self
        rows = self.rows.copy()
        rows['buffer'] = numbers
        return Columns(rows, tuple(self.buffers[n] for n in used.tolist()))


EMPTY = Columns(np.empty(0, ROW))


def gather(data: bytes, starts: Ints, layout: np.dtype[np.void]) -> Rows:
    """
    Copy one packed record from each place of a buffer.

    :param starts: places, each with the whole record after it, shape (N,)
    """
    size = layout.itemsize
    if len(data) < size:
        return np.empty(0, layout)
    every = np.ndarray((len(data) - size + 1,), np.dtype((np.void, size)), data, strides=(1,))
    return np.asarray(every[starts].view(layout))


def from_payloads(rows: Rows, payloads: Sequence[bytes]) -> Columns:
    """Return rows with other payloads, which are gathered in one buffer."""
    rows = rows.copy()
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    rows['size'], rows['buffer'] = sizes, 0
    rows['start'] = np.cumsum(sizes) - sizes
    return Columns(rows, (b''.join(payloads),))


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the messages of several, one after the other."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    rows = np.concatenate([part.rows for part in parts])
    at = base = 0
    for part in parts:
        rows['buffer'][at:at + len(part)] += base
        at, base = at + len(part), base + len(part.buffers)
    return Columns(rows, tuple(buffer for part in parts for buffer in part.buffers))


def in_order(columns: Columns) -> Columns:
    """Return the messages of one file by log time, equal times by their place in the file."""
    log_ns, place = columns.rows['log_ns'], columns.rows['place']
    later = log_ns[1:] > log_ns[:-1]
    if np.all(later | ((log_ns[1:] == log_ns[:-1]) & (place[1:] >= place[:-1]))):
        return columns
    return columns[np.lexsort((place, log_ns))]
