"""A run as flat tables: slots, inputs, episodes, events, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Bools, Ints, NS_PER_MS
from wm_eval_ros.metrics.rows import happened, NO_STAMP, Rows
from wm_eval_ros.metrics.schedule import met
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import CycleStatus, MetricValue, Mode, NEVER_NS, NO_SEQUENCE
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard

#: layout of the tables; raised whenever a reader of the old layout would misread the new
TABLES_SCHEMA = 1

#: columns of a slot: name in the table -> field of the packed row, and the value that means none
_INTEGERS = {
    'slot': ('slot', None), 'episode': ('episode', None), 'stamp_ns': ('stamp', None),
    'due_ns': ('due', NEVER_NS), 'start_ns': ('start', NEVER_NS),
    'infer_start_ns': ('infer_start', NEVER_NS), 'infer_end_ns': ('infer_end', NEVER_NS),
    'publish_ns': ('publish', NEVER_NS), 'publish_system_ns': ('publish_system', NEVER_NS),
    'period_ns': ('period', None), 'deadline_ns': ('deadline', None),
    'oldest_input_stamp_ns': ('oldest', NO_STAMP), 'cpu_ns': ('cpu', None),
    'peak_memory_bytes': ('memory', NEVER_NS), 'energy_uj': ('energy', NEVER_NS),
    'horizon': ('horizon', None), 'model_calls': ('calls', None),
    'nonfinite_rollouts': ('nonfinite', None)}


@dataclass(frozen=True, slots=True)
class Column:
    """Values and which of them are missing."""

    values: NDArray[Any] | Sequence[Any]
    #: True where there is no value; None: nowhere
    absent: Bools | None = None


Table = Mapping[str, Column]


def tables(card: Scorecard, run: Run) -> dict[str, Table]:
    """Return all tables of a run, by name."""
    return {'slots': slots(run), 'inputs': inputs(run), 'episodes': episodes(card.episodes),
            'events': events(run), 'metrics': metrics(card)}


def slots(run: Run) -> Table:
    """Return one row for every recorded slot, warm-up and slots out of the window too."""
    rows = np.concatenate([run.warmup, run.schedule])
    scheduled = np.arange(len(rows)) >= len(run.warmup)
    due = scheduled & np.isin(rows['slot'], run.slots['slot'])
    found: dict[str, Column] = {name: _integers(rows[field], none)
                                for name, (field, none) in _INTEGERS.items()
                                if field in (rows.dtype.names or ())}
    found['status'] = Column([CycleStatus(s).name for s in rows['status'].tolist()])
    found['mode'] = Column([Mode(m).name for m in rows['mode'].tolist()])
    found['is_due'] = Column(due)
    found['deadline_met'] = Column(met(rows), ~scheduled)
    found |= {name: Column(rows[field], ~np.isfinite(rows[field])) for name, field in (
        ('surprise', 'surprise'), ('surprise_threshold', 'threshold'))}
    return found | _durations(rows)


def _integers(values: Ints, none: int | None) -> Column:
    return Column(values, None if none is None else values == none)


def _durations(rows: Rows) -> dict[str, Column]:
    """Return the durations within a slot, by the formulas of the scorecard [ms]."""
    spans = {'plan_latency_ms': ('infer_start', 'infer_end'),
             'decision_latency_ms': ('start', 'publish'), 'release_jitter_ms': ('due', 'start')}
    found = {}
    for name, (begin, end) in spans.items():
        known = happened(rows[begin]) & happened(rows[end])
        found[name] = Column((rows[end] - rows[begin]) / NS_PER_MS, ~known)
    # both on the clock of the stamps: the system's clock in real time, else the simulated one
    known = happened(rows['publish_system']) & (rows['oldest'] != NO_STAMP)
    oldest = np.where(known, rows['oldest'], 0)
    found['sense_to_act_ms'] = Column((rows['publish_system'] - oldest) / NS_PER_MS, ~known)
    return found


def inputs(run: Run) -> Table:
    """Return one row for every sample that a due slot used."""
    topics = [(topic, rows) for topic, rows in run.inputs.items() if len(rows)]
    rows = np.concatenate([r for _, r in topics]) if topics else None
    if rows is None:
        empty = np.zeros(0, np.int64)
        return {'slot': Column(empty), 'topic': Column([]), 'stamp_ns': Column(empty),
                'sequence': Column(np.zeros(0, np.uint64))}
    return {'slot': Column(rows['slot']),
            'topic': Column([topic for topic, own in topics for _ in range(len(own))]),
            'stamp_ns': Column(rows['stamp']),
            'sequence': Column(rows['sequence'], rows['sequence'] == np.uint64(NO_SEQUENCE))}


def episodes(found: Sequence[EpisodeResult]) -> Table:
    """Return one row an episode."""
    return {name: _optional([getattr(e, name) for e in found], kind) for name, kind in (
        ('episode', np.int64), ('outcome', str), ('seed', np.int64), ('solved_at_start', bool),
        ('steps', np.int64), ('time_s', np.float64), ('slots', np.int64), ('misses', np.int64),
        ('label', str))}


def events(run: Run) -> Table:
    """Return one row an event, in order of time."""
    found = run.events
    return {'stamp_ns': Column(np.array([e.stamp_ns for e in found], np.int64)),
            'episode': Column(np.array([e.episode for e in found], np.int64)),
            'kind': Column([e.kind.name for e in found]),
            'label': Column([e.label for e in found]),
            'value': _optional([e.value for e in found], np.float64),
            'source': Column([e.source for e in found])}


def metrics(card: Scorecard) -> Table:
    """Return one row a figure of the scorecard."""
    found = (*card.values, *card.host)
    ends = [v.interval for v in found]
    return {'name': Column([v.name for v in found]),
            'value': _optional([v.value for v in found], np.float64),
            'unit': Column([v.unit for v in found]),
            'n': Column(np.array([v.n for v in found], np.int64)),
            'low': _optional([e and e.low for e in ends], np.float64),
            'high': _optional([e and e.high for e in ends], np.float64),
            'confidence': _optional([e and e.confidence for e in ends], np.float64),
            'method': Column([e.method if e else '' for e in ends]),
            'why': Column([v.why for v in found]),
            'group': Column(_groups(card.values, card.host))}


def _groups(values: Sequence[MetricValue], host: Sequence[MetricValue]) -> list[str]:
    return ['values'] * len(values) + ['host'] * len(host)


def _optional(values: Sequence[Any], kind: type) -> Column:
    """Return values of which some are None, in the type the column has without them."""
    absent = np.array([v is None for v in values], bool)
    if kind is str:
        return Column(['' if v is None else v for v in values], absent)
    return Column(np.array([kind(0) if v is None else v for v in values], kind), absent)
