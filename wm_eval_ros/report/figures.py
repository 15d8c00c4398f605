"""The report's figures as plain plotly dictionaries: one message a figure, units on the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wm_eval_ros.metrics.base import Floats
from wm_eval_ros.metrics.latency import plan_latency
from wm_eval_ros.metrics.schedule import met
from wm_eval_ros.metrics.table import happened, Run
from wm_eval_ros.records import CycleStatus, MetricValue
from wm_eval_ros.scoring.scorecard import Scorecard

Figure = dict[str, Any]

BLUE, ORANGE, GREY, RED, GREEN = '#2563eb', '#ea7317', '#64748b', '#dc2626', '#16a34a'
VIOLET, AMBER = '#7c3aed', '#d97706'
#: points drawn of one line or cloud at most
MAX_POINTS = 3000

STATUS_COLOURS = {
    CycleStatus.OK: BLUE, CycleStatus.LATE: ORANGE, CycleStatus.SKIPPED: RED,
    CycleStatus.NO_INPUT: VIOLET, CycleStatus.STALE_INPUT: AMBER,
    CycleStatus.INVALID_OUTPUT: '#be185d', CycleStatus.EXCEPTION: '#111827'}
OUTCOME_COLOURS = {'success': GREEN, 'failure': RED, 'timeout': ORANGE, 'abort': GREY,
                   'open': '#cbd5e1'}


def layout(title: str, x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a figure's layout; the page's script adds fonts and margins."""
    return {'title': {'text': title}, 'xaxis': {'title': {'text': x}},
            'yaxis': {'title': {'text': y}}, **more}


def _vertical(x: float, text: str) -> dict[str, Any]:
    return {'shapes': [{'type': 'line', 'x0': x, 'x1': x, 'y0': 0, 'y1': 1, 'yref': 'paper',
                        'line': {'color': RED, 'dash': 'dash', 'width': 1.5}}],
            'annotations': [{'x': x, 'y': 0.06, 'yref': 'paper', 'text': text, 'showarrow': False,
                             'xanchor': 'right', 'xshift': -5, 'font': {'color': RED}}]}


def _horizontal(y: float, text: str) -> dict[str, Any]:
    return {'shapes': [{'type': 'line', 'x0': 0, 'x1': 1, 'xref': 'paper', 'y0': y, 'y1': y,
                        'line': {'color': RED, 'dash': 'dash', 'width': 1.5}}],
            'annotations': [{'x': 1, 'xref': 'paper', 'y': y, 'text': text, 'showarrow': False,
                             'xanchor': 'right', 'yanchor': 'bottom', 'font': {'color': RED}}]}


