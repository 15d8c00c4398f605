"""Whether what a bag says of a run is whole, and of one piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from wm_eval_ros.bag.clocks import SystemClock
from wm_eval_ros.bag.findings import error, Finding, info, NS_PER_MS, NS_PER_S, warning
from wm_eval_ros.bag.recorder_checks import RecorderChecks
from wm_eval_ros.bag.watch import RATE_SHARE, TopicWatch
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Record,
    RecorderStatus,
    RunInfo,
    TERMINAL,
)
from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE
from wm_eval_ros.wire.topics import PLANNER_CYCLE, proposed

#: what begins and what ends something within a run
_PAIRS = (
    ('perturbation', EventKind.PERTURB_ON, EventKind.PERTURB_OFF),
    ('degraded', EventKind.DEGRADED_ON, EventKind.DEGRADED_OFF),
    ('fallback', EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF),
    ('stopped', EventKind.STOPPED_ON, EventKind.STOPPED_OFF),
    ('intervention', EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF),
)
_NAMED = 5


class RunChecks:
    """Fold of the run's own records; keeps a few numbers an episode."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._infos: list[RunInfo] = []
        self._starts: Counter[int] = Counter()
        self._ends: Counter[int] = Counter()
        self._events: Counter[tuple[EventKind, str]] = Counter()
        self._slots = _Slots()
        self._clock = SystemClock()
        self._recorder = RecorderChecks()

    @property
    def simulated(self) -> bool:
        """Whether stamps are simulated time, which no log time compares to."""
        return bool(self._infos) and self._infos[0].clock is not ClockMode.REALTIME

    def commands(self) -> frozenset[str]:
        """Return the topics of commands, which pause between episodes and are judged by slots."""
        topic = _at(self._infos[0].settings, 'interface', 'command', 'topic') if (
            self._infos) else None
        declared = {topic, proposed(topic)} if isinstance(topic, str) else set()
        return frozenset(name.strip('/') for name in declared | self._slots.commands)

    def add(self, record: Record) -> None:
        """Take a record in; samples say nothing of the run."""
        if isinstance(record, CycleRecord):
            self._slots.add(record)
            if record.status != CycleStatus.WARMUP:
                self._clock.add(record)
        elif isinstance(record, EpisodeEvent):
            self._add_event(record)
        elif isinstance(record, RecorderStatus):
            self._recorder.add(record)
        elif isinstance(record, RunInfo) and (
                len(self._infos) < _NAMED and record not in self._infos):
            self._infos.append(record)

    def findings(
        self, types: Mapping[str, str], watches: Mapping[str, TopicWatch], start_ns: int,
    ) -> Iterator[Finding]:
        """
        Yield what is odd about the run.

        :param types: message type by topic
        :param watches: by topic
        """
        yield from self._manifest(types)
        yield from self._rates(watches)
        yield from self._episodes()
        yield from self._pairs()
        yield from self._recorder.findings()
        if not self.simulated:
            yield from self._clock.findings(start_ns)

    def _add_event(self, event: EpisodeEvent) -> None:
        if event.kind == EventKind.START:
            self._starts[event.episode] += 1
        elif event.kind in TERMINAL:
            self._ends[event.episode] += 1
        else:
            label = event.label if event.kind in _PAIRS[0] else ''
            self._events[event.kind, label] += 1

    def _manifest(self, types: Mapping[str, str]) -> Iterator[Finding]:
        if not self._infos:
            yield error('run_info', '', 'no run info: this is no bag of a run of wm_eval_ros')
        elif len(self._infos) > 1:
            names = [name for name in RunInfo.__slots__
                     if getattr(self._infos[0], name) != getattr(self._infos[1], name)]
            yield error('run_info', '', f'{len(self._infos)} run infos that differ in '
                        f'{", ".join(names[:_NAMED])}: more than one run', len(self._infos))
        for type_name in (CYCLE_TYPE, EVENT_TYPE):
            if type_name not in types.values():
                yield error('topics', '', f'no topic of type {type_name}')

    def _rates(self, watches: Mapping[str, TopicWatch]) -> Iterator[Finding]:
        if not self._infos:
            return
        manifest = self._infos[0]
        yield from self._slots.findings(manifest.period_ns)
        for topic, declared in _declared_rates(manifest).items():
            named = [w for name, w in watches.items() if name.strip('/') == topic.strip('/')]
            interval = named[0].pace.interval_ns if named else None
            if interval is not None:
                yield from _off(named[0].topic, NS_PER_S / interval, declared)

    def _episodes(self) -> Iterator[Finding]:
        open_ones = sorted(self._starts.keys() - self._ends.keys())
        if open_ones:
            yield warning('events', '', f'{len(open_ones)} episodes without an end '
                          f'({", ".join(map(str, open_ones[:_NAMED]))})', len(open_ones))
        for what, numbers in (('start', self._starts), ('end', self._ends)):
            if twice := numbers.total() - len(numbers):
                yield error('events', '', f'{twice} episodes {what} more than once', twice)
        if orphans := self._ends.keys() - self._starts.keys():
            yield error('events', '', f'{len(orphans)} episodes end without a start',
                        len(orphans))

    def _pairs(self) -> Iterator[Finding]:
        for what, on, off in _PAIRS:
            labels = {label for kind, label in self._events if kind in (on, off)}
            surplus = {label: self._events[on, label] - self._events[off, label]
                       for label in labels}
            for label, count in sorted(surplus.items()):
                name = f'{what} {label}'.strip()
                if count > 0:
                    yield info('events', '', f'{count} x {name} without an end', count)
                elif count < 0:
                    yield warning('events', '', f'{-count} x {name} ends without a begin', -count)


