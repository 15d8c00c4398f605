"""A sweep as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable
import os
from pathlib import Path
import sys

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.text import aligned, interval_text, number
from wm_eval_ros.scoring.sweep import MODEL, Point, Sweep

#: name of the file programs read
SWEEP_FILE = 'sweep.json'
#: figures shown beside success, under their heads
_BESIDE = {'time_to_success.restricted_mean': 'time [s]', 'deadline_miss_rate': 'missed',
           'prediction_ratio[h=1]': 'ratio h=1'}


def print_sweep(sweep: Sweep, *, as_json: bool) -> None:
    """Print the sweep on stdout."""
    sys.stdout.write(sweep.to_json() if as_json else table(sweep))


def write_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """
    Write ``sweep.json`` and the page; without plotly the page is left out, with a line.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.sweep_page import page
    files = {SWEEP_FILE: sweep.to_json()}
    try:
        files['sweep.html'] = page(sweep)
    except MissingExtraError as error:
        print(f'wm-eval sweep: {error}', file=sys.stderr)
    return write_files(folder, files)


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def table(sweep: Sweep) -> str:
    """Return points and figures as text."""
    beside = [n for n in _BESIDE if any(_figure(p.values, n) for p in sweep.points)]
    steps = ['steps'] if sweep.key == MODEL else []
    spent = ['CPU [ms]', 'efficient'] if any(p.cpu is not None for p in sweep.points) else []
    head = [sweep.key, *steps, 'n', 'success', '95 %', *(_BESIDE[n] for n in beside), *spent]
    rows = [head, *([*_row(p, bool(steps), beside), *_cost(p, yes)[:len(spent)]]
                    for p, yes in zip(sweep.points, sweep.frontier, strict=True))]
    right = [0, *range(1, 3 + len(steps)), *range(4 + len(steps), len(head) - bool(spent))]
    text = [f'{sweep.scenario}, {sweep.clock}', aligned(rows, right)]
    if sweep.figures:
        text += ['', aligned([['figure', 'value', 'unit', 'n', 'interval'],
                              *(_line(v) for v in sweep.figures)], [1, 3])]
    text += [f'{v.name}: {v.why}' for v in sweep.figures if v.why]
    return '\n'.join([*text, *(f'note: {n}' for n in sweep.notes)]) + '\n'


def _row(point: Point, steps: bool, beside: Iterable[str]) -> list[str]:
    success = point.success
    where = [number(point.x)] if steps else []
    low_high = '' if success.interval is None else (
        f'{success.interval.low:.3f} … {success.interval.high:.3f}')
    others = (_figure(point.values, name) for name in beside)
    return [point.text, *where, str(success.n), number(success.value, 3), low_high,
            *(number(v.value if v else None, 3) for v in others)]


def _cost(point: Point, efficient: bool | None) -> list[str]:
    return [number(point.cpu.value if point.cpu else None, 3), 'yes' if efficient else '']


def _line(value: MetricValue) -> list[str]:
    interval = interval_text(value) if value.interval is not None else ''
    return [value.name, number(value.value), value.unit, str(value.n), interval]


def _figure(values: Iterable[MetricValue], name: str) -> MetricValue | None:
    return next((v for v in values if v.name == name), None)
