"""One packed row a slot, and one an input it used."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Bools, Ints
from wm_eval_ros.records import CycleRecord, InputRef, NEVER_NS

Rows = NDArray[np.void]

#: stamp of the oldest input of a slot that used none
NO_STAMP = -2**63
_INTEGERS = ('slot', 'episode', 'status', 'mode', 'stamp', 'due', 'start', 'infer_start',
             'infer_end', 'publish', 'publish_system', 'period', 'deadline', 'oldest', 'cpu',
             'memory', 'energy', 'horizon', 'calls', 'nonfinite', 'command_stamp')
_FLOATS = ('surprise', 'threshold')
ROW = np.dtype([*((name, '<i8') for name in _INTEGERS), *((name, '<f8') for name in _FLOATS)])
_ROW = struct.Struct(f'<{len(_INTEGERS)}q{len(_FLOATS)}d')
INPUT = np.dtype([('slot', '<i8'), ('topic', '<i8'), ('stamp', '<i8'), ('received', '<i8'),
                  ('sequence', '<u8')])
_INPUT = struct.Struct('<qqqqQ')


def pack_row(c: CycleRecord) -> bytes:
    """
    Return a slot as one ROW.

    :raises struct.error: a number is beyond what 64 bits hold
    """
    oldest = min((i.stamp_ns for i in c.inputs), default=NO_STAMP)
    return _ROW.pack(
        c.slot, c.episode, c.status, c.mode, c.stamp_ns, c.due_ns, c.start_ns, c.infer_start_ns,
        c.infer_end_ns, c.publish_ns, c.publish_system_ns, c.period_ns, c.deadline_ns, oldest,
        c.cpu_ns, c.peak_memory_bytes, c.energy_uj, c.horizon, c.samples * c.iterations,
        c.nonfinite, NO_STAMP if c.command_stamp_ns is None else c.command_stamp_ns, c.surprise,
        c.surprise_threshold)


def pack_input(slot: int, topic: int, ref: InputRef) -> bytes:
    """
    Return one input of a slot as an INPUT; the topic by its number.

    :raises struct.error: a number is beyond what 64 bits hold
    """
    return _INPUT.pack(slot, topic, ref.stamp_ns, ref.received_ns, ref.sequence)


class RowBuffer:
    """
    Rows appended as bytes and read as an array, without a second copy of what was read before.

    :param kind: ROW or INPUT
    """

    def __init__(self, kind: np.dtype[np.void]) -> None:
        self._kind = kind
        self._fresh = bytearray()
        self._kept: Rows = np.zeros(0, kind)

    def append(self, packed: bytes) -> None:
        """Append any number of packed rows."""
        self._fresh += packed

    def rows(self) -> Rows:
        """Return all rows in the order in which they came."""
        if self._fresh:
            # the array takes the bytes over; appending goes on in new ones
            fresh, self._fresh = np.frombuffer(self._fresh, self._kind), bytearray()
            self._kept = np.concatenate([self._kept, fresh]) if len(self._kept) else fresh
        return self._kept


def in_order(rows: Rows) -> Rows:
    """Sort by slot, equal slots by content: never by arrival."""
    if np.all(np.diff(rows['slot']) > 0):
        return rows
    keys = [(int(row['slot']), row.tobytes()) for row in rows]
    return rows[sorted(range(len(rows)), key=keys.__getitem__)]


def one_a_slot(rows: Rows) -> tuple[Rows, int]:
    """Sort rows by slot and keep one a slot; return how many were left out too."""
    ordered = in_order(rows)
    first = np.diff(ordered['slot'], prepend=-1) != 0
    return (ordered, 0) if np.all(first) else (ordered[first], int(np.sum(~first)))


def row_of(rows: Rows, slots: Ints) -> Ints:
    """Return the row of each slot, -1 where it has none; rows are sorted by slot."""
    at = np.searchsorted(rows['slot'], slots)
    known = at < len(rows)
    known[known] = rows['slot'][at[known]] == slots[known]
    return np.where(known, at, -1)


def happened(times: Ints) -> Bools:
    """Say which times came to pass."""
    return np.asarray(times != NEVER_NS)
