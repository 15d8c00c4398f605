"""The page of a latency curve: the verdict on each board first, then the curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report import parts
from wm_eval_ros.report.checks import Check, GATE
from wm_eval_ros.report.plots import sweeps
from wm_eval_ros.report.plots.base import Absent, bars, Drawn, INK, LIMIT, Marks, Trace
from wm_eval_ros.report.shell import assemble
from wm_eval_ros.report.text import number
from wm_eval_ros.scoring.latency_curve import CurvePoint, LatencyCurve

_HOLDS = {True: 'yes', False: 'no', None: 'not decided'}


def page(curve: LatencyCurve) -> str:
    """
    Return a latency curve as HTML.

    :raises MissingExtraError: plotly is not installed
    """
    drawn: dict[str, Mapping[str, Drawn]] = {'success': {'': success(curve)}}
    drawn |= {f'beside-{at}': {'': sweeps.beside(curve.sweep, name)}
              for at, name in enumerate(sweeps.BESIDE)}
    found = {place: own for place, each in drawn.items() if (own := parts.plotted(each))}
    title = f'{curve.sweep.scenario}: success over injected latency, {curve.sweep.clock}'
    return assemble(title, _body(curve, drawn, title), found)


def success(curve: LatencyCurve) -> Drawn:
    """Draw success at every latency, the bound it must keep, and the boards."""
    found = sweeps.success(curve.sweep)
    if isinstance(found, Absent):
        return found
    marks = Marks().horizontal(curve.bound, f'bound {curve.bound:g}', LIMIT)
    for count, fit in enumerate(curve.fits):
        if (at := fit.board.p99_ms) is not None:
            marks.vertical(at, f'{escape(_short(fit.board.name))}: p99 {number(at)} ms', INK)
            # one below the other, clear of what is read off the curve
            marks.annotations[-1] |= {'y': max(0.1, 0.7 - 0.08 * count), 'xanchor': 'left',
                                      'xshift': 3}
    data = [*found.data, *([_realtime(curve)] if curve.confirmations else [])]
    figure = {**found.layout, 'shapes': [*found.layout['shapes'], *marks.shapes],
              'annotations': [*found.layout['annotations'], *marks.annotations]}
    return replace(found, data=data, layout=figure)


def _realtime(curve: LatencyCurve) -> Trace:
    """Return the runs in real time, each at what was injected."""
    every = [each.success for each in curve.confirmations]
    return {'type': 'scatter', 'mode': 'markers', 'name': 'realtime',
            'x': [each.latency_ms for each in curve.confirmations],
            'y': [value.value for value in every], 'error_y': {**bars(every), 'color': LIMIT},
            'marker': {'color': LIMIT, 'size': 9, 'symbol': 'diamond-open'},
            'customdata': [value.n for value in every],
            'hovertemplate': 'realtime, %{x:g} ms injected: %{y:.4g}, n = %{customdata}'
                             '<extra></extra>'}


def _short(name: str) -> str:
    """
    Return the end of a path.

    >>> _short('runs/board/bag'), _short('as given')
    ('board/bag', 'as given')
    """
    return '/'.join(name.split('/')[-2:])


def _body(curve: LatencyCurve, drawn: Mapping[str, Mapping[str, Drawn]], title: str) -> str:
    sweep = curve.sweep
    names = ['success_rate', *sweeps.BESIDE, *(v.name for v in sweep.figures)]
    metrics = {'success': sweeps.metrics(sweep)} | {
        f'beside-{at}': (name,) for at, name in enumerate(sweeps.BESIDE)}
    figures = ''.join(parts.figure(place, each, metrics[place], wide=place == 'success')
                      for place, each in drawn.items())
    notes = ''.join(f'<li>{parts.prose(note)}</li>' for note in (*sweep.notes, *curve.notes))
    boards = parts.part('Boards', parts.checks(_checks(curve))) if curve.fits else ''
    realtime = parts.part('In real time', parts.checks(_confirmed(curve))) if (
        curve.confirmations) else ''
    return (f'<div class="page"><header><p class="run">{escape(title)}</p>'
            f'<h1>{parts.MARKS[curve.verdict]} <small>{parts.prose(curve.sentence)}</small></h1>'
            f'</header>{parts.board([(v.name, v) for v in sweep.figures])}'
            f'<ul class="plain soft">{notes}</ul><main>{boards}{realtime}'
            f'{parts.part("Curve", f"<div class=grid>{figures}</div>")}'
            f'{parts.part("Points", _points(curve))}</main>'
            f'{parts.part("Definitions", parts.definitions(names))}</div>')


def _checks(curve: LatencyCurve) -> list[Check]:
    """Return the boards as checks: the sentence, and what makes it less than it says."""
    return [Check(fit.board.name, fit.verdict, '; '.join([fit.sentence, *fit.notes]), GATE)
            for fit in curve.fits]


def _confirmed(curve: LatencyCurve) -> list[Check]:
    return [Check(each.bag, each.verdict, '; '.join([each.sentence, *each.notes]), GATE)
            for each in curve.confirmations]


def _points(curve: LatencyCurve) -> str:
    told = ['delay', 'repeat', 'horizon'] if curve.compensated else []
    heads = ''.join(f'<th class="r">{name}</th>' for name in ['latency [ms]', *told, 'success',
                                                               'n'])
    rows = ''.join(_row(point, told) for point in curve.points)
    return (f'<table class="flow"><thead><tr>{heads}<th>95&nbsp;%</th><th class="r">change</th>'
            f'<th>95&nbsp;%</th><th>at {curve.bound:g}</th><th>bag</th></tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def _row(at: CurvePoint, told: list[str]) -> str:
    success, own = at.point.success, at.change
    settings = ''.join(f'<td class="r" data-label="{name}">{value}</td>'
                       for name, value in zip(told, at.told, strict=False))
    return (f'<tr><td class="r"><b>{at.latency_ms:g}</b></td>{settings}'
            f'<td class="r">{escape(" ".join(parts.shown(success)).strip())}</td>'
            f'<td class="r" data-label="n =">{success.n:,}</td>'
            f'<td>{parts.prose(parts.range_text(success))}</td>'
            f'<td class="r" data-label="change">{number(own.value, 3)}</td>'
            f'<td>{parts.prose(_ends(own))}</td><td data-label="holds">{_HOLDS[at.holds]}</td>'
            f'<td><code>{escape(at.point.bag)}</code></td></tr>')


def _ends(value: MetricValue) -> str:
    if value.interval is None:
        return value.why
    return f'{value.interval.low:.3f} to {value.interval.high:.3f}'