class _Slots:
    """The schedule as recorded: how many slots an episode has, and over which time."""

    def __init__(self) -> None:
        self.periods: Counter[int] = Counter()
        self.commands: set[str] = set()
        #: first and last due time [ns, steady] and number of slots, by episode
        self._episodes: dict[int, tuple[int, int, int]] = {}

    def add(self, cycle: CycleRecord) -> None:
        if cycle.status == CycleStatus.WARMUP:
            return
        self.periods[cycle.period_ns] += 1
        if cycle.command_topic and len(self.commands) < _NAMED:
            self.commands.add(cycle.command_topic)
        due = cycle.due_ns
        first, last, count = self._episodes.get(cycle.episode, (due, due, 0))
        self._episodes[cycle.episode] = (min(first, due), max(last, due), count + 1)

    def findings(self, period_ns: int) -> Iterator[Finding]:
        others = {period: n for period, n in self.periods.items() if period != period_ns}
        if others:
            text = ', '.join(f'{period / NS_PER_MS:g} ms' for period in sorted(others)[:_NAMED])
            yield warning('run_info', '', f'{sum(others.values())} slots of a period of {text} '
                          f'where the run info says {period_ns / NS_PER_MS:g} ms',
                          sum(others.values()))
            return
        spans = sum(last - first for first, last, _ in self._episodes.values())
        steps = sum(count - 1 for _, _, count in self._episodes.values())
        if spans > 0 and steps > 0 and period_ns > 0:
            yield from _off(f'/{PLANNER_CYCLE}', steps * NS_PER_S / spans, NS_PER_S / period_ns)


def _off(topic: str, found: float, declared: float) -> Iterator[Finding]:
    """Yield a rate that is off; exactly a tenth is not."""
    share = found / declared - 1
    if abs(share) > RATE_SHARE:
        yield warning('rate', topic, f'{found:.1f} Hz where {declared:.1f} Hz are declared',
                      share)


def _declared_rates(manifest: RunInfo) -> dict[str, float]:
    """Return the rates of the topics that the scenario gives one; simulated time has none."""
    if manifest.clock is not ClockMode.REALTIME:
        return {}
    hz = _at(manifest.settings, 'plant', 'observation_hz')
    streams = _at(manifest.settings, 'interface', 'observations')
    if not isinstance(hz, (int, float)) or hz <= 0 or not isinstance(streams, (list, tuple)):
        return {}
    topics = (_at(stream, 'topic') for stream in streams)
    return {topic: float(hz) for topic in topics if isinstance(topic, str)}


def _at(settings: Any, *keys: str) -> Any:
    """Return an entry of nested settings, None where there is none: they come from a file."""
    for key in keys:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings
