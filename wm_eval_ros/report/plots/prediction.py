"""How far ahead the model foresees, and whether it knows how far off it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import re

import numpy as np

from wm_eval_ros.metrics.base import Floats
from wm_eval_ros.metrics.calibration import residuals
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    band,
    bounds,
    Drawn,
    layout,
    line,
    Marks,
    MUTED,
    Plot,
    SERIES,
    share_axis,
    Trace,
)
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.stats.calibration import LEVELS
from wm_eval_ros.stats.special import normal_quantile

_LINES = {'model': ('prediction_error', ACCENT, 'solid'),
          'persistence': ('persistence_error', MUTED, 'dash')}
#: steps ahead whose calibration is drawn
_STEPS = (1, 5, 10, 20, 40)
#: entries below which no curve is drawn
_LEAST = 20
_DASHES = ('solid', 'dash', 'dot', 'dashdot', 'longdash')


def by_step(values: Sequence[MetricValue], name: str) -> list[tuple[int, MetricValue]]:
    """Return the figures of a family that have a value, with the steps ahead they stand for."""
    pattern = re.compile(rf'{re.escape(name)}\[h=(\d+)\]')
    return [(int(hit[1]), v) for v in values
            if v.value is not None and (hit := pattern.fullmatch(v.name))]


def horizon(card: Scorecard) -> Drawn:
    """Draw the error of the model over the number of steps foreseen, against persistence."""
    data: list[Trace] = []
    n = 0
    for name, (metric, colour, dash) in _LINES.items():
        found = by_step(card.values, metric)
        if found:
            n = max(n, found[0][1].n)
            data += _curve(name, found, colour, dash)
    if not data:
        return Absent('no imagined latent met an encoded one of its episode')
    useful = next((v for v in card.values if v.name == 'useful_prediction_horizon'), None)
    marks = Marks()
    if useful is not None and useful.value:
        marks.vertical(useful.value, f'useful to {useful.value:g}', ACCENT)
    figure = layout('steps foreseen', 'mean squared latent error [normalised]', marks)
    figure['yaxis'] |= {'rangemode': 'tozero'}
    return Plot(f'Prediction error by horizon, n = {n:,} pairs one step apart', data, figure,
                'Below the grey line the model knows more than that nothing changes. Shaded: '
                '95 %, by episode.')


def _curve(name: str, found: Sequence[tuple[int, MetricValue]], colour: str,
           dash: str) -> Iterator[Trace]:
    x = np.array([h for h, _ in found], float)
    values = [v for _, v in found]
    low, high = bounds(values)
    yield band(x, low, high, colour)
    yield line(name, x, np.array([v.value for v in values], float), colour,
               line={'dash': dash}, customdata=[v.n for v in values],
               hovertemplate='h = %{x}: %{y:.4g}, n = %{customdata}<extra>' + name + '</extra>')


def calibration(card: Scorecard, run: Run) -> Drawn:
    """Draw how many errors lie inside the predicted intervals, against how many should."""
    plans = run.vectors.plans.rows()
    scores = {steps: found for steps in _STEPS
              if len(plans) and steps <= plans['std'].shape[1]
              and len(found := _standardised(run, plans, steps)) >= _LEAST}
    if not scores:
        return Absent('the model predicts no spread, or no rollout with one was driven')
    levels = np.array(LEVELS)
    reach = np.array([normal_quantile((1 + level) / 2) for level in LEVELS])
    data: list[Trace] = [line('as predicted', np.array([0.0, 1.0]), np.array([0.0, 1.0]), MUTED,
                              line={'dash': 'dash', 'width': 1.5})]
    for at, (steps, found) in enumerate(scores.items()):
        inside = np.mean(found[:, None] <= reach, axis=0)
        data.append(line(f'{steps} ahead{_ece(card, steps)}', levels, inside, SERIES[at],
                         line={'dash': _DASHES[at]}, hovertemplate='predicted %{x:.0%}, found '
                         '%{y:.0%}<extra>%{fullData.name}</extra>'))
    figure = layout('predicted share inside', 'share found inside')
    figure['xaxis'] |= share_axis()
    figure['yaxis'] |= share_axis()
    first = len(next(iter(scores.values())))
    return Plot(f'Calibration of the predicted spread, n = {first:,} entries one step ahead',
                data, figure, 'Share of errors inside the central interval the model predicted. '
                'Below the dashed line it is too sure of itself, above it not sure enough.')


def _ece(card: Scorecard, steps: int) -> str:
    """Quote the expected calibration error of the scorecard, where it is given."""
    name = f'calibration_ece[h={steps}]'
    value = next((v for v in card.values if v.name == name), None)
    return '' if value is None or value.value is None else f', ECE {value.value:.3f}'


def _standardised(run: Run, plans: Rows, steps: int) -> Floats:
    """Return |error| / predicted standard deviation of every entry whose spread is predicted."""
    found = residuals(run, plans, steps)
    return np.asarray(np.abs(found.error / found.std)).ravel()
