"""Records as JSON lines, for tools that read nothing else."""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum
import json
from typing import Any

from wm_eval_ros.records import (
    ClockExchange,
    CycleRecord,
    EpisodeEvent,
    LinkEvent,
    Record,
    RecorderStatus,
    RunInfo,
    SampleRecord,
)
from wm_eval_ros.scoring.scorecard import clean

_KINDS = {CycleRecord: 'cycle', EpisodeEvent: 'event', SampleRecord: 'sample', RunInfo: 'run_info',
          RecorderStatus: 'recorder_status', LinkEvent: 'link_event',
          ClockExchange: 'clock_exchange'}


def line(record: Record) -> str:
    """
    Return a record as one line of JSON.

    Enumerations are their names; times that did not come to pass stay -1; what JSON cannot hold
    (NaN) is null.
    """
    found: dict[str, Any] = {'kind': _KINDS[type(record)]}
    for field in fields(record):
        name = 'event' if field.name == 'kind' else field.name
        found[name] = _plain(getattr(record, field.name))
    return json.dumps(found, ensure_ascii=False, allow_nan=False) + '\n'


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, '__dataclass_fields__'):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return clean(value)
