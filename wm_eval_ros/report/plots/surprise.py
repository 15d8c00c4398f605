"""The detector's score along the run, under what was done to the robot."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints, NS_PER_S
from wm_eval_ros.metrics.perturbations import windows
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.spells import FALLBACK, INTERVENTION, Spell
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    BAD,
    Drawn,
    envelope,
    INK,
    layout,
    LIMIT,
    line,
    Marks,
    MUTED,
    OTHER,
    Plot,
    SPECIAL,
    spread,
    thinned,
    Trace,
)

#: spans of one kind drawn at most, and borders of episodes
MAX_SPANS = 300
_MAX_BORDERS = 60
#: a score that ranges over more than this factor is drawn on a logarithmic axis
_DECADES = 100
_COLOURS = {'perturbation': f'{OTHER}/0.22', 'fallback': f'{MUTED}/0.3',
            'intervention': f'{SPECIAL}/0.22'}


def spans(run: Run) -> dict[str, list[Spell]]:
    """Return begin and end [ns, ROS] of what is shaded, by its name."""
    perturbed = [spell for _, done in sorted(run.applied.items()) for spell in windows(done)]
    return {'perturbation': perturbed, 'fallback': list(run.spells(FALLBACK)),
            'intervention': list(run.spells(INTERVENTION))}


def timeline(run: Run) -> Drawn:
    """Draw the score with its threshold over perturbations, fallbacks and interventions."""
    rows = run.slots
    scored = np.isfinite(rows['surprise'])
    if not np.any(scored):
        return Absent('no detector ran')
    start = int(rows['stamp'][0])
    seconds = np.asarray((rows['stamp'] - start) / NS_PER_S)
    keep = envelope(rows['surprise'])
    data = [_score(seconds, rows, keep), *_threshold(seconds, rows['threshold']),
            *_alarms(seconds, rows['surprise'], rows['threshold'])]
    shaded = spans(run)
    data += _legend(shaded)
    figure = layout('time since the first slot [s]',
                    'surprise, logarithmic' if _wide(rows['surprise']) else 'surprise',
                    _marks(run, shaded, start))
    figure['yaxis'] |= {'type': 'log'} if _wide(rows['surprise']) else {'rangemode': 'tozero'}
    above = int(np.sum(rows['surprise'] > rows['threshold']))
    return Plot(f'Surprise, n = {int(np.sum(scored)):,} slots, {above:,} above the threshold',
                data, figure, f'{_told(shaded)}{thinned(len(rows), len(keep))}', 340)


def _score(seconds: Floats, rows: Rows, keep: Ints) -> Trace:
    """Return the score as a line, broken where slots are missing; a thinned one is whole."""
    lost = np.flatnonzero((np.diff(rows['slot']) > 1) | (np.diff(rows['episode']) != 0)) + 1
    x, y, slots = seconds[keep], rows['surprise'][keep], rows['slot'][keep]
    if len(keep) == len(rows):
        x, y, slots = (np.insert(values, lost, filler) for values, filler in (
            (x, np.nan), (y, np.nan), (slots, -1)))
    return line('surprise', x, y, ACCENT, line={'width': 1.3}, customdata=slots.tolist(),
                hovertemplate='slot %{customdata}, %{x:.2f} s: %{y:.4g}<extra></extra>')


def _wide(scores: Floats) -> bool:
    known = scores[np.isfinite(scores)]
    return bool(np.min(known) > 0 and np.max(known) > _DECADES * np.median(known))


def _threshold(seconds: Floats, threshold: Floats) -> list[Trace]:
    known = np.flatnonzero(np.isfinite(threshold))
    if len(known) == 0:
        return []
    # corners only: a threshold is constant over long stretches
    change = np.flatnonzero(np.diff(threshold[known]))
    corners = np.unique(np.concatenate([[0], change, change + 1, [len(known) - 1]]).astype(int))
    at = known[corners[spread(len(corners), 3000)]]
    return [line('threshold', seconds[at], threshold[at], LIMIT,
                 line={'dash': 'dash', 'width': 1.5})]


def _alarms(seconds: Floats, scores: Floats, threshold: Floats) -> list[Trace]:
    at = np.flatnonzero(scores > threshold)
    if len(at) == 0:
        return []
    at = at[spread(len(at), 800)]
    return [{'type': 'scatter', 'mode': 'markers', 'name': 'above', 'hoverinfo': 'skip',
             'x': seconds[at].round(4).tolist(), 'y': scores[at].tolist(),
             'marker': {'color': BAD, 'size': 5, 'symbol': 'triangle-up'}}]


def _marks(run: Run, shaded: dict[str, list[Spell]], start_ns: int) -> Marks:
    marks = Marks()
    for name, found in shaded.items():
        for begin, end in found[:MAX_SPANS]:
            marks.area((begin - start_ns) / NS_PER_S, (end - start_ns) / NS_PER_S, _COLOURS[name])
    borders = [e.start_ns for e in run.episodes[1:] if e.start_ns is not None]
    for border in borders if len(borders) <= _MAX_BORDERS else ():
        x = (border - start_ns) / NS_PER_S
        marks.shapes.append({'type': 'line', 'x0': x, 'x1': x, 'y0': 0, 'y1': 1, 'yref': 'paper',
                             'layer': 'below', 'line': {'color': f'{INK}/0.25', 'width': 1}})
    return marks


def _legend(shaded: dict[str, list[Spell]]) -> list[Trace]:
    """Name the shades in the legend: shapes have no entry of their own."""
    return [{'type': 'scatter', 'mode': 'markers', 'name': name, 'x': [None], 'y': [None],
             'marker': {'symbol': 'square', 'size': 12, 'color': _COLOURS[name]}}
            for name, found in shaded.items() if found]


def _told(shaded: dict[str, list[Spell]]) -> str:
    counts = [f'{len(found):,} {name}{"s" if len(found) != 1 else ""}'
              for name, found in shaded.items() if found]
    most = max(len(found) for found in shaded.values())
    cut = f' The first {MAX_SPANS} of a kind are drawn.' if most > MAX_SPANS else ''
    return (f'Shaded: {", ".join(counts)}.{cut}' if counts else
            'Neither perturbations nor fallbacks nor interventions were recorded.')
