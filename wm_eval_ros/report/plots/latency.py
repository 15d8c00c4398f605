"""How long decisions took, and which slots went without a command in time."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Bools, Floats, NS_PER_MS, NS_PER_S
from wm_eval_ros.metrics.latency import plan_latency
from wm_eval_ros.metrics.rows import happened, Rows
from wm_eval_ros.metrics.schedule import met
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import CycleStatus
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    BAD,
    Drawn,
    ecdf,
    envelope,
    INK,
    layout,
    Marks,
    MUTED,
    OTHER,
    Plot,
    rounded,
    SPECIAL,
    spread,
    stairs,
    thinned,
    Trace,
    WARN,
)

#: colour and symbol of a slot by its status: told apart without colours too
STATUS = {
    CycleStatus.OK: (ACCENT, 'circle'), CycleStatus.LATE: (WARN, 'diamond'),
    CycleStatus.SKIPPED: (BAD, 'square'), CycleStatus.NO_INPUT: (SPECIAL, 'triangle-up'),
    CycleStatus.STALE_INPUT: (OTHER, 'triangle-down'),
    CycleStatus.INVALID_OUTPUT: (BAD, 'star'), CycleStatus.EXCEPTION: (INK, 'cross')}
#: slots of one status drawn at most: each is a mark of its own, slower than a line
MAX_MARKS = 1500


def deadline_ms(run: Run) -> float | None:
    """Return the deadline [ms], from the manifest or the slots."""
    if run.info is not None and run.info.deadline_ns > 0:
        return run.info.deadline_ns / NS_PER_MS
    known = run.slots['deadline'][run.slots['deadline'] > 0]
    return float(np.min(known)) / NS_PER_MS if len(known) else None


def distribution(run: Run) -> Drawn:
    """Draw the planner call and the time from due to command as ECDF, with the deadline."""
    rows = run.slots
    sent = happened(rows['publish'])
    plan = plan_latency(rows)
    if len(plan) == 0:
        return Absent('no planner call came back')
    lines = [('planner call', plan, ACCENT, 'solid'),
             ('due to command', (rows['publish'][sent] - rows['due'][sent]) / NS_PER_MS, INK,
              'dot')]
    data = [_step(*each) for each in lines if len(each[1])]
    limit = deadline_ms(run)
    marks = Marks().vertical(limit, f'deadline {limit:g} ms') if limit is not None else Marks()
    ends = [limit or 0.0, *(float(np.max(samples)) for _, samples, _, _ in lines if len(samples))]
    figure = layout('latency [ms]', 'share of calls at or below', marks)
    figure['xaxis'] |= {'range': [0, 1.06 * max(ends)]}
    figure['yaxis'] |= {'range': [0, 1.03], 'tickformat': '.0%'}
    return Plot(f'Plan latency, n = {len(plan):,} calls in {run.due:,} due slots', data, figure,
                'What lies right of the dashed line came too late.')


def _step(name: str, samples: Floats, colour: str, dash: str) -> Trace:
    return stairs(name, *ecdf(samples), colour, line={'dash': dash},
                  hovertemplate='%{x:.3f} ms: %{y:.2%}<extra>' + name + '</extra>')


def timeline(run: Run) -> Drawn:
    """Draw the latency of every slot by its status, missed slots marked."""
    rows = run.slots
    if len(rows) == 0:
        return Absent('no slot was recorded')
    called = happened(rows['infer_end']) & happened(rows['infer_start'])
    took = np.where(called, (rows['infer_end'] - rows['infer_start']) / NS_PER_MS, 0.0)
    good = met(rows)
    nominal = (rows['status'] == CycleStatus.OK) & good
    keep = np.flatnonzero(nominal)[envelope(took[nominal], MAX_MARKS)]
    data = [_cloud('OK', CycleStatus.OK, rows, took, keep)] if len(keep) else []
    data += [_cloud(f'{_name(status)} ({int(np.sum(hits)):,})', status, rows, took, _some(hits))
             for status in STATUS if np.any(hits := (rows['status'] == status) & ~nominal)]
    if np.any(~good):
        data.append(_crosses(rows, took, ~good))
    limit = deadline_ms(run)
    marks = Marks().horizontal(limit, f'deadline {limit:g} ms') if limit is not None else None
    missed = run.due - int(np.sum(good))
    figure = layout('time since the first slot [s]', 'plan latency [ms]', marks)
    figure['yaxis'] |= {'rangemode': 'tozero'}
    return Plot(f'Slots, n = {run.due:,} due, {missed:,} missed', data, figure,
                'One point a slot. A cross is a slot without a command in time, whatever the '
                f'reason.{thinned(int(np.sum(nominal)), len(keep), MAX_MARKS)}'
                f'{_cut(rows, nominal, good)}')


def _cut(rows: Rows, nominal: Bools, good: Bools) -> str:
    """Say that not every slot of a status is drawn, where that is so."""
    most = max(int(np.sum(~good)), *(int(np.sum((rows['status'] == s) & ~nominal))
                                     for s in STATUS))
    return (f' Of other statuses at most {MAX_MARKS // 2:,} each are drawn; the legend counts all.'
            if most > MAX_MARKS // 2 else '')


def _name(status: CycleStatus) -> str:
    return 'OK outside its window' if status == CycleStatus.OK else status.name


def _some(hits: Bools) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at = np.flatnonzero(hits)
    return at[spread(len(at), MAX_MARKS // 2)]


def _seconds(rows: Rows) -> Floats:
    return np.asarray((rows['stamp'] - rows['stamp'][0]) / NS_PER_S)


def _cloud(name: str, status: CycleStatus, rows: Rows, took: Floats,
           keep: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Trace:
    colour, symbol = STATUS[status]
    return {'type': 'scatter', 'mode': 'markers', 'name': name,
            'x': rounded(_seconds(rows)[keep]), 'y': rounded(took[keep]),
            'customdata': rows['slot'][keep].tolist(),
            'marker': {'color': colour, 'size': 4 if status == CycleStatus.OK else 6,
                       'symbol': symbol, 'opacity': 0.8},
            'hovertemplate': 'slot %{customdata}: %{y:.2f} ms<extra>' + status.name + '</extra>'}


def _crosses(rows: Rows, took: Floats, missed: Bools) -> Trace:
    keep = _some(missed)
    trace = _cloud(f'missed ({int(np.sum(missed)):,})', CycleStatus.OK, rows, took, keep)
    trace['marker'] = {'color': MUTED, 'size': 9, 'symbol': 'x-thin', 'line': {
        'color': BAD, 'width': 1.5}}
    return trace | {'hovertemplate': 'slot %{customdata}: %{y:.2f} ms<extra>missed</extra>'}
