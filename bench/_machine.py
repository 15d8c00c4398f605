"""What a figure depends on beside the code: machine, load, threads, versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
from typing import Any

PACKAGES = ('wm_eval_ros', 'ros-jazzy-rclpy', 'numpy', 'torch', 'mujoco')


def machine() -> dict[str, Any]:
    """Describe this machine at this moment."""
    return {
        'cpu': _cpu(), 'cores': len(os.sched_getaffinity(0)), 'kernel': platform.release(),
        'load_average': [round(x, 2) for x in os.getloadavg()],
        'threads': {name: os.environ.get(name, 'unset')
                    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')},
        'python': platform.python_version(),
        'versions': {name: found for name in PACKAGES if (found := _version(name))},
    }


def machine_line(facts: dict[str, Any], end_load: float | None = None) -> str:
    """Return the description as one line."""
    load = f'{facts["load_average"][0]:.1f}'
    if end_load is not None:
        load += f' to {end_load:.1f}'
    threads = ', '.join(f'{name} {value}' for name, value in facts['threads'].items())
    versions = ', '.join(f'{name} {value}' for name, value in facts['versions'].items())
    return (f'{facts["cpu"]}, {facts["cores"]} cores, load {load}; {threads}; '
            f'python {facts["python"]}, {versions}')


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ''


def _cpu() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()
