"""Which slots were due: those with a record, and those that should have left one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.metrics.base import Bools, Ints, NS_PER_S
from wm_eval_ros.metrics.episodes import Episode, window
from wm_eval_ros.metrics.rows import happened, Rows
from wm_eval_ros.records import CycleStatus

_NO_END = 2**62


@dataclass(frozen=True)
class Due:
    """The slots that count, recorded or not."""

    #: due slots that have a record, by slot number; fields as in ROW
    slots: Rows
    #: slots without a record just before each of those, shape (N,)
    gaps: Ints
    #: episode -> slots without a record after its last one, or all where it has none
    tails: dict[int, int]


def due_slots(schedule: Rows, found: tuple[Episode, ...], period_ns: int | None) -> Due:
    """
    Tell due slots from the recorded ones, and count those that left no record.

    A number missing between two recorded slots is a slot without a record. Numbers say nothing of
    slots that a planner never counted, because it was stuck, dead or not yet there: those are
    estimated from the episode's time, less an allowance for jitter, and never counted twice.

    :param schedule: all recorded slots of the schedule, one a number, sorted
    :param period_ns: control period; None: only numbers and the slots' own periods tell
    """
    start, end = window(found)
    inside = ~_cut_short(schedule, found)
    stamps = schedule['stamp']
    if start is not None:
        inside &= stamps >= start
    if end is not None:
        inside &= stamps <= end
    slots = schedule if np.all(inside) else schedule[inside]
    gaps = np.maximum(np.diff(schedule['slot'], prepend=schedule['slot'][:1])[inside] - 1, 0)
    gaps[:1] = _head(schedule, slots, start)
    last = {int(row['episode']): row for row in schedule[_borders(schedule, -1)]}
    tails = {e.number: _tail(e, last.get(e.number), period_ns) for e in found}
    _settle_borders(slots, gaps, tails)
    _add_heads(slots, gaps, tails, found, schedule)
    return Due(slots, gaps, {number: count for number, count in tails.items() if count})


def _cut_short(schedule: Rows, found: tuple[Episode, ...]) -> Bools:
    """Say whose plan was withheld because the episode had ended, within the slot's deadline."""
    ends = {e.number: e.end_ns for e in found if e.end_ns is not None}
    withheld = (schedule['status'] == CycleStatus.SKIPPED) & happened(schedule['infer_end'])
    rows = schedule[withheld]
    last = np.array([ends.get(int(n), _NO_END) for n in rows['episode']], np.int64)
    withheld[withheld] = rows['stamp'] + rows['deadline'] > last
    return np.asarray(withheld)


def _head(schedule: Rows, slots: Rows, start: int | None) -> int:
    """Numbered slots before the very first record that lay within the window."""
    if start is None or len(slots) == 0 or schedule['slot'][0] != slots['slot'][0]:
        return 0
    return min(int(slots['slot'][0]),
               _periods(int(slots['stamp'][0]) - start, int(slots['period'][0])))


def _tail(episode: Episode, last: np.void | None, period_ns: int | None) -> int:
    """Slots owed after the last record of an episode, or in all of it where it has none."""
    if episode.end_ns is None:
        return 0
    if last is not None:
        return _periods(episode.end_ns - int(last['stamp']), int(last['period']))
    if episode.start_ns is None or period_ns is None:
        return 0
    return _periods(_length(episode), period_ns)


def _length(episode: Episode) -> int:
    """Task time of an ended episode, no more than lay between its events [ns]."""
    assert episode.start_ns is not None
    assert episode.end_ns is not None
    between = episode.end_ns - episode.start_ns
    told = between if episode.time_s is None else episode.time_s * NS_PER_S
    return round(min(between, told))


def _periods(span_ns: int, period_ns: int, allowance: int = 1) -> int:
    """Whole periods in a span, less the allowance for jitter."""
    return max(0, span_ns // period_ns - allowance) if period_ns > 0 else 0


def _borders(rows: Rows, side: int) -> Ints:
    """Return the first (side 0) or last (side -1) row of each run of rows of one episode."""
    cuts = np.flatnonzero(np.diff(rows['episode'])) + 1
    if len(rows) == 0:
        return np.zeros(0, np.int64)
    end = np.array([0 if side == 0 else len(rows) - 1])
    return np.concatenate([end, cuts] if side == 0 else [cuts - 1, end])


def _settle_borders(slots: Rows, gaps: Ints, tails: dict[int, int]) -> None:
    """Take from the numbers missing at an episode's first slot what the tails before it count."""
    numbers = np.array(sorted(tails), np.int64)
    counts = np.concatenate([[0], np.cumsum([tails[n] for n in numbers.tolist()])])
    for at in _borders(slots, 0).tolist():
        own = int(slots['episode'][at])
        before = int(slots['episode'][at - 1]) if at else min(tails, default=own)
        low, high = np.searchsorted(numbers, [before, own])
        if own > before:
            gaps[at] = max(0, int(gaps[at]) - int(counts[high] - counts[low]))


def _add_heads(slots: Rows, gaps: Ints, tails: dict[int, int], found: tuple[Episode, ...],
               schedule: Rows) -> None:
    """
    Add what an episode's task time demands beyond all that is counted, before its first slot.

    Two periods are allowed for: one until the first samples come, one for jitter.
    """
    counted = Counter(tails)
    numbers, sizes = np.unique(schedule['episode'], return_counts=True)
    counted.update(dict(zip(numbers.tolist(), sizes.tolist(), strict=True)))
    for at in np.flatnonzero(gaps).tolist():
        counted[int(slots['episode'][at])] += int(gaps[at])
    first = {int(slots['episode'][at]): at for at in _borders(slots, 0)[::-1].tolist()}
    for episode in found:
        at = first.get(episode.number)
        if at is None or episode.start_ns is None or episode.end_ns is None:
            continue
        demanded = _periods(_length(episode), int(slots['period'][at]), 2)
        gaps[at] += max(0, demanded - counted[episode.number])
