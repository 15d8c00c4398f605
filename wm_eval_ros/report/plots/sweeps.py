"""Success over one setting that was varied from run to run."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    bars,
    Drawn,
    layout,
    Marks,
    MUTED,
    Plot,
    share_axis,
    Trace,
)
from wm_eval_ros.report.text import number
from wm_eval_ros.scoring.sweep import (
    HORIZON,
    INJECTED,
    LATENCY,
    MODEL,
    Point,
    SEVERITY,
    Sweep,
)

#: what is varied -> name of the axis
_AXES = {HORIZON: 'planning horizon [steps]', LATENCY: 'injected latency [ms]',
         INJECTED: 'injected latency [ms]', MODEL: 'environment steps the model was trained on'}
#: figures drawn beside success
BESIDE = ('time_to_success.restricted_mean', 'deadline_miss_rate', 'prediction_ratio[h=1]',
          'plan_latency.p95')


def axis(sweep: Sweep) -> str:
    """Return the name of the varied setting, with its unit where it is known."""
    if sweep.key in _AXES:
        return _AXES[sweep.key]
    return f'severity of {sweep.key}' if sweep.key.rpartition('.')[2] == SEVERITY else sweep.key


def metrics(sweep: Sweep) -> tuple[str, ...]:
    """Return the names of the figures that are read off this curve."""
    return ('success_rate', *(v.name for v in sweep.figures))


def success(sweep: Sweep) -> Drawn:
    """Draw success at every value that was run, and what is read off the curve."""
    known = [p for p in sweep.points if p.success.value is not None]
    if not known:
        return Absent('no episode was decided at any point')
    placed = all(p.x is not None for p in known)
    marks, readings = Marks(), []
    for value in sweep.figures:
        if placed and value.value is not None and value.unit != '1':
            marks.vertical(value.value, f'{value.name} {number(value.value)}', ACCENT)
        readings.append(_reading(value))
    figure = layout(axis(sweep), 'success rate', marks, showlegend=False)
    figure['yaxis'] |= share_axis(-0.03, 1.03)
    figure['xaxis'] |= _scale(known) if placed else {'type': 'category'}
    n = sorted({p.success.n for p in known})
    each = f'{n[0]}' if len(n) == 1 else f'{n[0]} to {n[-1]}'
    data = [_curve(known, placed, [p.success for p in known])]
    return Plot(f'Success over {axis(sweep)}, n = {each} episodes a point', data, figure,
                ' '.join(['Bars: 95 %, Clopper-Pearson, each for its own value.', *readings]))


def beside(sweep: Sweep, name: str) -> Drawn:
    """Draw another figure of the runs over the same values."""
    found = [(p, v) for p in sweep.points
             if (v := next((v for v in p.values if v.name == name), None)) is not None
             and v.value is not None]
    if not found:
        return Absent(f'no point has {name}')
    points, values = [p for p, _ in found], [v for _, v in found]
    placed = all(p.x is not None for p in points)
    unit = '' if values[0].unit == '1' else f' [{values[0].unit}]'
    figure = layout(axis(sweep), f'{name.rpartition(".")[2]}{unit}', showlegend=False)
    figure['xaxis'] |= _scale(points) if placed else {'type': 'category'}
    figure['yaxis'] |= {'rangemode': 'tozero'}
    return Plot(f'{name}, n = {len(found)} points', [_curve(points, placed, values)], figure,
                'Bars: the interval of each point, where it has one.', 280)


def frontier(sweep: Sweep) -> Drawn:
    """Draw success against the CPU time of a decision, and what no other setting beats."""
    found = [(p, p.cpu, yes) for p, yes in zip(sweep.points, sweep.frontier, strict=True)
             if p.cpu is not None and yes is not None]
    if not found:
        return Absent('the CPU time of a decision is not known, or does not follow the setting')
    best = sorted(((p, cpu) for p, cpu, yes in found if yes), key=lambda each: each[1].value or 0)
    others = [(p, cpu) for p, cpu, yes in found if not yes]
    figure = layout('CPU time of a decision, mean [ms]', 'success rate')
    figure['yaxis'] |= share_axis(-0.03, 1.03)
    figure['xaxis'] |= {'rangemode': 'tozero'}
    data = [_against('efficient', best, ACCENT, joined=True)]
    if others:
        data.append(_against('others', others, MUTED, joined=False))
    return Plot(f'Success against computing time, n = {len(found)} settings', data, figure,
                'No setting costs less than an efficient one and succeeds as often, by the '
                'estimates of both. Bars: 95 %, Clopper-Pearson and over episodes.', 360)


def _against(name: str, found: list[tuple[Point, MetricValue]], colour: str, *, joined: bool
             ) -> Trace:
    spent, won = [cpu for _, cpu in found], [p.success for p, _ in found]
    return {'type': 'scatter', 'mode': 'lines+markers' if joined else 'markers', 'name': name,
            'x': [v.value for v in spent], 'y': [v.value for v in won],
            'error_x': {**bars(spent), 'color': colour}, 'error_y': {**bars(won), 'color': colour},
            'line': {'color': colour, 'width': 1.5, 'shape': 'hv'},
            'marker': {'color': colour, 'size': 8},
            'customdata': [[p.success.n, p.text] for p, _ in found],
            'hovertemplate': '%{customdata[1]}: %{y:.3g} at %{x:.3g} ms, n = %{customdata[0]}'
                             '<extra></extra>'}


def _curve(points: list[Point], placed: bool, values: list[MetricValue]) -> Trace:
    x = [p.x if placed else p.text for p in points]
    joined = placed and len(set(x)) == len(x)
    return {'type': 'scatter', 'mode': 'lines+markers' if joined else 'markers', 'x': x,
            'y': [v.value for v in values], 'error_y': {**bars(values), 'color': ACCENT},
            'line': {'color': ACCENT, 'width': 1.5}, 'marker': {'color': ACCENT, 'size': 8},
            'customdata': [[v.n, p.text] for v, p in zip(values, points, strict=True)],
            'hovertemplate': '%{customdata[1]}: %{y:.4g}, n = %{customdata[0]}<extra></extra>'}


def _scale(points: list[Point]) -> dict[str, str]:
    """Choose a logarithmic axis where the values lie on one."""
    x = np.unique([p.x for p in points if p.x is not None])
    wide = len(x) > 2 and x[0] > 0 and x[-1] / x[0] > 30
    return {'type': 'log'} if wide else {}


def _reading(value: MetricValue) -> str:
    if value.value is None:
        return f'{value.name}: none, {value.why}.'
    ends = '' if value.interval is None else (
        f' ({number(value.interval.low)} to {number(value.interval.high)})')
    unit = '' if value.unit == '1' else f' {value.unit}'
    return f'{value.name}: {number(value.value)}{ends}{unit}.'
