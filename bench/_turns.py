"""Calls that take turns, so that all see the same machine, and their times over one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import time
from typing import Any

import numpy as np


def in_turn(
    calls: Mapping[str, Callable[[], Any]], base: str, *, rounds: int, warm_up: int,
    pause_s: float,
) -> dict[str, dict[str, float]]:
    """
    Time calls in turn; return the figures of each.

    :param base: the call whose time, in the same round, the others' is divided by
    :param warm_up: rounds before those that count
    :param pause_s: rest before every call [s]
    """
    wall, cpu = ({name: [] for name in calls} for _ in range(2))
    for i in range(-warm_up, rounds):
        for name, call in calls.items():
            time.sleep(pause_s)
            begun, busy = time.perf_counter(), time.process_time()
            call()
            if i >= 0:
                cpu[name].append(time.process_time() - busy)
                wall[name].append(time.perf_counter() - begun)
    rows = {}
    for name in calls:
        ratio = np.array(wall[name]) / np.array(wall[base])
        rows[name] = {
            'p50_ms': float(np.median(wall[name])) * 1e3,
            'p99_over_p50': float(np.percentile(wall[name], 99) / np.median(wall[name])),
            'ratio_p50': float(np.median(ratio)), 'ratio_p10': float(np.percentile(ratio, 10)),
            'ratio_p90': float(np.percentile(ratio, 90)),
            'cpu_ratio': float(np.median(cpu[name]) / np.median(cpu[base]))}
    return rows


def as_text(figures: Mapping[str, float], ratio_width: int) -> str:
    """Return the figures of a call as text."""
    return (f'{figures["p50_ms"]:7.2f} ms   {figures["p99_over_p50"]:5.2f}   '
            f'{figures["ratio_p50"]:{ratio_width}.3f} [{figures["ratio_p10"]:.3f}, '
            f'{figures["ratio_p90"]:.3f}]   {figures["cpu_ratio"]:8.3f}')
