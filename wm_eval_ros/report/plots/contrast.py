"""Systems side by side: success, differences, latencies, the sequential test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wm_eval_ros.metrics.base import NS_PER_MS
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    bars,
    Drawn,
    ecdf,
    INK,
    layout,
    Marks,
    MUTED,
    Plot,
    SERIES,
    share_axis,
    stairs,
    Trace,
)
from wm_eval_ros.scoring.compare import Better, Comparison, Contrast
from wm_eval_ros.scoring.evidence import Evidence

_DASHES = ('solid', 'dash', 'dot', 'dashdot', 'longdash', 'longdashdot')


def success(comparison: Comparison) -> Drawn:
    """Draw the success of every side with its interval, and its letters where there are any."""
    rows = [(side, side.figures[0]) for side in reversed(comparison.sides) if side.figures]
    known = [(side, value) for side, value in rows if value.value is not None]
    if not known:
        return Absent('no episode was decided')
    names = [f'{side.letter}: {_short(side.title)}{_letters(comparison, side.letter)}'
             for side, _ in known]
    values = [value for _, value in known]
    trace = {'type': 'scatter', 'mode': 'markers', 'x': [v.value for v in values], 'y': names,
             'error_x': {**bars(values), 'color': MUTED}, 'marker': {'color': ACCENT, 'size': 11},
             'customdata': [v.n for v in values],
             'hovertemplate': '%{y}: %{x:.1%}, n = %{customdata}<extra></extra>'}
    figure = layout('success rate', '', showlegend=False)
    figure['xaxis'] |= share_axis(-0.03, 1.03)
    figure['yaxis'] |= {'automargin': True, 'range': [-0.6, len(known) - 0.4]}
    counts = ', '.join(f'{side.letter} {value.n}' for side, value in reversed(known))
    lead = 'Bars: 95 %, each for its own side; whether two differ is not read off them.'
    if comparison.letters:
        lead += ' Sides that share a letter in brackets are not shown to differ.'
    return Plot(f'Success, n = {counts} episodes', [trace], figure, lead, 110 + 48 * len(known))


def _short(title: str) -> str:
    return title if len(title) <= 28 else f'{title[:27]}…'


def _letters(comparison: Comparison, letter: str) -> str:
    return f' [{comparison.letters[letter]}]' if comparison.letters else ''


def differences(comparison: Comparison) -> Drawn:
    """Draw the difference in success of every two sides."""
    known = [c for c in reversed(comparison.contrasts) if c.success.difference.value is not None]
    if len(comparison.contrasts) < 2:
        return Absent('two sides only: their difference leads the page')
    if not known:
        return Absent('no difference in success is known')
    data = [_difference(c) for c in known]
    marks = Marks()
    marks.shapes.append({'type': 'line', 'x0': 0, 'x1': 0, 'y0': 0, 'y1': 1, 'yref': 'paper',
                         'line': {'color': INK, 'width': 1}})
    figure = layout('difference in success', '', marks, showlegend=False)
    figure['xaxis'] |= {'tickformat': '+.0%'}
    figure['yaxis'] |= {'automargin': True, 'range': [-0.6, len(known) - 0.4]}
    return Plot(f'Differences in success, n = {len(known)} contrasts', data, figure,
                'Bars: 95 %. Filled: shown to differ, after allowing for the number of contrasts.',
                110 + 40 * len(known))


def _difference(contrast: Contrast) -> Trace:
    value = contrast.success.difference
    told = contrast.better in (Better.FIRST, Better.SECOND)
    colour = ACCENT if told else MUTED
    return {'type': 'scatter', 'mode': 'markers', 'x': [value.value],
            'y': [f'{contrast.first} − {contrast.second}'],
            'error_x': {**bars([value]), 'color': colour},
            'marker': {'color': colour, 'size': 11, 'symbol': 'circle' if told else 'circle-open',
                       'line': {'width': 2}},
            'hovertemplate': '%{y}: %{x:+.1%}<extra></extra>'}


def latency(comparison: Comparison, evidence: Sequence[Evidence]) -> Drawn:
    """Draw the planner's latency of all sides over each other, with the deadline."""
    sides = zip(comparison.sides, evidence, strict=False)
    samples = {side.letter: np.concatenate([np.zeros(0), *(
        e.samples['plan_latency'] for e in own.episodes if 'plan_latency' in e.samples)])
        for side, own in sides}
    known = {letter: found for letter, found in samples.items() if len(found)}
    if not known:
        return Absent('no samples of latency: only scorecards were compared')
    data = [stairs(letter, *ecdf(found), SERIES[at % len(SERIES)],
                   line={'dash': _DASHES[at % len(_DASHES)]},
                   hovertemplate='%{x:.3f} ms: %{y:.2%}<extra>' + letter + '</extra>')
            for at, (letter, found) in enumerate(known.items())]
    limits = {side.manifest.get('deadline_ns') or 0 for side in comparison.sides}
    marks = Marks()
    for limit in sorted(limits - {0}):
        marks.vertical(limit / NS_PER_MS, f'deadline {limit / NS_PER_MS:g} ms')
    figure = layout('planner call [ms]', 'share of calls at or below', marks, showlegend=True)
    figure['xaxis'] |= {'rangemode': 'tozero'}
    figure['yaxis'] |= {'range': [0, 1.03], 'tickformat': '.0%'}
    counts = ', '.join(f'{letter} {len(found):,}' for letter, found in known.items())
    return Plot(f'Plan latency, n = {counts} calls', data, figure,
                'What lies right of the dashed line came too late.')


def path(comparison: Comparison, contrast: Contrast) -> Drawn:
    """Draw the e-value of the sequential test along the pairs, with what decides."""
    known = [(at, p) for at, p in enumerate(contrast.path, 1) if p.e_value is not None]
    if not known:
        return Absent('unpaired episodes have no sequential test')
    limit = 1 / comparison.alpha
    x = np.array([at for at, _ in known], float)
    y = np.array([p.e_value for _, p in known], float)
    trace = stairs('e-value', x, y, ACCENT, mode='lines+markers' if len(known) < 80 else 'lines',
                   marker={'size': 4}, customdata=[[p.seed, p.only_first, p.only_second]
                                                   for _, p in known],
                   hovertemplate='pair %{x}, seed %{customdata[0]}: e = %{y:.3g}<br>only '
                   f'{contrast.first} %{{customdata[1]}}, only {contrast.second} '
                   '%{customdata[2]}<extra></extra>')
    marks = Marks()
    marks.shapes.append({'type': 'line', 'x0': 0, 'x1': 1, 'xref': 'paper', 'y0': limit,
                         'y1': limit, 'line': {'color': '@limit', 'dash': 'dash', 'width': 1.5}})
    marks.annotations.append({'x': 0.01, 'xref': 'paper', 'y': float(np.log10(limit)),
                              'text': f'{limit:g} decides', 'showarrow': False, 'xanchor': 'left',
                              'yanchor': 'bottom', 'font': {'color': '@limit'}})
    figure = layout('pairs so far', 'e-value, logarithmic', marks, showlegend=False)
    figure['yaxis'] |= {'type': 'log', 'dtick': 1}
    figure['xaxis'] |= {'rangemode': 'tozero'}
    return Plot(f'Evidence for a difference of {contrast.first} and {contrast.second}, '
                f'n = {len(contrast.path)} pairs', [trace], figure,
                'The sequential sign test after every pair, in the order of the seeds. It may be '
                'looked at after each; above the dashed line it has decided.')
