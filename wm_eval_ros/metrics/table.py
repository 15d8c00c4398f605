"""The run as a table: one packed row a slot, shared by all families of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
import json
import struct
from typing import Any

import numpy as np

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import Ints, Values
from wm_eval_ros.metrics.clock import in_host_time
from wm_eval_ros.metrics.driven import Driven, driven
from wm_eval_ros.metrics.due import due_slots
from wm_eval_ros.metrics.episodes import Episode, episodes, order
from wm_eval_ros.metrics.link_log import Link, LinkLog
from wm_eval_ros.metrics.pairing import Pairing
from wm_eval_ros.metrics.perturbations import Applied, applied
from wm_eval_ros.metrics.rows import (
    in_order,
    INPUT,
    one_a_slot,
    pack_input,
    pack_row,
    ROW,
    RowBuffer,
    Rows,
)
from wm_eval_ros.metrics.samples import SampleLog, Stream
from wm_eval_ros.metrics.score_log import ScoreLog
from wm_eval_ros.metrics.spells import Spell, spells
from wm_eval_ros.metrics.vectors import PlanSample, StateSample
from wm_eval_ros.records import (
    ClockExchange,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    LinkEvent,
    Record,
    RecorderStatus,
    RUN_INFO_SCHEMA,
    RunInfo,
    SampleRecord,
)


@dataclass
class Vectors:
    """What is kept of the vectors of the slots; it grows with the record."""

    #: errors of imagined latents against the encoded ones, of every slot
    pairing: Pairing = field(default_factory=Pairing)
    #: latents, observations and commands of a sample of the slots
    states: StateSample = field(default_factory=StateSample)
    #: rollouts and their predicted spread, of a sample of the slots
    plans: PlanSample = field(default_factory=PlanSample)
    #: raw score streams, of every slot
    scores: ScoreLog = field(default_factory=ScoreLog)

    def update(self, cycle: CycleRecord) -> None:
        """Take one cycle of the schedule in; warm-up calls are none."""
        if cycle.scores:
            self.scores.update(cycle)
        if cycle.latent is not None:
            self.pairing.update(cycle)
            self.states.update(cycle)
            self.plans.update(cycle)


@dataclass(frozen=True)
class Run:
    """All that was recorded of a run, in an order of its own making."""

    #: slots that count as due and have a record, by slot number; fields as in ROW
    slots: Rows
    #: slots without a record just before each of those, shape (N,)
    gaps: Ints
    #: episode -> slots without a record after its last one, or all of them where it has none
    tails: Mapping[int, int]
    warmup: Rows
    #: all recorded slots of the schedule, also those outside the window
    schedule: Rows
    #: records of a slot that already had one
    duplicates: int
    #: topic -> the samples used in due slots, by slot; fields as in INPUT
    inputs: Mapping[str, Rows]
    episodes: tuple[Episode, ...]
    #: in order of time
    events: tuple[EpisodeEvent, ...]
    #: what passed by; grows with the record
    samples: Mapping[str, Stream]
    #: grows with the record
    vectors: Vectors
    #: what crossed the link to a device under test
    link: Link
    info: RunInfo | None
    #: differing manifests seen
    manifests: int

    @property
    def tail(self) -> int:
        """Return the slots without a record after the last one of their episode."""
        return sum(self.tails.values())

    @property
    def unrecorded(self) -> int:
        """Return the number of due slots without a record."""
        return int(np.sum(self.gaps)) + self.tail

    @property
    def due(self) -> int:
        """Return the number of slots that were due, recorded or not."""
        return len(self.slots) + self.unrecorded

    @property
    def period_ns(self) -> int | None:
        """Return the control period, from the manifest or else from the slots."""
        return _period(self.info, self.schedule)

    @cached_property
    def extent(self) -> tuple[int, int] | None:
        """Return begin and end of what was recorded [ns, ROS]; None where nothing was."""
        stamps = [e.stamp_ns for e in self.events]
        if len(self.slots):
            stamps += [int(self.slots['stamp'].min()), int(self.slots['stamp'].max())]
        return (min(stamps), max(stamps)) if stamps else None

    def spells(self, kinds: tuple[EventKind, EventKind]) -> list[Spell]:
        """Return begin and end [ns, ROS] of each spell between two kinds of event, in order."""
        return spells(self.events, *kinds, self._last_ns)

    @property
    def _last_ns(self) -> int:
        return self.extent[1] if self.extent is not None else 0

    @cached_property
    def applied(self) -> dict[int, tuple[Applied, ...]]:
        """Return the perturbations of each episode that had any, in order of time."""
        return applied(self.events, self.episodes, self._last_ns)

    @cached_property
    def driven(self) -> Driven:
        """Return in which slots the planner's own command was in force."""
        return driven(self.slots, self.events, self.episodes, self._last_ns)


