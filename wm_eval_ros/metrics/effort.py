"""What a decision costs."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    Floats,
    Ints,
    missing,
    NS_PER_MS,
    Values,
)
from wm_eval_ros.metrics.dependence import known, slot_distribution, slot_mean
from wm_eval_ros.metrics.rows import happened, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue

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
    return known(_cpu(rows))


def _cpu(rows: Rows) -> Floats:
    """Return the same of each row, NaN where it has none, shape (N,)."""
    on = happened(rows['infer_end']) & (rows['cpu'] > 0)
    return np.where(on, rows['cpu'] / NS_PER_MS, np.nan)


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
    return slot_mean('flops', 'flop', _of_calls(run.slots, spent), run.slots, _NO_CALL)


def energy(rows: Rows) -> Floats:
    """Return what the host's energy counters advanced during each decision [J], if it has any."""
    return known(_joules(rows))


def _joules(rows: Rows) -> Floats:
    on = happened(rows['infer_end']) & (rows['energy'] >= 0)
    return np.where(on, rows['energy'] / UJ_PER_J, np.nan)


def _of_calls(rows: Rows, samples: Floats) -> Floats:
    """Return samples in the rows of `called` and NaN in the others, shape (N,)."""
    found = np.full(len(rows), np.nan)
    found[happened(rows['infer_end'])] = samples
    return found


class Effort(TableMetric):
    """Model calls, floating-point operations, and rollouts that were not finite."""

    def values(self, run: Run) -> Values:
        """Return the figures that two equal runs share."""
        calls, bad = called(run.slots, 'calls', 'nonfinite')
        if len(calls) == 0:
            return (missing('model_calls', '1', _NO_CALL), flops(run),
                    missing('nonfinite_rollouts', '1', _NO_CALL))
        each = _of_calls(run.slots, calls.astype(float))
        return (slot_mean('model_calls', '1', each, run.slots, _NO_CALL),
                flops(run),
                count_value('nonfinite_rollouts', int(np.sum(bad)), int(np.sum(calls))))


class HostEffort(TableMetric):
    """CPU time, memory and energy: measurements of this host in every clock mode."""

    identity = False

    def values(self, run: Run) -> Values:
        """Return the figures of this host."""
        rows = run.slots
        spent, used = _cpu(rows), _joules(rows)
        return (slot_mean('cpu_time.mean', 'ms', spent, rows, _NO_CPU),
                *slot_distribution('cpu_time', 'ms', spent, rows, _NO_CPU),
                slot_mean('energy.mean', 'J', used, rows,
                          'the host has no energy counter that may be read'),
                peak_memory(run))


def peak_memory(run: Run) -> MetricValue:
    """Return the largest resident memory of the planner process [MiB], warm-up included."""
    seen = np.concatenate([run.warmup['memory'], run.schedule['memory']])
    seen = seen[seen > 0]
    if len(seen) == 0:
        return missing('peak_memory', 'MiB', 'no memory of the planner process was recorded')
    return MetricValue('peak_memory', float(np.max(seen)) / 2**20, 'MiB', 1,
                       why='the largest seen bounds nothing beyond this run')
