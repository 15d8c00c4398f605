"""What a bag tells of alarms and hand-overs, on the wall clock, whatever the clock of its run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from wm_eval_ros.metrics.perturbations import NUISANCE
from wm_eval_ros.metrics.retrain import RunSummary
from wm_eval_ros.records import CycleRecord, EpisodeEvent, EventKind, TAKEN_OVER

if TYPE_CHECKING:
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.scoring.evidence import Evidence


@dataclass(frozen=True)
class Watched:
    """Alarms of one run; an alarm counts from the shift on, where there is one."""

    episodes: int
    #: episodes with an alarm
    alarmed: int
    #: episodes in which somebody took over from the planner
    handed_over: int
    #: time from the shift to the first alarm of an episode, median over those with one [s, ROS]
    delay_s: float | None
    #: first message of the bag, onset of the first shift, first alarm after it [ns, system]
    begin_ns: int
    shift_ns: int | None
    alarm_ns: int | None
    #: label of the first shift
    shift: str


def watch_bag(bag: Path) -> Watched:
    """
    Read alarms and hand-overs of a bag.

    A stamp of simulated time says nothing of how long somebody waited: the times are those at
    which the recorder took the messages.
    """
    from wm_eval_ros.bag.reader import open_bag
    fold = _Fold()
    with open_bag(bag) as opened:
        for log_ns, record in _records(opened):
            fold.update(log_ns, record)
    return fold.result()


def _records(bag: Bag) -> list[tuple[int, CycleRecord | EpisodeEvent]]:
    from wm_eval_ros.wire.codec import cycle_from_msg, CYCLE_TYPE, event_from_msg, EVENT_TYPE
    kinds = {t: kind for t, kind in bag.topics.items() if kind in (CYCLE_TYPE, EVENT_TYPE)}
    found: list[tuple[int, CycleRecord | EpisodeEvent]] = []
    for raw, msg in bag.decoded(kinds):
        decode = cycle_from_msg if kinds[raw.topic] == CYCLE_TYPE else event_from_msg
        found.append((raw.log_ns, decode(msg)))
    # events of one instant before its cycle: the onset of a shift before the slot that meets it
    return sorted(found, key=lambda pair: (pair[1].stamp_ns, isinstance(pair[1], CycleRecord)))


class _Fold:
    """State of :func:`watch_bag`; records come in the order of their stamps."""

    def __init__(self) -> None:
        self.logs: list[int] = []
        self.started: set[int] = set()
        self.taken: set[int] = set()
        self.onsets: dict[int, int] = {}
        #: episodes with an alarm before any shift
        self.calm: set[int] = set()
        self.alarms: dict[int, int] = {}
        self.shift_ns: int | None = None
        self.alarm_ns: int | None = None
        self.shift = ''

    def update(self, log_ns: int, record: CycleRecord | EpisodeEvent) -> None:
        self.logs.append(log_ns)
        if isinstance(record, CycleRecord):
            self._cycle(log_ns, record)
        elif record.kind is EventKind.START:
            self.started.add(record.episode)
        elif record.kind in TAKEN_OVER:
            self.taken.add(record.episode)
        elif record.kind is EventKind.PERTURB_ON and not record.label.startswith(NUISANCE):
            self.onsets.setdefault(record.episode, record.stamp_ns)
            if self.shift_ns is None:
                self.shift_ns, self.shift = log_ns, record.label

    def _cycle(self, log_ns: int, cycle: CycleRecord) -> None:
        if not cycle.surprise > cycle.surprise_threshold:
            return
        if cycle.episode not in self.onsets:
            self.calm.add(cycle.episode)
            return
        self.alarms.setdefault(cycle.episode, cycle.stamp_ns)
        if self.alarm_ns is None:
            self.alarm_ns = log_ns

    def result(self) -> Watched:
        delays = [stamp - self.onsets[e] for e, stamp in self.alarms.items()]
        alarmed = self.calm if self.shift_ns is None else self.alarms.keys()
        return Watched(len(self.started), len(alarmed), len(self.taken & self.started),
                       median(delays) / 1e9 if delays else None, min(self.logs, default=0),
                       self.shift_ns, self.alarm_ns, self.shift)


def run_summary(watched: Watched, evidence: Evidence) -> RunSummary:
    """Return what a run tells about retraining, as the metric of that name wants it."""
    counted = [e for e in evidence.episodes if e.decided]
    good, model = sum(e.succeeded for e in counted), evidence.manifest.get('model') or {}
    under = {} if watched.shift_ns is None else {watched.shift: (good, len(counted))}
    return RunSummary(
        watched.begin_ns, good, len(counted), str(model.get('sha256', '')),
        model.get('trained_at_ns'), model.get('train_cpu_s'), watched.shift_ns, watched.shift,
        watched.alarm_ns, under)