class RunTable:
    """Fold of every record into compact rows."""

    def __init__(self) -> None:
        self.samples = SampleLog()
        self.vectors = Vectors()
        self._link = LinkLog()
        #: cycles with a number that 64 bits do not hold
        self.malformed = 0
        #: messages that the recorder received and did not keep, by topic
        self.dropped: Counter[str] = Counter()
        self._rows, self._warmup, self._inputs = RowBuffer(ROW), RowBuffer(ROW), RowBuffer(INPUT)
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
        elif isinstance(record, RecorderStatus):
            self._add_status(record)
        elif isinstance(record, LinkEvent | ClockExchange):
            self._add_link(record)
        else:
            self._add_info(record)

    def _add_status(self, status: RecorderStatus) -> None:
        # the counts only grow: the order of the statuses does not matter
        for topic, count in zip(status.topics, status.dropped, strict=False):
            self.dropped[topic] = max(self.dropped[topic], count)

    def _add_link(self, record: LinkEvent | ClockExchange) -> None:
        try:
            self._link.update(record)
        except struct.error:
            self.malformed += 1

    def _add_info(self, info: RunInfo) -> None:
        if info.schema_version > RUN_INFO_SCHEMA:
            raise BagError(
                f'the run was recorded with schema {info.schema_version}, this version reads up '
                f'to {RUN_INFO_SCHEMA}: install wm_eval_ros {info.package_version} or newer')
        self._infos[_text(info)] = info

    def _add_cycle(self, cycle: CycleRecord) -> None:
        try:
            row = pack_row(cycle)
            if cycle.status == CycleStatus.WARMUP:
                self._warmup.append(row)
                return
            inputs = self._pack_inputs(cycle)
        except struct.error:
            self.malformed += 1
            return
        self._rows.append(row)
        self._inputs.append(inputs)
        self.vectors.update(cycle)

    def _pack_inputs(self, cycle: CycleRecord) -> bytes:
        ids = self._topics
        return b''.join(pack_input(cycle.slot, ids.setdefault(i.topic, len(ids)), i)
                        for i in cycle.inputs)

    def run(self) -> Run:
        """Return the run as recorded so far; made once per change."""
        if self._run is None:
            self._run = self._snapshot()
        return self._run

    def _snapshot(self) -> Run:
        schedule, duplicates = one_a_slot(self._rows.rows())
        link = self._link.link()
        schedule = in_host_time(schedule, link.exchanges)
        found, info = episodes(self._events), self._info()
        due = due_slots(schedule, found, _period(info, schedule))
        return Run(
            due.slots, due.gaps, due.tails, in_order(self._warmup.rows()), schedule, duplicates,
            self._inputs_of(due.slots['slot']), found, tuple(sorted(self._events, key=order)),
            self.samples.streams, self.vectors, link, info, len(self._infos))

    def _inputs_of(self, slots: Ints) -> dict[str, Rows]:
        rows = self._inputs.rows()
        rows = rows[np.isin(rows['slot'], slots)]
        return {topic: one_a_slot(rows[rows['topic'] == number])[0]
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


def _period(info: RunInfo | None, schedule: Rows) -> int | None:
    if info is not None and info.period_ns > 0:
        return info.period_ns
    known = schedule['period'][schedule['period'] > 0]
    return int(np.min(known)) if len(known) else None
