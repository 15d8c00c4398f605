"""The detector's score along the run, and the score as a detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_eval_ros.metrics.base import Bools, Floats, Ints, NS_PER_S
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import EventKind, MetricValue
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
    share_axis,
    SPECIAL,
    spread,
    thinned,
    Trace,
)
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.stats.roc import roc_curve

#: spans of one kind drawn at most
MAX_SPANS = 300
#: a score that ranges over more than this factor is drawn on a logarithmic axis
_DECADES = 100


class Span(NamedTuple):
    """From an ON event to its OFF, or to the end of its episode or of the record [ns, ROS]."""

    start_ns: int
    end_ns: int
    label: str


_PAIRS = {
    'perturbation': (EventKind.PERTURB_ON, EventKind.PERTURB_OFF, f'{OTHER}/0.22'),
    'fallback': (EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF, f'{MUTED}/0.3'),
    'intervention': (EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF, f'{SPECIAL}/0.22')}


def spans(run: Run, on: EventKind, off: EventKind) -> list[Span]:
    """
    Return the spans from ON to OFF, in the order of their starts.

    One that is never switched off ends with its episode, else with the record. A second ON of
    the same label while one is open changes nothing.
    """
    ends = {e.number: e.end_ns for e in run.episodes}
    last = int(run.slots['stamp'][-1]) if len(run.slots) else 0
    opened: dict[tuple[int, str], int] = {}
    found = []
    for event in run.events:
        key = (event.episode, event.label)
        if event.kind == on:
            opened.setdefault(key, event.stamp_ns)
        elif event.kind == off:
            # an OFF may give another reason than its ON
            at = key if key in opened else next((k for k in opened if k[0] == key[0]), None)
            if at is not None:
                found.append(Span(opened.pop(at), event.stamp_ns, at[1]))
    found += [Span(start, max(start, ends.get(key[0]) or last), key[1])
              for key, start in opened.items()]
    return sorted(found)


def timeline(run: Run) -> Drawn:
    """Draw the score with its threshold over perturbations, fallbacks and interventions."""
    rows = run.slots
    scored = np.isfinite(rows['surprise'])
    if not np.any(scored):
        return Absent('no detector ran')
    start = int(rows['stamp'][0])
    seconds = np.asarray((rows['stamp'] - start) / NS_PER_S)
    keep = envelope(rows['surprise'])
    data = [_score(seconds, rows, keep)]
    data += _threshold(seconds, rows['threshold'])
    data += _alarms(seconds, rows['surprise'], rows['threshold'])
    marks, legend = _shaded(run, start)
    figure = layout('time since the first slot [s]', _axis(rows['surprise']), marks)
    figure['yaxis'] |= _range(rows['surprise'])
    names = ', '.join(f'{count} {name}{"s" if count != 1 else ""}'
                      for name, count in legend.items() if count)
    above = int(np.sum(rows['surprise'] > rows['threshold']))
    return Plot(f'Surprise, n = {int(np.sum(scored)):,} slots, {above:,} above the threshold',
                [*data, *_legend(legend)], figure,
                f'Shaded: {names or "nothing, neither perturbation nor fallback was recorded"}.'
                f'{thinned(len(rows), len(keep))}', 340)


def _score(seconds: Floats, rows: Rows, keep: Ints) -> Trace:
    """Return the score as a line, broken where slots are missing; a thinned one is whole."""
    whole = len(keep) < len(rows)
    lost = np.flatnonzero((np.diff(rows['slot']) > 1) | (np.diff(rows['episode']) != 0)) + 1
    x, y, slots = seconds[keep], rows['surprise'][keep], rows['slot'][keep]
    if not whole:
        x, y, slots = (np.insert(values, lost, filler) for values, filler in (
            (x, np.nan), (y, np.nan), (slots, -1)))
    return line('surprise', x, y, ACCENT, line={'width': 1.3}, customdata=slots.tolist(),
                hovertemplate='slot %{customdata}, %{x:.2f} s: %{y:.4g}<extra></extra>')


def _axis(scores: Floats) -> str:
    return 'surprise, logarithmic' if _wide(scores) else 'surprise'


def _wide(scores: Floats) -> bool:
    known = scores[np.isfinite(scores)]
    return bool(np.min(known) > 0 and np.max(known) > _DECADES * np.median(known))


def _range(scores: Floats) -> dict[str, str]:
    return {'type': 'log'} if _wide(scores) else {'rangemode': 'tozero'}


def _threshold(seconds: Floats, threshold: Floats) -> list[Trace]:
    known = np.flatnonzero(np.isfinite(threshold))
    if len(known) == 0:
        return []
    # corners only: a threshold is constant over long stretches
    change = np.flatnonzero(np.diff(threshold[known])) if len(known) > 1 else known[:0]
    at = known[np.unique(np.concatenate([[0], change, change + 1, [len(known) - 1]]).astype(int))]
    at = at[spread(len(at), 3000)]
    return [line('threshold', seconds[at], threshold[at], LIMIT,
                 line={'dash': 'dash', 'width': 1.5})]


def _alarms(seconds: Floats, scores: Floats, threshold: Floats) -> list[Trace]:
    at = np.flatnonzero(scores > threshold)
    if len(at) == 0:
        return []
    at = at[spread(len(at), 1500)]
    return [{'type': 'scatter', 'mode': 'markers', 'name': 'above', 'hoverinfo': 'skip',
             'x': seconds[at].round(4).tolist(), 'y': scores[at].tolist(),
             'marker': {'color': BAD, 'size': 5, 'symbol': 'triangle-up'}}]


def _shaded(run: Run, start_ns: int) -> tuple[Marks, dict[str, int]]:
    marks, counts = Marks(), {}
    for name, (on, off, colour) in _PAIRS.items():
        found = spans(run, on, off)
        counts[name] = len(found)
        for span in found[:MAX_SPANS]:
            marks.area((span.start_ns - start_ns) / NS_PER_S, (span.end_ns - start_ns) / NS_PER_S,
                       colour)
    if len(run.episodes) <= 60:
        for episode in run.episodes[1:]:
            if episode.start_ns is not None:
                x = (episode.start_ns - start_ns) / NS_PER_S
                marks.shapes.append({'type': 'line', 'x0': x, 'x1': x, 'y0': 0, 'y1': 1,
                                     'yref': 'paper', 'layer': 'below',
                                     'line': {'color': f'{INK}/0.25', 'width': 1}})
    return marks, counts


def _legend(counts: dict[str, int]) -> list[Trace]:
    """Name the shades in the legend: shapes have no entry of their own."""
    return [{'type': 'scatter', 'mode': 'markers', 'name': name, 'x': [None], 'y': [None],
             'marker': {'symbol': 'square', 'size': 12, 'color': _PAIRS[name][2]}}
            for name, count in counts.items() if count]


def perturbed(run: Run) -> Bools:
    """Say of each due slot whether a perturbation was on, ends included."""
    stamps = run.slots['stamp']
    found = np.zeros(len(stamps), bool)
    for span in spans(run, EventKind.PERTURB_ON, EventKind.PERTURB_OFF):
        found |= (stamps >= span.start_ns) & (stamps <= span.end_ns)
    return found


def roc(run: Run, card: Scorecard) -> Drawn:
    """Draw the rates of true and false alarms over every threshold, and the one in use."""
    rows = run.slots
    scored = np.isfinite(rows['surprise'])
    if not np.any(scored):
        return Absent('no detector ran')
    anomalous = perturbed(run)[scored]
    if not np.any(anomalous) or np.all(anomalous):
        return Absent('no perturbation was recorded: nothing to detect' if not np.any(anomalous)
                      else 'every slot was perturbed: no nominal slot to compare with')
    scores = rows['surprise'][scored]
    curve = roc_curve(scores[anomalous], scores[~anomalous])
    # both rates only rise: their sum spreads the points over steps of either
    keep = spread_along(curve.fpr + curve.tpr)
    data = [line('chance', np.array([0.0, 1.0]), np.array([0.0, 1.0]), MUTED,
                 line={'dash': 'dash', 'width': 1.5}),
            line('score', curve.fpr[keep], curve.tpr[keep], ACCENT,
                 hovertemplate='false alarms %{x:.1%}, detected %{y:.1%}<extra></extra>')]
    data += _operating(scores, rows['threshold'][scored], anomalous)
    figure = layout('share of nominal slots with an alarm', 'share of perturbed slots detected')
    figure['xaxis'] |= share_axis()
    figure['yaxis'] |= share_axis()
    n, m = int(np.sum(anomalous)), int(np.sum(~anomalous))
    return Plot(f'Surprise as a detector, n = {n:,} perturbed and {m:,} nominal slots'
                f'{_area(card)}', data, figure, 'Every threshold from the upper end to the lower. '
                'The diamond is the threshold of the run.')


def spread_along(values: Floats, most: int = 1000) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Choose points of a rising curve so that it is drawn evenly along its length."""
    steps = np.linspace(values[0], values[-1], most)
    at = np.minimum(np.searchsorted(values, steps), len(values) - 1)
    return np.unique(np.concatenate([[0], at, [len(values) - 1]]))


def _area(card: Scorecard) -> str:
    value: MetricValue | None = next(
        (v for v in card.values if v.value is not None and 'auroc' in v.name), None)
    return '' if value is None else f', AUROC {value.value:.3f}'


def _operating(scores: Floats, threshold: Floats, anomalous: Bools) -> list[Trace]:
    known = np.isfinite(threshold)
    if not np.any(known & anomalous) or not np.any(known & ~anomalous):
        return []
    above = scores > threshold
    tpr = float(np.mean(above[known & anomalous]))
    fpr = float(np.mean(above[known & ~anomalous]))
    return [{'type': 'scatter', 'mode': 'markers+text', 'name': 'threshold of the run',
             'x': [fpr], 'y': [tpr], 'text': [f'{tpr:.0%} at {fpr:.1%}'],
             'textposition': 'bottom right',
             'marker': {'symbol': 'diamond', 'size': 12, 'color': LIMIT},
             'hovertemplate': 'detected %{y:.1%} at %{x:.1%} false alarms<extra></extra>'}]
