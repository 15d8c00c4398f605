"""Recovery from perturbations over their severity."""

from __future__ import annotations

import re

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.plots.base import (
    Absent,
    bars,
    Drawn,
    layout,
    Plot,
    SERIES,
    share_axis,
    Trace,
)
from wm_eval_ros.scoring.scorecard import Scorecard

_NAME = re.compile(r'recovery_rate\[(?P<label>.*),severity=(?P<severity>.*)\]')
_DASHES = ('solid', 'dash', 'dot', 'dashdot', 'longdash', 'longdashdot')


def severity(card: Scorecard) -> Drawn:
    """Draw the recovery rate of every perturbation over its severity."""
    curves: dict[str, list[tuple[str, MetricValue]]] = {}
    for value in card.values:
        if value.value is not None and (hit := _NAME.fullmatch(value.name)):
            curves.setdefault(hit['label'], []).append((hit['severity'], value))
    wide = {label: points for label, points in curves.items() if len(points) > 1}
    if not wide:
        return Absent('no perturbation was applied at more than one severity'
                      if curves else 'no perturbation was applied')
    data = [_curve(at, label, points) for at, (label, points) in enumerate(wide.items())]
    figure = layout('severity', 'recovery rate', showlegend=True)
    figure['xaxis'] |= {'type': 'category'} if any(
        not _is_number(s) for points in wide.values() for s, _ in points) else {}
    figure['yaxis'] |= share_axis(-0.03, 1.03)
    n = sum(value.n for points in wide.values() for _, value in points)
    return Plot(f'Recovery over severity, n = {n:,} perturbed episodes', data, figure,
                'Share of perturbed episodes that recovered after the last onset and did not '
                'fail. Bars: 95 %, Clopper-Pearson.')


def _curve(at: int, label: str, points: list[tuple[str, MetricValue]]) -> Trace:
    colour = SERIES[at % len(SERIES)]
    values = [value for _, value in points]
    return {'type': 'scatter', 'mode': 'lines+markers', 'name': label,
            'x': [float(s) if _is_number(s) else s for s, _ in points],
            'y': [v.value for v in values], 'error_y': {**bars(values), 'color': colour},
            'line': {'color': colour, 'dash': _DASHES[at % len(_DASHES)], 'width': 1.5},
            'marker': {'color': colour, 'size': 8}, 'customdata': [v.n for v in values],
            'hovertemplate': 'severity %{x}: %{y:.0%}, n = %{customdata}<extra>' + label
            + '</extra>'}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
