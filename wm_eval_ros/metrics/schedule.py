"""Whether commands came when they were due, counted by slot and never by call."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    Bools,
    count_value,
    Floats,
    Ints,
    missing,
    NS_PER_MS,
    NS_PER_S,
    Values,
)
from wm_eval_ros.metrics.dependence import (
    clusters,
    slot_distribution,
    slot_share,
    slot_slope,
)
from wm_eval_ros.metrics.rows import happened, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import CycleStatus, MetricValue

#: lengths of runs of missed slots that are counted
RUN_LENGTHS = (2, 5, 10)
#: these are misses whatever else the record says
_NO_DECISION = (CycleStatus.SKIPPED, CycleStatus.NO_INPUT, CycleStatus.INVALID_OUTPUT,
                CycleStatus.EXCEPTION)
_NO_SLOT = 'no slot was due'


def met(rows: Rows) -> Bools:
    """
    Say in which slots a command was published within [due, due + deadline].

    Both ends belong to the window. A slot whose status says that there was no decision is
    missed even if something was published.
    """
    late = rows['publish'] - rows['due'] > rows['deadline']
    early = rows['publish'] < rows['due']
    decided = ~np.isin(rows['status'], [int(s) for s in _NO_DECISION])
    return np.asarray(happened(rows['publish']) & decided & ~late & ~early)


def missed_runs(hit: Bools, gaps: Ints, tail: int = 0) -> Ints:
    """
    Lengths of the runs of missed slots, in order, zero-length runs left out.

    :param hit: whether each recorded slot was met, shape (N,)
    :param gaps: unrecorded slots just before each of them; they are missed, shape (N,)
    :param tail: unrecorded slots after the last

    >>> missed_runs(np.array([True, False, True]), np.array([0, 0, 2]), 1).tolist()
    [3, 1]
    """
    total = np.cumsum(gaps + ~hit)
    marks = np.concatenate([[0], total[hit], total[-1:] + tail])
    runs = np.diff(marks)
    return np.asarray(runs[runs > 0], np.int64)


def misses(run: Run) -> Values:
    """Return the share of due slots that were missed, and how the misses cluster."""
    hit = met(run.slots)
    if run.due == 0:
        return (missing('deadline_miss_rate', '1', _NO_SLOT),
                missing('longest_miss_run', 'slots', _NO_SLOT))
    runs = _runs_by_episode(run, hit)
    longest = int(np.max(runs, initial=0))
    return (
        miss_rate(run, hit),
        count_value('longest_miss_run', longest, run.due, 'slots'),
        *(count_value(f'miss_runs[m={m}]', int(np.sum(runs >= m)), run.due)
          for m in RUN_LENGTHS))


def miss_rate(run: Run, hit: Bools) -> MetricValue:
    """
    Return the share of due slots that were missed.

    Slots without a record belong to the cluster of the one after them, or at the end of an episode
    to that of its last: an outage is one event, however long.
    """
    found = clusters(run.slots)
    made = np.bincount(found.cluster, minlength=found.count)
    late = np.bincount(found.cluster[~hit], minlength=found.count)
    # not np.bincount, whose weights are floats and do not count beyond 2^53
    lost = np.zeros(found.count, np.int64)
    np.add.at(lost, found.cluster, run.gaps)
    last = dict(zip(run.slots['episode'].tolist(), found.cluster.tolist(), strict=True))
    alone: list[int] = []
    for episode, count in run.tails.items():
        if episode in last:
            lost[last[episode]] += count
        else:
            alone.append(count)
    more = np.array(alone, np.int64)
    return slot_share('deadline_miss_rate', np.concatenate([late + lost, more]),
                      np.concatenate([made + lost, more]), _NO_SLOT)


def _runs_by_episode(run: Run, hit: Bools) -> Ints:
    """Lengths of the runs of missed slots; none goes on into another episode."""
    numbers = run.slots['episode']
    borders = np.flatnonzero(np.diff(numbers)) + 1
    left = dict(run.tails)
    runs: list[Ints] = []
    parts = zip(np.split(hit, borders), np.split(run.gaps, borders),
                np.split(numbers, borders), strict=True)
    # from the last on: what an episode owed stands after its last slot
    for own, gaps, episode in reversed(list(parts)):
        runs.append(missed_runs(own, gaps, left.pop(int(episode[0]), 0) if len(own) else 0))
    return np.concatenate([*runs, np.array(list(left.values()), np.int64)])


def statuses(run: Run) -> Values:
    """Return the number of slots by status, and those without a record."""
    if run.due == 0:
        return (missing('slots.due', '1', _NO_SLOT),)
    kinds = [s for s in CycleStatus if s != CycleStatus.WARMUP]
    counts = {s.name.lower(): int(np.sum(run.slots['status'] == s)) for s in kinds}
    counts['unrecorded'] = run.unrecorded
    counts['duplicate'] = run.duplicates
    counts['due'] = run.due
    return tuple(count_value(f'slots.{name}', found, run.due) for name, found in counts.items())


def release_jitter(rows: Rows) -> Floats:
    """Return start - due [ms] of the slots, NaN where they did not start, shape (N,)."""
    late = (rows['start'] - rows['due']) / NS_PER_MS
    return np.where(happened(rows['start']), late, np.nan)


def release_drift(rows: Rows) -> MetricValue:
    """Return how fast the releases move away from their schedule: the slope of the jitter."""
    on = happened(rows['start'])
    due = (rows['due'][on] - rows['due'][on][:1]) / NS_PER_S
    if len(due) < 3 or due[-1] <= 0:
        return missing('release_drift', 'ms/s', 'fewer than 3 slots started', len(due))
    return slot_slope('release_drift', 'ms/s', due, release_jitter(rows)[on], rows[on])


def period_error(rows: Rows) -> Floats:
    """
    Return the time from one published command to the next less the period T [ms].

    Slots in between that published none lengthen it. Both commands lie in one episode: a new
    episode may anchor the schedule anew.

    :returns: shape (N,), NaN where there is none
    """
    found = np.full(len(rows), np.nan)
    sent = np.flatnonzero(happened(rows['publish']))
    error = (np.diff(rows['publish'][sent]) - rows['period'][sent[1:]]) / NS_PER_MS
    found[sent[1:]] = np.where(np.diff(rows['episode'][sent]) == 0, error, np.nan)
    return found


class Schedule(TableMetric):
    """Deadline misses, bursts, statuses, jitter, drift and command period."""

    def values(self, run: Run) -> Values:
        """Return the schedule's figures."""
        rows = run.slots
        return (
            *misses(run), *statuses(run),
            *slot_distribution('release_jitter', 'ms', release_jitter(rows), rows,
                               'no slot started'),
            release_drift(rows),
            *slot_distribution('command_period_error', 'ms', np.abs(period_error(rows)), rows,
                               'no episode has two published commands'))
