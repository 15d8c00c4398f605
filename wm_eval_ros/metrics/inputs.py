"""How old the inputs were, and which samples no decision ever saw."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    Floats,
    mean_value,
    missing,
    NS_PER_MS,
    NS_PER_S,
    Values,
)
from wm_eval_ros.metrics.dependence import slot_distribution
from wm_eval_ros.metrics.ranges import Sequences
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.samples import Stream, WINDOW_NS
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue, NO_SEQUENCE
from wm_eval_ros.stats.mean import Mean, mean_t

_NO_NUMBERS = 'the middleware gave no sequence numbers on this input'


def staleness(rows: Rows, used: Rows) -> Floats:
    """Return start of the slot minus stamp of the input [ms], both on the ROS clock."""
    at = np.searchsorted(rows['slot'], used['slot'])
    return np.asarray((rows['stamp'][at] - used['stamp']) / NS_PER_MS)


def passed_over(used: Sequences) -> tuple[Sequences, Sequences]:
    """
    First and last sequence numbers published between successive uses.

    A number that goes down is a publisher that started again: nothing is known of that gap.

    :param used: publication sequence of the sample of each slot, in slot order
    """
    known = used[used != np.uint64(NO_SEQUENCE)]
    jump = known[1:] > known[:-1] + np.uint64(1)
    return known[:-1][jump] + np.uint64(1), known[1:][jump] - np.uint64(1)


def drops(topic: str, used: Rows) -> MetricValue:
    """Return the number of samples published between two used ones and used by no slot."""
    first, last = passed_over(used['sequence'])
    name, n = f'samples_unused[{topic}]', len(used)
    if not np.any(used['sequence'] != np.uint64(NO_SEQUENCE)):
        return missing(name, '1', _NO_NUMBERS, n)
    return count_value(name, int(np.sum(last - first + np.uint64(1))), n)


def split(topic: str, used: Rows, stream: Stream | None) -> Values:
    """Split the unused samples: superseded ones did arrive here, lost ones never did."""
    names = (f'samples_superseded[{topic}]', f'samples_lost[{topic}]')
    if not np.any(used['sequence'] != np.uint64(NO_SEQUENCE)):
        return tuple(missing(name, '1', _NO_NUMBERS, len(used)) for name in names)
    if stream is None or not len(stream.sequences.ranges()[0]):
        why = 'no sequence numbers were recorded with this topic'
        return tuple(missing(name, '1', why, len(used)) for name in names)
    first, last = passed_over(used['sequence'])
    total = int(np.sum(last - first + np.uint64(1)))
    here = stream.sequences.within(first, last)
    counts = (here, total - here)
    return tuple(count_value(n, c, total) for n, c in zip(names, counts, strict=True))


def time_factors(stream: Stream) -> tuple[float | None, Floats]:
    """
    Stamp time over arrival time, of the whole stream and of each full window.

    :returns: None where the stream spans no time; windows of WINDOW_NS on the grid of the system
        clock, without the ones in which the stream begins and ends
    """
    logs, stamps = stream.arrivals()
    if len(logs) < 2 or logs[-1] == logs[0]:
        return None, np.zeros(0)
    factors = np.diff(stamps[1:-1]) / np.diff(logs[1:-1])
    return float((stamps[-1] - stamps[0]) / (logs[-1] - logs[0])), np.asarray(factors)


def _over_windows(stream: Stream, total: float) -> Mean:
    """
    Add the interval to the factor of a whole stream, a ratio of sums over its windows.

    Linearised (Cochran, 1977, 6.3), the windows in which the stream begins and ends among them.

    :returns: no interval without two full windows
    """
    walls, stamps = (np.diff(times).astype(float) for times in stream.arrivals())
    if len(walls) < 4:
        return Mean(total)
    found = mean_t((stamps - total * walls) * (len(walls) / np.sum(walls)))
    assert found.high is not None
    half = found.high - found.value
    return Mean(total, total - half, total + half)


def real_time_factor(run: Run) -> Values:
    """Return simulated time over wall time, whole and in the slowest window."""
    names = ('real_time_factor', 'real_time_factor_slowest')
    stream = next((run.samples[t] for t in run.inputs
                   if t in run.samples and len(run.samples[t].arrivals()[0])), None)
    total, windows = (None, np.zeros(0)) if stream is None else time_factors(stream)
    if total is None:
        return tuple(missing(n, '1', 'no stamped input was recorded over time') for n in names)
    assert stream is not None
    whole = mean_value(names[0], '1', max(len(windows), 1), _over_windows(stream, total),
                       'Student over windows')
    if len(windows) == 0:
        why = f'shorter than one window of {WINDOW_NS / NS_PER_S:g} s'
        return (whole, missing(names[1], '1', why))
    return (whole, MetricValue(names[1], float(np.min(windows)), '1', len(windows),
                               why='the slowest seen bounds nothing beyond this run'))


class Inputs(TableMetric):
    """Staleness of each input, and how many samples no decision used."""

    def values(self, run: Run) -> Values:
        """Return the figures of each input; topics without a use have none."""
        if not run.inputs:
            return (missing('staleness', 'ms', 'no slot used an input'),)
        return tuple(v for topic, used in run.inputs.items() for v in (
            *slot_distribution(
                f'staleness[{topic}]', 'ms', staleness(run.slots, used),
                run.slots[np.searchsorted(run.slots['slot'], used['slot'])],
                'no due slot used this input'),
            drops(topic, used)))


class Arrivals(TableMetric):
    """What depends on who listened: the split of unused samples, and the run of time."""

    identity = False

    def values(self, run: Run) -> Values:
        """Return the figures of this listener."""
        return (*(v for topic, used in run.inputs.items()
                  for v in split(topic, used, run.samples.get(topic))),
                *real_time_factor(run))
