"""What a decision costs."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    distribution,
    Floats,
    Ints,
    mean_value,
    missing,
    NS_PER_MS,
    Values,
)
from wm_eval_ros.metrics.rows import happened, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.mean import mean_t

_NO_CALL = 'the planner was not called in any due slot'
_NO_CPU = 'no CPU time was recorded'
UJ_PER_J = 1e6
#: no model takes more operations a step
_MOST = 1e18


def called(rows: Rows, *fields: str) -> tuple[Ints, ...]:
    """Return fields of the slots in which the planner was called and came back, (N,) each."""
    on = happened(rows['infer_end'])
    return tuple(rows[field][on] for field in fields)


def cpu_time(rows: Rows) -> Floats:
    """Return the CPU time of each decision [ms], where it was measured."""
    spent, = called(rows, 'cpu')
    return np.asarray(spent[spent > 0] / NS_PER_MS)


def flops(run: Run) -> MetricValue:
    """
    Return the floating-point operations of a decision's imagined rollouts.

    Model calls times the imagined steps of each, times the operations the manifest gives for one
    step of one candidate.
    """
    calls, horizon = called(run.slots, 'calls', 'horizon')
    if len(calls) == 0:
        return missing('flops', 'flop', _NO_CALL)
    each = (run.info.model if run.info is not None else {}).get('flops_per_step')
    if isinstance(each, bool) or not isinstance(each, (int, float)) or not 0 < each < _MOST:
        why = 'the manifest does not say how many operations one step of the model takes'
        return missing('flops', 'flop', why)
    spent = np.asarray(calls.astype(float) * horizon * float(each), float)
    return mean_value('flops', 'flop', len(spent), mean_t(spent), 'Student')


def energy(rows: Rows) -> Floats:
    """Return what the host's energy counters advanced during each decision [J], if it has any."""
    spent, = called(rows, 'energy')
    return np.asarray(spent[spent >= 0] / UJ_PER_J)


class Effort(TableMetric):
    """Model calls, floating-point operations, and rollouts that were not finite."""

    def values(self, run: Run) -> Values:
        """Return the figures that two equal runs share."""
        calls, bad = called(run.slots, 'calls', 'nonfinite')
        if len(calls) == 0:
            return (missing('model_calls', '1', _NO_CALL), flops(run),
                    missing('nonfinite_rollouts', '1', _NO_CALL))
        return (mean_value('model_calls', '1', len(calls), mean_t(calls.astype(float)), 'Student'),
                flops(run),
                count_value('nonfinite_rollouts', int(np.sum(bad)), int(np.sum(calls))))


class HostEffort(TableMetric):
    """CPU time, memory and energy: measurements of this host in every clock mode."""

    identity = False

    def values(self, run: Run) -> Values:
        """Return the figures of this host."""
        spent, used = cpu_time(run.slots), energy(run.slots)
        return (_mean('cpu_time.mean', 'ms', spent, _NO_CPU),
                *distribution('cpu_time', 'ms', spent, _NO_CPU),
                _mean('energy.mean', 'J', used, 'the host has no energy counter that may be read'),
                peak_memory(run))


def _mean(name: str, unit: str, samples: Floats, why: str) -> MetricValue:
    if len(samples) == 0:
        return missing(name, unit, why)
    return mean_value(name, unit, len(samples), mean_t(samples), 'Student')


def peak_memory(run: Run) -> MetricValue:
    """Return the largest resident memory of the planner process [MiB], warm-up included."""
    seen = np.concatenate([run.warmup['memory'], run.schedule['memory']])
    seen = seen[seen > 0]
    if len(seen) == 0:
        return missing('peak_memory', 'MiB', 'no memory of the planner process was recorded')
    return MetricValue('peak_memory', float(np.max(seen)) / 2**20, 'MiB', 1,
                       why='the largest seen bounds nothing beyond this run')
