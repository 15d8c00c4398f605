"""Where the time of a slot goes."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    Bools,
    distribution,
    Floats,
    Ints,
    missing,
    NS_PER_MS,
    Values,
)
from wm_eval_ros.metrics.dependence import known, slot_distribution
from wm_eval_ros.metrics.rows import happened, NO_STAMP, Rows
from wm_eval_ros.metrics.table import Run, TableMetric

_NO_CALL = 'the planner was not called in any due slot'
_NO_COMMAND = 'no command was published in any due slot'


def between(start_ns: Ints, end_ns: Ints) -> Floats:
    """
    Duration of each slot, NaN where one of its ends did not come to pass.

    :returns: [ms], shape (N,)

    >>> between(np.array([1_000_000, -1]), np.array([3_500_000, 5_000_000])).tolist()
    [2.5, nan]
    """
    return elapsed(start_ns, end_ns, happened(start_ns) & happened(end_ns))


def elapsed(start_ns: Ints, end_ns: Ints, on: Bools) -> Floats:
    """Return end - start [ms] where there is such a time, NaN elsewhere, shape (N,)."""
    return np.where(on, (end_ns - start_ns) / NS_PER_MS, np.nan)


def _plan(rows: Rows) -> Floats:
    return between(rows['infer_start'], rows['infer_end'])


def plan_latency(rows: Rows) -> Floats:
    """Return infer_end - infer_start [ms] of every call, also of those that came to nothing."""
    return known(_plan(rows))


def _decision(rows: Rows) -> Floats:
    return between(rows['start'], rows['publish'])


def decision_latency(rows: Rows) -> Floats:
    """Return publish - start [ms]."""
    return known(_decision(rows))


def _sense(rows: Rows) -> Floats:
    used = happened(rows['publish_system']) & (rows['oldest'] != NO_STAMP)
    return elapsed(rows['oldest'], rows['publish_system'], used)


def sense_to_act(rows: Rows) -> Floats:
    """Return publication minus the stamp of the oldest input used [ms], one clock for both."""
    return known(_sense(rows))


def reaction_time(rows: Rows) -> Floats:
    """
    Return publication minus the stamp of the oldest input used one command earlier [ms].

    A stimulus that comes just after a sample was taken waits for the next slot that publishes:
    this is the longest it can take until a command answers it. Both slots lie in one episode.

    :returns: shape (N,), NaN where there is none
    """
    found = np.full(len(rows), np.nan)
    sent = np.flatnonzero(happened(rows['publish_system']))
    earlier, later = rows[sent[:-1]], rows[sent[1:]]
    pairs = (earlier['oldest'] != NO_STAMP) & (later['episode'] == earlier['episode'])
    found[sent[1:]] = elapsed(earlier['oldest'], later['publish_system'], pairs)
    return found


class Latency(TableMetric):
    """Plan, decision, sense-to-act and reaction time; warm-up is a class of its own."""

    def values(self, run: Run) -> Values:
        """Return the quantiles of every latency."""
        rows = run.slots
        return (
            *slot_distribution('plan_latency', 'ms', _plan(rows), rows, _NO_CALL),
            *_warmup(plan_latency(run.warmup)),
            *slot_distribution('decision_latency', 'ms', _decision(rows), rows, _NO_COMMAND),
            *slot_distribution('sense_to_act', 'ms', _sense(rows), rows, _NO_COMMAND),
            *slot_distribution('reaction_time', 'ms', reaction_time(rows), rows, _NO_COMMAND))


def _warmup(samples: Floats) -> Values:
    name = 'plan_latency_warmup.max'
    if len(samples) == 0:
        return (missing(name, 'ms', 'no warm-up call was recorded'),)
    return tuple(v for v in distribution('plan_latency_warmup', 'ms', samples, '')
                 if v.name == name)
