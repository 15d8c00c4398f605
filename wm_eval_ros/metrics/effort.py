"""What a decision costs."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    distribution,
    Floats,
    mean_value,
    missing,
    NS_PER_MS,
    Values,
)
from wm_eval_ros.metrics.table import happened, Rows, Run, TableMetric
from wm_eval_ros.stats.mean import mean_t

_NO_CALL = 'the planner was not called in any due slot'


def called(rows: Rows) -> Rows:
    """Return the slots in which the planner was called and came back."""
    return rows[happened(rows['infer_end'])]


def cpu_time(rows: Rows) -> Floats:
    """Return the CPU time of each decision [ms], where it was measured."""
    spent = called(rows)['cpu']
    return np.asarray(spent[spent > 0] / NS_PER_MS)


class Effort(TableMetric):
    """Model calls and rollouts that were not finite."""

    def values(self, run: Run) -> Values:
        """Return the figures that two equal runs share."""
        rows = called(run.slots)
        calls = rows['calls'].astype(float)
        if len(rows) == 0:
            return (missing('model_calls', '1', _NO_CALL),
                    missing('nonfinite_rollouts', '1', _NO_CALL))
        return (mean_value('model_calls', '1', len(rows), mean_t(calls), 'Student'),
                count_value('nonfinite_rollouts', int(np.sum(rows['nonfinite'])),
                            int(np.sum(rows['calls']))))


class HostEffort(TableMetric):
    """CPU time: a measurement of this host in every clock mode."""

    identity = False

    def values(self, run: Run) -> Values:
        """Return the figures of this host."""
        spent = cpu_time(run.slots)
        if len(spent) == 0:
            return (missing('cpu_time.mean', 'ms', 'no CPU time was recorded'),
                    *distribution('cpu_time', 'ms', spent, 'no CPU time was recorded'))
        return (mean_value('cpu_time.mean', 'ms', len(spent), mean_t(spent), 'Student'),
                *distribution('cpu_time', 'ms', spent, ''))