def ecdf(samples: Floats) -> tuple[list[float], list[float]]:
    """
    Return the empirical distribution, thinned in the body and never in the tail.

    :returns: values ascending, and the share of samples at or below each
    """
    ordered = np.sort(samples)
    n = len(ordered)
    ranks = np.unique(np.concatenate([
        np.linspace(0, n - 1, min(n, MAX_POINTS // 2)).astype(int),
        np.arange(max(0, n - MAX_POINTS // 2), n)]))
    return ordered[ranks].round(6).tolist(), ((ranks + 1) / n).tolist()


def deadline_ms(run: Run) -> float | None:
    """Return the deadline [ms], from the manifest or the slots."""
    if run.info is not None and run.info.deadline_ns > 0:
        return run.info.deadline_ns / 1e6
    known = run.slots['deadline'][run.slots['deadline'] > 0]
    return float(np.min(known)) / 1e6 if len(known) else None


def latency(run: Run) -> Figure | None:
    """Plan latency and time from due to command, as ECDF with the deadline drawn."""
    rows = run.slots
    sent = happened(rows['publish'])
    response = (rows['publish'][sent] - rows['due'][sent]) / 1e6
    plan = plan_latency(rows)
    if len(plan) == 0:
        return None
    lines = [('planner call', plan, BLUE), ('due to command', response, ORANGE)]
    data = [_step(name, samples, colour) for name, samples, colour in lines if len(samples)]
    limit = deadline_ms(run)
    mark = _vertical(limit, f'deadline {limit:g} ms') if limit is not None else {}
    figure = layout(f'Plan latency, n = {len(plan)} calls in {run.due} due slots',
                    'latency [ms]', 'share of calls at or below', **mark)
    ends = [limit or 0.0, *(float(np.max(samples)) for _, samples, _ in lines if len(samples))]
    figure['xaxis']['range'] = [0, 1.06 * max(ends)]
    figure['yaxis']['range'] = [0, 1.03]
    return {'data': data, 'layout': figure}


def _step(name: str, samples: Floats, colour: str) -> dict[str, Any]:
    x, y = ecdf(samples)
    return {'type': 'scatter', 'mode': 'lines', 'name': name, 'x': x, 'y': y,
            'line': {'shape': 'hv', 'color': colour, 'width': 2},
            'hovertemplate': '%{x:.3f} ms: %{y:.2%}<extra>' + name + '</extra>'}


def _thin(hits: np.ndarray[Any, np.dtype[np.int64]], most: int) -> list[int]:
    at = np.linspace(0, len(hits) - 1, min(most, len(hits))).astype(int)
    return [int(hit) for hit in hits[at]]


def timeline(run: Run) -> Figure | None:
    """Latency of every slot coloured by status, missed slots marked."""
    rows = run.slots
    if len(rows) == 0:
        return None
    called = happened(rows['infer_end']) & happened(rows['infer_start'])
    took = np.where(called, (rows['infer_end'] - rows['infer_start']) / 1e6, 0.0)
    seconds = (rows['stamp'] - rows['stamp'][0]) / 1e9
    data = []
    for status, colour in STATUS_COLOURS.items():
        hits = np.flatnonzero(rows['status'] == status)
        if len(hits):
            keep = _thin(hits, MAX_POINTS)
            data.append(_cloud(status.name, colour, seconds[keep], took[keep], rows['slot'][keep]))
    missed = np.flatnonzero(~met(rows))
    keep = _thin(missed, MAX_POINTS)
    data.append(_crosses(seconds[keep], took[keep], rows['slot'][keep], len(missed)))
    return {'data': data, 'layout': _timeline_layout(run, len(missed))}


def _timeline_layout(run: Run, missed: int) -> dict[str, Any]:
    limit = deadline_ms(run)
    mark = _horizontal(limit, f'deadline {limit:g} ms') if limit is not None else {}
    drawn = ', at most 3000 a status drawn' if len(run.slots) > MAX_POINTS else ''
    unrecorded = int(np.sum(run.gaps)) + run.tail
    title = f'Slots, n = {run.due} due, {missed + unrecorded} missed{drawn}'
    return layout(title, 'time since the first slot [s]', 'plan latency [ms]', **mark)


def _cloud(name: str, colour: str, x: Floats, y: Floats, slots: Any) -> dict[str, Any]:
    return {'type': 'scatter', 'mode': 'markers', 'name': name, 'x': x.round(4).tolist(),
            'y': y.round(4).tolist(), 'customdata': slots.tolist(),
            'marker': {'color': colour, 'size': 5, 'opacity': 0.75},
            'hovertemplate': 'slot %{customdata}: %{y:.2f} ms<extra>' + name + '</extra>'}


def _crosses(x: Floats, y: Floats, slots: Any, count: int) -> dict[str, Any]:
    trace = _cloud(f'missed ({count})', RED, x, y, slots)
    trace['marker'] = {'color': RED, 'size': 9, 'symbol': 'x-thin', 'line': {
        'color': RED, 'width': 1.5}}
    return trace


def episode_strip(card: Scorecard) -> Figure | None:
    """Task time of every episode, coloured by how it ended."""
    if not card.episodes:
        return None
    data = []
    for outcome, colour in OUTCOME_COLOURS.items():
        own = [e for e in card.episodes if e.outcome == outcome]
        if own:
            data.append({
                'type': 'bar', 'name': f'{outcome} ({len(own)})', 'x': [e.episode for e in own],
                'y': [e.time_s or 0.0 for e in own], 'width': 0.85, 'marker': {'color': colour},
                'customdata': [[e.seed, e.slots, e.misses, e.label, ' · solved at start'
                                if e.solved_at_start else ''] for e in own],
                'hovertemplate': 'episode %{x} · seed %{customdata[0]}%{customdata[4]}<br>'
                '%{y:.2f} s · %{customdata[2]} of %{customdata[1]} slots missed<br>'
                '%{customdata[3]}<extra>' + outcome + '</extra>'})
    limit = card.manifest.get('time_limit_s') or 0
    mark = _horizontal(limit, f'time limit {limit:g} s') if limit > 0 else {}
    title = f'Episodes, n = {len(card.episodes)}'
    figure = layout(title, 'episode', 'task time [s]', barmode='overlay', **mark)
    figure['xaxis']['range'] = [-0.6, max(e.episode for e in card.episodes) + 0.6]
    return {'data': data, 'layout': figure}


def error_curve(card: Scorecard) -> Figure | None:
    """Error of the model over the number of steps foreseen, against persistence."""
    lines = {'model': ('prediction_error', BLUE), 'persistence': ('persistence_error', GREY)}
    data = []
    for name, (metric, colour) in lines.items():
        values = [v for v in card.values if v.name.startswith(f'{metric}[h=')
                  and v.value is not None]
        if values:
            data.append(_curve(name, values, colour))
    if not data:
        return None
    n = card['prediction_error[h=1]'].n
    figure = layout(f'Prediction error, n = {n} one-step pairs', 'steps foreseen',
                    'mean squared latent error [normalised]')
    figure['yaxis']['rangemode'] = 'tozero'
    return {'data': data, 'layout': figure}


def _bars(values: Sequence[MetricValue]) -> dict[str, Any]:
    above = [v.interval.high - (v.value or 0) if v.interval else 0 for v in values]
    below = [(v.value or 0) - v.interval.low if v.interval else 0 for v in values]
    return {'type': 'data', 'symmetric': False, 'array': above, 'arrayminus': below,
            'thickness': 1.5}


def _curve(name: str, values: Sequence[MetricValue], colour: str) -> dict[str, Any]:
    steps = [int(v.name.partition('[h=')[2].rstrip(']')) for v in values]
    return {'type': 'scatter', 'mode': 'lines+markers', 'name': name, 'x': steps,
            'y': [v.value for v in values], 'error_y': _bars(values),
            'line': {'color': colour, 'width': 2},
            'customdata': [v.n for v in values],
            'hovertemplate': 'h = %{x}: %{y:.4g}, n = %{customdata}<extra>' + name + '</extra>'}


def baselines(card: Scorecard, others: Sequence[Scorecard]) -> Figure | None:
    """Success of this run and of the others, each with its interval."""
    rows = [(c, c['success_rate']) for c in (*reversed(others), card)]
    known = [(c, v) for c, v in rows if v.value is not None]
    if not others or not known:
        return None
    names = [f'{c.manifest.get("planner") or "?"} (n = {v.n})' for c, v in known]
    values = [v for _, v in known]
    colours = [BLUE if c is card else GREY for c, _ in known]
    trace = {'type': 'scatter', 'mode': 'markers', 'x': [v.value for v in values], 'y': names,
             'error_x': {**_bars(values), 'color': GREY},
             'marker': {'color': colours, 'size': 12},
             'hovertemplate': '%{y}: %{x:.1%}<extra></extra>'}
    figure = layout('Success by planner, 95 % Clopper-Pearson', 'success rate', '')
    figure['xaxis'].update(range=[-0.03, 1.03], tickformat='.0%')
    figure['yaxis'].update(automargin=True, range=[-0.6, len(known) - 0.4])
    figure['height'] = 150 + 55 * len(known)
    return {'data': [trace], 'layout': figure}
