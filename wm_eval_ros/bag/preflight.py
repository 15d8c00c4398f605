"""Look a bag over before anything is scored: what is odd is named, what breaks it ends it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import zlib

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag import timing
from wm_eval_ros.bag.decode import header_stamp_ns
from wm_eval_ros.bag.message import Connection
from wm_eval_ros.bag.reader import Bag, record_decoder
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import (
    ClockMode,
    EpisodeEvent,
    EventKind,
    NameEnum,
    NO_SEQUENCE,
    RunInfo,
    TERMINAL,
    Verdict,
)
from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE

#: header and log clock further apart than this are worth a word [ns]
OFFSET_NS = 100_000_000
_NS_PER_MS = 1e6


class Severity(NameEnum):
    """How much a finding weighs."""

    INFO = 'info'
    WARNING = 'warning'
    #: the bag cannot be scored
    ERROR = 'error'


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a bag."""

    severity: Severity
    #: what kind of thing: count, order, gap, lost, clock, repeats, unreadable, run_info, ...
    kind: str
    #: topic it is about, empty: the whole bag
    topic: str
    #: one sentence
    what: str
    #: the figure behind it, in the unit the sentence names
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """ERROR where the bag is broken for scoring, else PASS."""
        broken = any(f.severity is Severity.ERROR for f in self.findings)
        return Verdict.ERROR if broken else Verdict.PASS


@dataclass(slots=True)
class _Series:
    """Times and checksums of one topic; 28 bytes a message."""

    stamped: bool
    log_ns: array[int] = field(default_factory=lambda: array('q'))
    stamp_ns: array[int] = field(default_factory=lambda: array('q'))
    sequence: array[int] = field(default_factory=lambda: array('Q'))
    check: array[int] = field(default_factory=lambda: array('I'))


#: what takes log time, sequence number, checksum and stamp of a message
_Append = Callable[[int], None]
_Adder = tuple[_Append, _Append, _Append, _Append | None]


def preflight(bag: Bag, *, closed_loop: bool = True) -> Preflight:
    """
    Read the bag once and say what is odd about it.

    :param closed_loop: it must hold a run of this package: its info, cycles and episode events
    """
    findings = [_finding('salvage', '', note, Severity.ERROR) for note in bag.notes]
    findings += [_finding('unreadable', topic, why) for topic, why in bag.unreadable.items()]
    series: dict[str, _Series] = {}
    infos: list[RunInfo] = []
    events: list[EpisodeEvent] = []
    try:
        _fill(bag, series, infos, events)
    except BagError as error:
        findings.append(_finding('damaged', '', str(error), Severity.ERROR))
    for topic in sorted(series):
        findings += _look_at(topic, series[topic])
    # events have no rate to keep, and several writers with sequences of their own
    findings = [f for f in findings
                if f.kind not in ('gap', 'lost') or bag.topics[f.topic] != EVENT_TYPE]
    findings += _counts(bag)
    if bag.disorder.count:
        findings.append(_finding('order', '', f'{bag.disorder.count} of {sum(bag.read.values())} '
                                 'messages stand out of log-time order in the file; they are '
                                 'read in order', Severity.INFO, bag.disorder.count))
    if infos and infos[0].clock is not ClockMode.REALTIME:
        # Stamps are simulated time there, log times are not.
        findings = [f for f in findings if f.kind != 'clock']
    if closed_loop:
        findings += [*_run(bag, infos), *_episodes(events)]
    return Preflight(tuple(findings))


def _fill(
    bag: Bag, series: dict[str, _Series], infos: list[RunInfo], events: list[EpisodeEvent],
) -> None:
    adders: dict[Connection, _Adder] = {}
    for connection in bag.connections:
        stamped = bag.decoder.is_stamped(connection.type)
        adders[connection] = _adder(series.setdefault(connection.topic, _Series(stamped)))
    ours = {c: decode for c in bag.connections
            if c.type != CYCLE_TYPE and (decode := record_decoder(c))}
    crc32 = zlib.crc32
    for message in bag.messages():
        log_ns, connection, _, sequence, data = message
        add_log, add_sequence, add_check, add_stamp = adders[connection]
        add_log(log_ns)
        add_sequence(sequence)
        add_check(crc32(data))
        if add_stamp is not None:
            add_stamp(header_stamp_ns(message))
        if connection in ours:
            record = ours[connection](bag.decoder.decode(message))
            (infos if isinstance(record, RunInfo) else events).append(record)


