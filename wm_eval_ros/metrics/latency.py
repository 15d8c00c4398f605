"""Where the time of a slot goes."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import distribution, Floats, Ints, missing, NS_PER_MS, Values
from wm_eval_ros.metrics.rows import happened, NO_STAMP, Rows
from wm_eval_ros.metrics.table import Run, TableMetric

_NO_CALL = 'the planner was not called in any due slot'
_NO_COMMAND = 'no command was published in any due slot'


def between(start_ns: Ints, end_ns: Ints) -> Floats:
    """
    Durations of the slots in which both ends came to pass.

    :returns: [ms], shape (M,), M <= N

    >>> between(np.array([1_000_000, -1]), np.array([3_500_000, 5_000_000])).tolist()
    [2.5]
    """
    both = happened(start_ns) & happened(end_ns)
    return np.asarray((end_ns[both] - start_ns[both]) / NS_PER_MS)


def plan_latency(rows: Rows) -> Floats:
    """Return infer_end - infer_start [ms] of every call, also of those that came to nothing."""
    return between(rows['infer_start'], rows['infer_end'])


def decision_latency(rows: Rows) -> Floats:
    """Return publish - start [ms]."""
    return between(rows['start'], rows['publish'])


def sense_to_act(rows: Rows) -> Floats:
    """Return publication minus the stamp of the oldest input used [ms], one clock for both."""
    used = happened(rows['publish_system']) & (rows['oldest'] != NO_STAMP)
    return np.asarray((rows['publish_system'][used] - rows['oldest'][used]) / NS_PER_MS)


def reaction_time(rows: Rows) -> Floats:
    """
    Return publication minus the stamp of the oldest input used one slot earlier [ms].

    A stimulus that comes just after a sample was taken waits for the next slot: this is the
    longest it can take until a command answers it. Both slots lie in one episode.
    """
    earlier, later = rows[:-1], rows[1:]
    pairs = (later['slot'] - earlier['slot'] == 1) & (earlier['oldest'] != NO_STAMP)
    pairs &= (later['episode'] == earlier['episode']) & happened(later['publish_system'])
    return np.asarray((later['publish_system'][pairs] - earlier['oldest'][pairs]) / NS_PER_MS)


class Latency(TableMetric):
    """Plan, decision, sense-to-act and reaction time; warm-up is a class of its own."""

    def values(self, run: Run) -> Values:
        """Return the quantiles of every latency."""
        rows = run.slots
        return (
            *distribution('plan_latency', 'ms', plan_latency(rows), _NO_CALL),
            *_warmup(plan_latency(run.warmup)),
            *distribution('decision_latency', 'ms', decision_latency(rows), _NO_COMMAND),
            *distribution('sense_to_act', 'ms', sense_to_act(rows), _NO_COMMAND),
            *distribution('reaction_time', 'ms', reaction_time(rows), _NO_COMMAND))


def _warmup(samples: Floats) -> Values:
    name = 'plan_latency_warmup.max'
    if len(samples) == 0:
        return (missing(name, 'ms', 'no warm-up call was recorded'),)
    return tuple(v for v in distribution('plan_latency_warmup', 'ms', samples, '')
                 if v.name == name)
