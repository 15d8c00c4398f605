"""What is told of one slot while the run goes on, by the formulas of the scorecard."""

from __future__ import annotations

import struct

import numpy as np

from wm_eval_ros.metrics.latency import decision_latency, plan_latency, sense_to_act
from wm_eval_ros.metrics.rows import pack_row, ROW, Rows
from wm_eval_ros.metrics.schedule import met
from wm_eval_ros.records import CycleRecord, CycleStatus


def slot_values(cycle: CycleRecord) -> list[tuple[str, float | None]]:
    """
    Return name and value of the live metrics of one slot; None where there is no evidence.

    Latencies are in milliseconds, ``deadline_met`` is 0 or 1. A warm-up call, or a slot with a
    number that 64 bits do not hold, gives no evidence.
    """
    rows = np.zeros(0, ROW) if cycle.status == CycleStatus.WARMUP else _row(cycle)
    families = (('plan_latency', plan_latency), ('decision_latency', decision_latency),
                ('sense_to_act', sense_to_act), ('deadline_met', met))
    return [(name, _only(family(rows))) for name, family in families]


def _row(cycle: CycleRecord) -> Rows:
    try:
        return np.frombuffer(pack_row(cycle), ROW)
    except struct.error:
        return np.zeros(0, ROW)


def _only(values: object) -> float | None:
    found = list(values)  # type: ignore[call-overload]
    return float(found[0]) if found else None