def _adder(series: _Series) -> _Adder:
    return (series.log_ns.append, series.sequence.append, series.check.append,
            series.stamp_ns.append if series.stamped else None)


def _finding(
    kind: str, topic: str, what: str, severity: Severity = Severity.WARNING,
    value: float | None = None,
) -> Finding:
    return Finding(severity, kind, topic, what, value)


def _look_at(topic: str, series: _Series) -> Iterator[Finding]:
    log_ns = np.array(series.log_ns, dtype=np.int64)
    yield from _silences(topic, log_ns)
    if series.stamped and len(log_ns):
        yield from _stamps(topic, np.array(series.stamp_ns, dtype=np.int64), log_ns)
    sequence = np.array(series.sequence, dtype=np.uint64)
    known = sequence[sequence != NO_SEQUENCE]
    if missing := timing.lost(known):
        yield _finding('lost', topic, f'{missing} of {missing + len(known)} messages were '
                       'published and not recorded', value=missing)
    check = np.array(series.check, dtype=np.uint32)
    if same := timing.repeats(check):
        yield _finding('repeats', topic, f'{same} of {len(check)} messages equal the one before '
                       'them to the bit', Severity.INFO, same)


def _silences(topic: str, log_ns: NDArray[np.int64]) -> Iterator[Finding]:
    found = timing.gaps(log_ns)
    interval = timing.median_interval_ns(log_ns)
    if found and interval:
        longest = found[0].duration_ns / _NS_PER_MS
        yield _finding('gap', topic, f'{len(found)} gaps, the longest {longest:.0f} ms where '
                       f'{interval / _NS_PER_MS:.1f} ms is the median interval', value=longest)


def _stamps(
    topic: str, stamps_ns: NDArray[np.int64], log_ns: NDArray[np.int64],
) -> Iterator[Finding]:
    zero = int(np.sum(stamps_ns == 0))
    if zero:
        yield _finding('stamp', topic, f'{zero} of {len(stamps_ns)} header stamps are zero',
                       value=zero)
    if back := timing.steps_back(stamps_ns[stamps_ns != 0]):
        yield _finding('order', topic, f'{back} header stamps are earlier than one before them',
                       value=back)
    offset = timing.offset_ns(stamps_ns, log_ns)
    if offset is not None and abs(offset) > OFFSET_NS:
        yield clock_finding(topic, offset)


def clock_finding(topic: str, offset_ns: int) -> Finding:
    """Name a clock offset: the median of header stamp minus log time."""
    side = 'ahead of' if offset_ns > 0 else 'behind'
    size = abs(offset_ns) / _NS_PER_MS
    text = f'{size:.0f} ms' if size < 1e5 else f'{size / 8.64e7:.1f} days'
    return _finding('clock', topic, f"header stamps are {text} {side} the recorder's clock",
                    value=offset_ns / _NS_PER_MS)


def _counts(bag: Bag) -> Iterator[Finding]:
    for topic, count in bag.declared.items():
        if bag.read[topic] != count:
            yield _finding('count', topic, f'{bag.read[topic]} messages read of {count} declared',
                           Severity.ERROR, bag.read[topic] - count)


def _run(bag: Bag, infos: list[RunInfo]) -> Iterator[Finding]:
    if not infos:
        yield _finding('run_info', '', 'no run info: this is no bag of a run of wm_eval_ros',
                       Severity.ERROR)
    elif any(info != infos[0] for info in infos):
        yield _finding('run_info', '', f'{len(infos)} run infos that differ: more than one run',
                       Severity.ERROR, len(infos))
    types = set(bag.topics.values())
    for type_name in (CYCLE_TYPE, EVENT_TYPE):
        if type_name not in types:
            yield _finding('topics', '', f'no topic of type {type_name}', Severity.ERROR)


def _episodes(events: list[EpisodeEvent]) -> Iterator[Finding]:
    starts = [e.episode for e in events if e.kind == EventKind.START]
    ends = [e.episode for e in events if e.kind in TERMINAL]
    open_ones = sorted(set(starts) - set(ends))
    if open_ones:
        yield _finding('events', '', f'{len(open_ones)} episodes without an end '
                       f'({", ".join(map(str, open_ones[:5]))})', value=len(open_ones))
    for what, numbers in (('start', starts), ('end', ends)):
        if twice := len(numbers) - len(set(numbers)):
            yield _finding('events', '', f'{twice} episodes {what} more than once',
                           Severity.ERROR, twice)
    if orphans := set(ends) - set(starts):
        yield _finding('events', '', f'{len(orphans)} episodes end without a start',
                       Severity.ERROR, len(orphans))
