"""
Look a bag over: what is odd is named, what breaks it ends it.

A fold, so that it shares the one pass over the bag with whatever else reads it; its memory does
not grow with the bag.
"""

from __future__ import annotations

from collections.abc import Iterator

from wm_eval_ros.bag.clocks import (
    clock_finding,
    file_order,
    log_times,
    offsets,
    stamp_steps,
)
from wm_eval_ros.bag.decode import is_service_event
from wm_eval_ros.bag.findings import (
    duration,
    error,
    Finding,
    info,
    named,
    Preflight,
    Severity,
    warning,
)
from wm_eval_ros.bag.message import Connection
from wm_eval_ros.bag.reader import Bag, Part, record_decoder
from wm_eval_ros.bag.recorder_checks import last_word
from wm_eval_ros.bag.run_checks import RunChecks
from wm_eval_ros.bag.seal import RECORD as SEAL_RECORD
from wm_eval_ros.bag.watch import TopicWatch
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Record
from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE, METRICS_TYPE, STATUS_TYPE

__all__ = ['Finding', 'Inspection', 'Preflight', 'Severity', 'clock_finding', 'preflight']

_BYTES_PER_MB = 1e6
#: types of topics to which several nodes write, each with sequence numbers of its own, and only
#: when something happens
_SEVERAL_WRITERS = frozenset({
    EVENT_TYPE, 'rcl_interfaces/msg/Log', 'rcl_interfaces/msg/ParameterEvent'})
#: types of topics whose log times keep no rate; slots are judged by the schedule
_UNPACED = _SEVERAL_WRITERS | {CYCLE_TYPE, METRICS_TYPE, STATUS_TYPE}


class Inspection:
    """What is odd about one bag, while it is read."""

    def __init__(self, bag: Bag, *, closed_loop: bool = True) -> None:
        """
        Begin.

        :param closed_loop: it must hold a run of this package: its info, cycles and episode events
        """
        self._bag = bag
        self._closed_loop = closed_loop
        self._watches: dict[str, TopicWatch] = {}
        self._run = RunChecks()
        self._broken: dict[str, tuple[int, str]] = {}

    def add(self, part: Part) -> None:
        """Take messages of one connection in, in the order they are read."""
        topic = part.connection.topic
        watch = self._watches.get(topic)
        if watch is None:
            watch = self._watches[topic] = TopicWatch(topic)
        watch.add(part.columns, part.stamps_ns)

    def add_record(self, record: Record) -> None:
        """Take a decoded record of the run in."""
        self._run.add(record)

    def add_broken(self, connection: Connection, what: BagError) -> None:
        """Take a message of the run in that does not decode."""
        count, first = self._broken.get(connection.topic, (0, str(what)))
        self._broken[connection.topic] = (count + 1, first)

    def result(self) -> Preflight:
        """Return what was found; the bag must have been read to its end."""
        if (told := last_word(self._bag)) is not None:
            self._run.add(told)
        return Preflight(tuple(self._findings()))

    def _findings(self) -> Iterator[Finding]:
        bag, watches = self._bag, [self._watches[topic] for topic in sorted(self._watches)]
        start_ns = min((watch.pace.first_ns for watch in watches), default=0)
        simulated = self._run.simulated
        yield from _read(bag)
        for topic, (count, what) in self._broken.items():
            yield error('damaged', topic, f'{count} messages do not decode, the first: {what}',
                        count)
        yield from _unreadable(bag, closed_loop=self._closed_loop)
        commands = self._run.commands()
        for watch in watches:
            kind = bag.topics[watch.topic]
            paced = kind not in _UNPACED and watch.topic.strip('/') not in commands
            yield from watch.findings(start_ns, simulated=simulated, paced=paced,
                                      numbered=kind not in _SEVERAL_WRITERS)
        yield from _counts(bag)
        yield from log_times(watches)
        yield from file_order(bag.disorder, start_ns)
        yield from _order(bag)
        if self._closed_loop:
            yield from _sealed(bag)
        if not simulated:
            yield from offsets(watches)
            yield from stamp_steps(watches, start_ns)
        if self._closed_loop:
            yield from self._run.findings(bag.topics, self._watches, start_ns)


def preflight(bag: Bag, *, closed_loop: bool = True) -> Preflight:
    """
    Read the bag once and say what is odd about it.

    :param closed_loop: it must hold a run of this package: its info, cycles and episode events
    """
    inspection = Inspection(bag, closed_loop=closed_loop)
    ours = {c: decode for c in bag.connections if (decode := record_decoder(c))
            and (closed_loop or c.type != CYCLE_TYPE)}
    try:
        for part in bag.parts():
            inspection.add(part)
            if (decode := ours.get(part.connection)) is not None:
                for message in part.messages():
                    inspection.add_record(decode(bag.decoder.decode(message)))
    except BagError as problem:
        found = inspection.result().findings
        return Preflight((error('damaged', '', str(problem)), *found))
    return inspection.result()


def _read(bag: Bag) -> Iterator[Finding]:
    """Say how much was read, and what is missing."""
    read, declared = sum(bag.read.values()), sum(bag.declared.values())
    if not bag.notes:
        held = '' if bag.unchecked else ', and every checksum holds'
        yield info('read', '', f'{read} messages of {len(bag.topics)} topics were read to the '
                   f'end, {bag.size / _BYTES_PER_MB:.3f} MB{held}', read)
        return
    of = f' of {declared} declared' if declared >= read else ''
    size, lost = bag.size, bag.lost_bytes
    yield error('salvage', '', f'salvaged: {read} messages{of}, '
                f'{(size - lost) / _BYTES_PER_MB:.3f} of {size / _BYTES_PER_MB:.3f} MB', lost)
    for note in bag.notes:
        yield error('salvage', '', note)


def _unreadable(bag: Bag, *, closed_loop: bool) -> Iterator[Finding]:
    needed = {c.topic for c in bag.connections if record_decoder(c)} if closed_loop else set()
    for topic, why in bag.unreadable.items():
        tell = error if topic in needed else info if is_service_event(bag.topics[topic]) else (
            warning)
        yield tell('unreadable', topic, why)


def _counts(bag: Bag) -> Iterator[Finding]:
    for topic, count in bag.declared.items():
        if bag.read[topic] != count:
            yield error('count', topic, f'{bag.read[topic]} messages read of {count} declared',
                        bag.read[topic] - count)
    if bag.unchecked:
        yield info('checksum', '', f'{named(bag.unchecked)}: no checksum covers the messages; a '
                   'bit that flipped inside one is not noticed', len(bag.unchecked))


def _sealed(bag: Bag) -> Iterator[Finding]:
    """Say whether changes would show; whether there are any takes a pass of its own."""
    count = sum(1 for _ in bag.metadata_records(SEAL_RECORD))
    yield info('seal', '', f'{count} checkpoints of a hash chain; `wm-eval verify` holds the bag '
               'against them' if count else 'not sealed: a change of the bag would leave no trace',
               count)


def _order(bag: Bag) -> Iterator[Finding]:
    found = bag.disorder
    if found.count:
        yield info('order', '', f'{found.count} of {sum(bag.read.values())} messages stand out '
                   f'of log-time order in the file, by up to {duration(found.worst_ns)}; they '
                   'are read in order', found.count)
