"""The clocks of a bag held against each other: log times, header stamps, and our own records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wm_eval_ros.bag.findings import (
    duration,
    error,
    Finding,
    into_bag,
    named,
    NS_PER_MS,
    warning,
)
from wm_eval_ros.bag.message import Disorder
from wm_eval_ros.bag.steps import BLOCK_NS, Step, Steps
from wm_eval_ros.bag.watch import OFFSET_NS, TopicWatch
from wm_eval_ros.records import CycleRecord, NEVER_NS

#: stamps further behind than this are of another clock, and not just old [ns]
_OLD_NS = 1_000_000_000
#: log times that fall back by less have only waited in a queue [ns]
_FALL_NS = 1_000_000_000
#: the system clock is set where it moves this far against the steady one [ns]
_SYSTEM_STEP_NS = 20_000_000
#: stamps this far behind count from zero [ns]
_UNSET_NS = 20 * 365 * 86_400 * 10**9
_DOMAINS = ('before 1970', 'before 2000', 'of this century', 'after 2100')


def log_times(watches: Sequence[TopicWatch]) -> Iterator[Finding]:
    """Say of which clocks the log times are: more than one breaks every order of the bag."""
    if not watches:
        return
    counts = np.sum([watch.pace.domains for watch in watches], axis=0).tolist()
    held = {name: count for name, count in zip(_DOMAINS, counts, strict=True) if count}
    text = ', '.join(f'{count} {name}' for name, count in held.items())
    if len(held) > 1 or counts[0]:
        yield error('log_time', '', f'log times of different clocks, or of none: {text}; the '
                    'clock was set during the recording', sum(counts) - max(counts))
    elif not counts[2]:
        yield warning('log_time', '', f'the log times are of no clock that was set: {text}; a '
                      'recording on simulated time, or without a real-time clock', counts[1])


def file_order(disorder: Disorder, start_ns: int) -> Iterator[Finding]:
    """Tell a recorder's clock that was set back from messages that waited in a queue."""
    if disorder.within_topics and disorder.fall_ns > _FALL_NS:
        yield warning('clock_step', '', f'{disorder.within_topics} messages were logged earlier '
                      'than one before them of their topic, by up to '
                      f'{duration(disorder.fall_ns)} from '
                      f'{into_bag(disorder.fall_at_ns, start_ns)}: the clock of the recorder was '
                      'set back', -disorder.fall_ns / NS_PER_MS, disorder.fall_at_ns)


def offsets(watches: Sequence[TopicWatch]) -> Iterator[Finding]:
    """Name topics whose stamps are of another clock than the log times, and how many there are."""
    found = {w.topic: offset for w in watches if (offset := w.stamps.offset_ns) is not None}
    for topic, offset in found.items():
        if abs(offset) > OFFSET_NS:
            yield clock_finding(topic, round(offset))
    groups = clock_groups(found)
    if len(groups) > 1:
        text = '; '.join(f'{named(topics)} {_side(found[topics[0]])}' for topics in groups)
        yield warning('clocks', '', f'header stamps of {len(groups)} clocks in one bag: {text}',
                      len(groups))


def clock_finding(topic: str, offset_ns: int) -> Finding:
    """Name a clock offset: the median of header stamp minus log time."""
    if offset_ns < -_UNSET_NS:
        return warning('clock', topic, 'header stamps are of simulated time, or of a clock that '
                       'was never set', offset_ns / NS_PER_MS)
    return warning('clock', topic, f"header stamps are {_offset(offset_ns)} the recorder's clock",
                   offset_ns / NS_PER_MS)


def stamp_steps(watches: Sequence[TopicWatch], start_ns: int) -> Iterator[Finding]:
    """Name steps of header stamps against log times; those of several topics at once are one."""
    every = sorted((step, watch.topic) for watch in watches for step in watch.steps)
    while every:
        first, own = every[0][0], [s for s in every if _is_same(s[0], every[0][0])]
        every = [s for s in every if s not in own]
        topics = sorted({topic for _, topic in own})
        way = 'ahead' if first.size_ns > 0 else 'back'
        yield warning('clock_step', topics[0] if len(topics) == 1 else '',
                      f'header stamps of {named(topics)} step {way} by '
                      f"{duration(first.size_ns)} against the recorder's clock, "
                      f'{into_bag(first.at_ns, start_ns)}', first.size_ns / NS_PER_MS,
                      first.at_ns)


def clock_groups(offsets_ns: Mapping[str, float]) -> list[list[str]]:
    """
    Put topics together whose stamps may be of one clock: the recorder's, or one apart.

    :param offsets_ns: median of header stamp minus log time by topic [ns]
    """
    ordered = sorted(offsets_ns, key=offsets_ns.__getitem__)
    groups: list[list[str]] = []
    for topic in ordered:
        before = offsets_ns[groups[-1][-1]] if groups else None
        if before is not None and (is_own(before) == is_own(offsets_ns[topic])
                                   and offsets_ns[topic] - before <= _OLD_NS):
            groups[-1].append(topic)
        else:
            groups.append([topic])
    return groups


def is_own(offset_ns: float) -> bool:
    """Say whether stamps may be of the recorder's clock: not of its future, not long past."""
    return -_OLD_NS <= offset_ns <= OFFSET_NS


class SystemClock:
    """The system clock of the run's own host, held against its steady clock."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._steps = Steps(_SYSTEM_STEP_NS)

    def add(self, cycle: CycleRecord) -> None:
        """
        Take a slot in: it notes one instant on both clocks.

        Only how far their difference moves is looked at, never the difference itself.
        """
        if NEVER_NS not in (cycle.publish_ns, cycle.publish_system_ns):
            self._steps.add_one(cycle.publish_system_ns,
                                cycle.publish_system_ns - cycle.publish_ns)

    def findings(self, start_ns: int) -> Iterator[Finding]:
        """Yield the steps."""
        for at_ns, size_ns in self._steps.found:
            way = 'ahead' if size_ns > 0 else 'back'
            yield warning('clock_step', '', f'the system clock of the run was set {way} by '
                          f'{duration(size_ns)}, {into_bag(at_ns, start_ns)}: stamps before '
                          'and after do not compare', size_ns / NS_PER_MS, at_ns)


def _is_same(step: Step, other: Step) -> bool:
    return (abs(step.at_ns - other.at_ns) <= 2 * BLOCK_NS
            and abs(step.size_ns - other.size_ns) <= OFFSET_NS)


def _side(offset_ns: float) -> str:
    return "on the recorder's" if is_own(offset_ns) else f'{_offset(offset_ns)} it'


def _offset(offset_ns: float) -> str:
    return f'{duration(offset_ns)} {"ahead of" if offset_ns > 0 else "behind"}'
