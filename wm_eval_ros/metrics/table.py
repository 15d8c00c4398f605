"""The run as a table: one packed row a slot, shared by the families that read slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import Ints, Values
from wm_eval_ros.metrics.episodes import Episode, episodes, order, window
from wm_eval_ros.metrics.samples import SampleLog, Stream
from wm_eval_ros.records import (
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    NEVER_NS,
    Record,
    RUN_INFO_SCHEMA,
    RunInfo,
    SampleRecord,
)

Rows = NDArray[np.void]

#: stamp of the oldest input of a slot that used none
NO_STAMP = -2**63
_NO_END = 2**62
_INTEGERS = ('slot', 'episode', 'status', 'mode', 'stamp', 'due', 'start', 'infer_start',
             'infer_end', 'publish', 'publish_system', 'period', 'deadline', 'oldest', 'cpu',
             'calls', 'nonfinite')
_FLOATS = ('surprise', 'threshold')
ROW = np.dtype([*((name, '<i8') for name in _INTEGERS), *((name, '<f8') for name in _FLOATS)])
_ROW = struct.Struct(f'<{len(_INTEGERS)}q{len(_FLOATS)}d')
INPUT = np.dtype([('slot', '<i8'), ('topic', '<i8'), ('stamp', '<i8'), ('sequence', '<u8')])
_INPUT = struct.Struct('<qqqQ')


@dataclass(frozen=True)
class Run:
    """All that was recorded of a run, in an order of its own making."""

    #: slots that count as due and have a record, by slot number; fields as in ROW
    slots: Rows
    #: slots without a record just before each of those, shape (N,)
    gaps: Ints
    #: slots without a record between the last record and the last end of an episode
    tail: int
    warmup: Rows
    #: all recorded slots of the schedule, also those outside the window
    schedule: Rows
    #: records of a slot that already had one
    duplicates: int
    #: topic -> the samples used in due slots, by slot; fields as in INPUT
    inputs: Mapping[str, Rows]
    episodes: tuple[Episode, ...]
    events: tuple[EpisodeEvent, ...]
    #: what passed by; grows with the record
    samples: Mapping[str, Stream]
    info: RunInfo | None
    #: differing manifests seen
    manifests: int

    @property
    def due(self) -> int:
        """Return the number of slots that were due, recorded or not."""
        return len(self.slots) + int(np.sum(self.gaps)) + self.tail

    @property
    def period_ns(self) -> int | None:
        """Return the control period, from the manifest or else from the slots."""
        if self.info is not None and self.info.period_ns > 0:
            return self.info.period_ns
        known = self.schedule['period'][self.schedule['period'] > 0]
        return int(np.min(known)) if len(known) else None


@dataclass
class RunTable:
    """Fold of every record into compact rows."""

    samples: SampleLog = field(default_factory=SampleLog)
    malformed: int = 0

    def __post_init__(self) -> None:
        self._rows, self._inputs = bytearray(), bytearray()
        self._topics: dict[str, int] = {}
        self._events: set[EpisodeEvent] = set()
        self._infos: dict[str, RunInfo] = {}
        self._run: Run | None = None

    def update(self, record: Record) -> None:
        """Take one record in; a newer manifest than this version knows is refused."""
        if isinstance(record, SampleRecord):
            self.samples.stream(record.topic).add(record)
            return
        self._run = None
        if isinstance(record, CycleRecord):
            self._add_cycle(record)
        elif isinstance(record, EpisodeEvent):
            self._events.add(record)
        else:
            self._add_info(record)

    def _add_info(self, info: RunInfo) -> None:
        if info.schema_version > RUN_INFO_SCHEMA:
            raise BagError(
                f'the run was recorded with schema {info.schema_version}, this version reads up '
                f'to {RUN_INFO_SCHEMA}: install wm_eval_ros {info.package_version} or newer')
        self._infos[_text(info)] = info

    def _add_cycle(self, cycle: CycleRecord) -> None:
        try:
            row, inputs = _pack(cycle), self._pack_inputs(cycle)
        except struct.error:
            self.malformed += 1
            return
        self._rows += row
        self._inputs += inputs

    def _pack_inputs(self, cycle: CycleRecord) -> bytes:
        if cycle.status == CycleStatus.WARMUP:
            return b''
        ids = self._topics
        return b''.join(_INPUT.pack(cycle.slot, ids.setdefault(i.topic, len(ids)), i.stamp_ns,
                                    i.sequence) for i in cycle.inputs)

    def run(self) -> Run:
        """Return the run as recorded so far; made once per change."""
        if self._run is None:
            self._run = self._snapshot()
        return self._run

    def _snapshot(self) -> Run:
        rows = np.frombuffer(bytes(self._rows), ROW)
        warm = rows['status'] == CycleStatus.WARMUP
        schedule, duplicates = _by_slot(rows[~warm])
        found = episodes(self._events)
        slots, gaps, tail = _due(schedule, *window(found), _cut_short(schedule, found))
        return Run(
            slots, gaps, tail, _sorted(rows[warm]), schedule, duplicates,
            self._inputs_of(slots['slot']), found, tuple(sorted(self._events, key=order)),
            self.samples.streams, self._info(), len(self._infos))

    def _inputs_of(self, slots: Ints) -> dict[str, Rows]:
        rows = np.frombuffer(bytes(self._inputs), INPUT)
        rows = rows[np.isin(rows['slot'], slots)]
        return {topic: _by_slot(rows[rows['topic'] == number])[0]
                for topic, number in sorted(self._topics.items())}

    def _info(self) -> RunInfo | None:
        return self._infos[min(self._infos)] if self._infos else None


class TableMetric:
    """A family that reads the table; the scorer shares one table among all of them."""

    def __init__(self, table: RunTable | None = None) -> None:
        self._shared = table is not None
        self._table = RunTable() if table is None else table

    def update(self, record: Record) -> None:
        """Take one record in; the owner of a shared table has done so already."""
        if not self._shared:
            self._table.update(record)

    def compute(self) -> Values:
        """Return the figures over all records so far."""
        return self.values(self._table.run())

    def values(self, run: Run) -> Values:
        """Return the figures of a whole run: a pure function."""
        raise NotImplementedError


def _text(info: RunInfo) -> str:
    fields: dict[str, Any] = {name: getattr(info, name) for name in RunInfo.__slots__}
    return json.dumps(fields, sort_keys=True, default=str)


def _pack(c: CycleRecord) -> bytes:
    oldest = min((i.stamp_ns for i in c.inputs), default=NO_STAMP)
    return _ROW.pack(
        c.slot, c.episode, c.status, c.mode, c.stamp_ns, c.due_ns, c.start_ns, c.infer_start_ns,
        c.infer_end_ns, c.publish_ns, c.publish_system_ns, c.period_ns, c.deadline_ns, oldest,
        c.cpu_ns, c.samples * c.iterations, c.nonfinite,
        c.surprise, c.surprise_threshold)


def _sorted(rows: Rows) -> Rows:
    """Sort by slot, equal slots by content: never by arrival."""
    if np.all(np.diff(rows['slot']) > 0):
        return rows
    keys = [(int(row['slot']), row.tobytes()) for row in rows]
    return rows[sorted(range(len(rows)), key=keys.__getitem__)]


def _by_slot(rows: Rows) -> tuple[Rows, int]:
    """Sort rows by slot and keep one a slot."""
    ordered = _sorted(rows)
    first = np.diff(ordered['slot'], prepend=-1) != 0
    return ordered[first], int(np.sum(~first))


def _due(
    schedule: Rows, start: int | None, end: int | None, cut: NDArray[np.bool_],
) -> tuple[Rows, Ints, int]:
    """Return the due slots, the unrecorded slots before each, and those after the last."""
    stamps = schedule['stamp']
    inside = ~cut
    if start is not None:
        inside &= stamps >= start
    if end is not None:
        inside &= stamps <= end
    rows = schedule[inside]
    gaps = np.diff(schedule['slot'], prepend=schedule['slot'][:1])[inside] - 1
    gaps[:1] = _head(schedule, rows, start)
    return rows, np.maximum(gaps, 0), _tail(schedule, rows, end)


def _cut_short(schedule: Rows, found: tuple[Episode, ...]) -> NDArray[np.bool_]:
    """Say whose plan was withheld because the episode had ended, within the slot's deadline."""
    ends = {e.number: e.end_ns for e in found if e.end_ns is not None}
    withheld = (schedule['status'] == CycleStatus.SKIPPED) & happened(schedule['infer_end'])
    rows = schedule[withheld]
    last = np.array([ends.get(int(n), _NO_END) for n in rows['episode']], np.int64)
    withheld[withheld] = rows['stamp'] + rows['deadline'] > last
    return np.asarray(withheld)


def _head(schedule: Rows, rows: Rows, start: int | None) -> int:
    """Numbered slots before the very first record that lay within the window."""
    if start is None or len(rows) == 0 or schedule['slot'][0] != rows['slot'][0]:
        return 0
    return min(int(rows['slot'][0]), _periods(rows[0], int(rows['stamp'][0]) - start))


def _tail(schedule: Rows, rows: Rows, end: int | None) -> int:
    """Slots the planner owed after its very last record."""
    if end is None or len(rows) == 0 or np.any(schedule['stamp'] > end):
        return 0
    return _periods(rows[-1], end - int(rows['stamp'][-1]))


def _periods(row: np.void, span_ns: int) -> int:
    """Whole periods of a row's schedule in a span, less one for jitter."""
    period = int(row['period'])
    return max(0, span_ns // period - 1) if period > 0 else 0


def happened(times: Ints) -> NDArray[np.bool_]:
    """Say which times came to pass."""
    return np.asarray(times != NEVER_NS)
