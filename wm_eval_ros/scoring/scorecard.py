"""The scorecard: what was run, every figure, and nothing a reader has to trust blindly."""

from __future__ import annotations

from dataclasses import dataclass, field
import json
import math
from typing import Any

from wm_eval_ros.metrics.task import DECIDED
from wm_eval_ros.records import EventKind, Interval, MetricValue, RunInfo
from wm_eval_ros.scoring import typed
from wm_eval_ros.scoring.typed import check_types

#: layout of scorecard.json; raised whenever a reader of the old layout would misread the new
SCORECARD_SCHEMA = 1
#: fields of the manifest that name the occasion and not what was run
PROVENANCE = ('run_id', 'host')
_SUCCESS = EventKind.SUCCESS.name.lower()
_DECIDED = frozenset(kind.name.lower() for kind in DECIDED)


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """One episode in one line."""

    episode: int
    #: success, failure, timeout, abort or open
    outcome: str
    seed: int | None
    solved_at_start: bool
    #: control periods and task time to the end [s]; None while open
    steps: int | None
    time_s: float | None
    #: slots that were due in it, and how many of them were missed
    slots: int
    misses: int
    label: str = ''
    #: somebody but the planner drove in it; None: in shadow mode, or of a version that did not
    #: look
    aided: bool | None = None

    @property
    def decided(self) -> bool:
        """Say whether its end tells if the task was done: an abort or open episode does not."""
        return self.outcome in _DECIDED

    @property
    def helped(self) -> bool:
        """Say whether it counts as solved and somebody else than the planner drove as well."""
        return self.outcome == _SUCCESS and self.aided is True and not self.solved_at_start


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Every figure of one run."""

    #: what was run, without the occasion; empty where the record holds no manifest
    manifest: dict[str, Any]
    #: run id and host
    provenance: dict[str, Any]
    #: figures two equal runs agree on, in a fixed order
    values: tuple[MetricValue, ...]
    #: figures of this host or listener: CPU time, split of unused samples, real-time factor
    host: tuple[MetricValue, ...]
    episodes: tuple[EpisodeResult, ...] = ()
    #: records read, by kind; samples by topic
    counts: dict[str, int] = field(default_factory=dict)
    schema_version: int = SCORECARD_SCHEMA

    def __getitem__(self, name: str) -> MetricValue:
        """
        Return the figure of that name.

        :raises KeyError: there is none
        """
        for value in (*self.values, *self.host):
            if value.name == name:
                return value
        raise KeyError(name)

    def identity(self) -> dict[str, Any]:
        """Return the part on which two equal runs, and live and offline scoring, agree."""
        return {
            'schema_version': self.schema_version,
            'manifest': self.manifest,
            'values': [value_json(v) for v in self.values],
            'episodes': [{name: getattr(e, name) for name in EpisodeResult.__slots__}
                         for e in self.episodes],
        }

    def identity_bytes(self) -> bytes:
        """Return that part as canonical JSON: equal results are equal bytes."""
        return canonical(self.identity()).encode()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole scorecard in JSON's own types."""
        return {**self.identity(), 'host': [value_json(v) for v in self.host],
                'provenance': self.provenance, 'counts': self.counts}

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline."""
        return canonical(self.to_dict()) + '\n'


def canonical(data: Any) -> str:
    """Return JSON with sorted keys; a number JSON cannot hold becomes null."""
    return json.dumps(clean(data), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def clean(data: Any) -> Any:
    """Turn enumerations, tuples and numpy values into JSON's own types, non-finite into null."""
    if isinstance(data, dict):
        return {str(key): clean(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [clean(value) for value in data]
    if hasattr(data, 'tolist'):
        return clean(data.tolist())
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, str):
        return str(data)
    return data if data is None or isinstance(data, (bool, int)) else str(data)


def value_json(value: MetricValue) -> dict[str, Any]:
    """Return a figure as JSON; a bound of null is one the data does not reach."""
    found: dict[str, Any] = {name: getattr(value, name) for name in MetricValue.__slots__}
    if value.interval is not None:
        found['interval'] = value.interval._asdict()
    return {key: clean(entry) for key, entry in found.items()}


def value_from_json(data: dict[str, Any]) -> MetricValue:
    """Read a figure back."""
    interval = data['interval']
    if interval is not None:
        high = math.inf if interval['high'] is None else interval['high']
        low = -math.inf if interval['low'] is None else interval['low']
        interval = Interval(low, high, interval['confidence'], interval['method'])
    return MetricValue(data['name'], data['value'], data['unit'], data['n'], interval,
                       data['why'])


def split_manifest(info: RunInfo | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Split the run's manifest into what was run and on which occasion.

    :raises BagError: a field is of another type than it has
    """
    if info is None:
        return {}, {}
    every = {name: clean(getattr(info, name)) for name in RunInfo.__slots__}
    occasion = {name: every.pop(name) for name in PROVENANCE}
    check_types(every, typed.MANIFEST, 'the manifest of the run')
    check_types(occasion, typed.PROVENANCE, 'the manifest of the run')
    return every, occasion
