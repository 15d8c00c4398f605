"""The page of a sweep: what is read off the curve first, then the curve."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report import parts
from wm_eval_ros.report.plots import sweeps
from wm_eval_ros.report.plots.base import Drawn
from wm_eval_ros.report.shell import assemble
from wm_eval_ros.report.text import number
from wm_eval_ros.scoring.sweep import Point, Sweep


def page(sweep: Sweep) -> str:
    """
    Return a sweep as HTML.

    :raises MissingExtraError: plotly is not installed
    """
    drawn: dict[str, Mapping[str, Drawn]] = {'success': {'': sweeps.success(sweep)}}
    drawn |= {f'beside-{at}': {'': sweeps.beside(sweep, name)}
              for at, name in enumerate(sweeps.BESIDE)}
    drawn['frontier'] = {'': sweeps.frontier(sweep)}
    found = {place: own for place, each in drawn.items() if (own := parts.plotted(each))}
    title = f'{sweep.scenario}: success over {sweep.key}, {sweep.clock}'
    return assemble(title, _body(sweep, drawn, title), found)


def _body(sweep: Sweep, drawn: Mapping[str, Mapping[str, Drawn]], title: str) -> str:
    leading = [(v.name, v) for v in sweep.figures] or [
        (f'success at {p.text}', p.success) for p in sweep.points[:4]]
    names = ['success_rate', *sweeps.BESIDE, *(v.name for v in sweep.figures)]
    metrics = {'success': sweeps.metrics(sweep)} | {
        f'beside-{at}': (name,) for at, name in enumerate(sweeps.BESIDE)}
    metrics['frontier'] = ('success_rate', 'cpu_time')
    if any(p.cpu is not None for p in sweep.points):
        names.append('cpu_time')
    figures = ''.join(parts.figure(place, each, metrics[place],
                                   wide=place in ('success', 'frontier'))
                      for place, each in drawn.items())
    notes = ''.join(f'<li>{parts.prose(note)}</li>' for note in sweep.notes)
    return (f'<div class="page"><header><p class="run">{escape(title)}</p>'
            f'<h1>{_headline(sweep)}</h1></header>{parts.board(leading)}'
            f'<ul class="plain soft">{notes}</ul>'
            f'<main>{parts.part("Curve", f"<div class=grid>{figures}</div>")}'
            f'{parts.part("Points", _points(sweep))}</main>'
            f'{parts.part("Definitions", parts.definitions(names))}</div>')


def _headline(sweep: Sweep) -> str:
    """Return what is read off the curve, or what was varied where nothing is."""
    known = [v for v in sweep.figures if v.value is not None]
    if not known:
        return f'{escape(sweeps.axis(sweep))}: {len(sweep.points)} values'
    value, unit = parts.shown(known[0])
    return (f'{escape(known[0].name)}: {escape(f"{value} {unit}".strip())} '
            f'<small>{parts.prose(parts.range_text(known[0]))}</small>')


def _points(sweep: Sweep) -> str:
    beside = [name for name in sweeps.BESIDE
              if any(v.name == name and v.value is not None for p in sweep.points
                     for v in p.values)]
    heads = ''.join(f'<th class="r">{parts.defined(name)}</th>' for name in beside)
    spent = any(p.cpu is not None for p in sweep.points)
    if spent:
        heads += f'<th class="r">{parts.defined("cpu_time", "CPU [ms]")}</th><th>efficient</th>'
    rows = ''.join(_row(point, beside, _spent(point, yes) if spent else '')
                   for point, yes in zip(sweep.points, sweep.frontier, strict=True))
    return ('<table class="flow"><thead><tr><th>value</th><th class="r">success</th>'
            f'<th class="r">n</th><th>95&nbsp;%</th>{heads}<th>bag</th></tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def _spent(point: Point, efficient: bool | None) -> str:
    cost = number(point.cpu.value if point.cpu else None, 3)
    return (f'<td class="r" data-label="CPU [ms]">{cost}</td>'
            f'<td data-label="efficient">{"yes" if efficient else ""}</td>')


def _row(point: Point, beside: list[str], spent: str) -> str:
    success = point.success
    cells = ''.join(f'<td class="r" data-label="{escape(name)}">{_cell(point, name)}</td>'
                    for name in beside)
    return (f'<tr><td><b>{escape(point.text)}</b></td>'
            f'<td class="r">{escape(" ".join(parts.shown(success)).strip())}</td>'
            f'<td class="r" data-label="n =">{success.n:,}</td>'
            f'<td>{parts.prose(parts.range_text(success))}</td>{cells}{spent}'
            f'<td><code>{escape(point.bag)}</code></td></tr>')


def _cell(point: Point, name: str) -> str:
    value: MetricValue = parts.lookup(point.values, name)
    return escape(' '.join(parts.shown(value)).strip())
