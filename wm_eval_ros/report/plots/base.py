"""What the figures have in common: colours by role, limits, lines, bands, thinning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.records import Interval, MetricValue

Trace = dict[str, Any]
Layout = dict[str, Any]

# Colours are named by what they mean; the page has a value for each in light and in dark.
ACCENT, OTHER, MUTED, LIMIT = '@accent', '@other', '@muted', '@limit'
GOOD, BAD, WARN, SPECIAL, INK = '@good', '@bad', '@warn', '@special', '@ink'
#: enough to tell the sides of a comparison apart
SERIES = (ACCENT, OTHER, GOOD, SPECIAL, WARN, MUTED)

#: points drawn of one line or cloud at most
MAX_POINTS = 3000


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its message and how it is read."""

    #: message, with n
    title: str
    data: list[Trace]
    layout: Layout
    #: how to read it, and what was thinned out; one or two sentences
    lead: str = ''
    #: height on a wide page [px]
    height: int = 320


@dataclass(frozen=True, slots=True)
class Absent:
    """A figure that cannot be drawn, and why."""

    why: str


Drawn = Plot | Absent


@dataclass
class Marks:
    """Lines, areas and words that are no data: limits, perturbations, boundaries."""

    shapes: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def vertical(self, x: float, text: str, colour: str = LIMIT) -> Marks:
        """Draw a limit across the figure at x."""
        self.shapes.append({'type': 'line', 'x0': x, 'x1': x, 'y0': 0, 'y1': 1, 'yref': 'paper',
                            'line': {'color': colour, 'dash': 'dash', 'width': 1.5}})
        self.annotations.append({
            'x': x, 'y': 0.02, 'yref': 'paper', 'text': text, 'showarrow': False,
            'xanchor': 'right', 'yanchor': 'bottom', 'xshift': -3, 'font': {'color': colour}})
        return self

    def horizontal(self, y: float, text: str, colour: str = LIMIT) -> Marks:
        """Draw a limit across the figure at y."""
        self.shapes.append({'type': 'line', 'x0': 0, 'x1': 1, 'xref': 'paper', 'y0': y, 'y1': y,
                            'line': {'color': colour, 'dash': 'dash', 'width': 1.5}})
        self.annotations.append({
            'x': 1, 'xref': 'paper', 'y': y, 'text': text, 'showarrow': False,
            'xanchor': 'right', 'yanchor': 'bottom', 'font': {'color': colour}})
        return self

    def area(self, x0: float, x1: float, colour: str) -> Marks:
        """Shade a span of x behind the data."""
        self.shapes.append({'type': 'rect', 'x0': x0, 'x1': x1, 'y0': 0, 'y1': 1,
                            'yref': 'paper', 'line': {'width': 0}, 'fillcolor': colour,
                            'layer': 'below'})
        return self


def layout(x: str, y: str, marks: Marks | None = None, **more: Any) -> Layout:
    """Return a figure's layout with named axes; the page adds fonts, margins and colours."""
    found = {'xaxis': {'title': {'text': x}}, 'yaxis': {'title': {'text': y}}, **more}
    if marks is not None:
        found |= {'shapes': marks.shapes, 'annotations': marks.annotations}
    return found


def share_axis(low: float = -0.02, high: float = 1.02) -> dict[str, Any]:
    """Return the range and ticks of an axis of shares."""
    return {'range': [low, high], 'tickformat': '.0%'}


def rounded(values: Floats, digits: int = 6) -> list[float | None]:
    """Return numbers with so many significant digits, None where they are not finite."""
    return [float(f'{v:.{digits}g}') if np.isfinite(v) else None for v in values.tolist()]


def line(name: str, x: Floats, y: Floats, colour: str, **more: Any) -> Trace:
    """Return a line; entries that are not finite are gaps."""
    style = {'color': colour, 'width': 2, **more.pop('line', {})}
    return {'type': 'scatter', 'mode': 'lines', 'name': name, 'x': rounded(x, 9),
            'y': rounded(y), 'line': style, **more}


def band(x: Floats, low: Floats, high: Floats, colour: str, **more: Any) -> Trace:
    """Return the area between two lines, gaps left out."""
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    if more.pop('step', False):
        x, low, high = _stairs(x, low, high)
    return {'type': 'scatter', 'mode': 'lines', 'x': rounded(np.concatenate([x, x[::-1]]), 9),
            'y': rounded(np.concatenate([high, low[::-1]])), 'fill': 'toself',
            'fillcolor': f'{colour}/0.15', 'line': {'width': 0}, 'hoverinfo': 'skip',
            'showlegend': False, **more}


def _stairs(x: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """Turn points of a curve that holds its value until the next one into corners."""
    return np.repeat(x, 2)[1:], np.repeat(low, 2)[:-1], np.repeat(high, 2)[:-1]


def stairs(name: str, x: Floats, y: Floats, colour: str, **more: Any) -> Trace:
    """Return a line that holds its value until the next point."""
    style = {'shape': 'hv', **more.pop('line', {})}
    return line(name, x, y, colour, line=style, **more)


def bounds(values: Sequence[MetricValue]) -> tuple[Floats, Floats]:
    """Return the ends of the intervals, NaN where there is none, shape (N,)."""
    ends = [v.interval or Interval(np.nan, np.nan) for v in values]
    return np.array([e.low for e in ends], float), np.array([e.high for e in ends], float)


def bars(values: Sequence[MetricValue]) -> dict[str, Any]:
    """Return the intervals as error bars; an end that the data does not reach has none."""
    low, high = bounds(values)
    middle = np.array([np.nan if v.value is None else v.value for v in values], float)
    above, below = (np.where(np.isfinite(d), np.maximum(d, 0), 0)
                    for d in (high - middle, middle - low))
    return {'type': 'data', 'symmetric': False, 'array': rounded(above),
            'arrayminus': rounded(below), 'thickness': 1.5, 'width': 4}


def ecdf(samples: Floats) -> tuple[Floats, Floats]:
    """
    Return the empirical distribution, thinned in the body and never in the tail.

    :returns: values ascending, and the share of samples at or below each
    """
    ordered = np.sort(samples)
    n = len(ordered)
    ranks = np.unique(np.concatenate([
        np.linspace(0, n - 1, min(n, MAX_POINTS // 2)).astype(int),
        np.arange(max(0, n - MAX_POINTS // 2), n)]))
    return ordered[ranks], (ranks + 1) / n


def envelope(values: Floats, most: int = MAX_POINTS) -> Ints:
    """
    Choose which points of a long line to draw: the least and the largest of each bucket.

    What is drawn reaches as far as the whole line does; nothing is averaged.

    :param values: in the order of the axis, shape (N,); entries that are not finite are never
        chosen from a bucket that has others
    :returns: indices, ascending, at most ``most``; all of them where N is no more

    >>> envelope(np.array([0.0, 9.0, 1.0, 2.0, -5.0, 3.0]), 4).tolist()
    [0, 1, 4, 5]
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most // 2 + 1).astype(int)
    chosen = [_extremes(values[low:high]) + low for low, high in pairwise(edges) if high > low]
    return np.unique(np.concatenate(chosen))


def _extremes(values: Floats) -> Ints:
    known = np.isfinite(values)
    if not np.any(known):
        return np.array([0])
    return np.array([np.argmin(np.where(known, values, np.inf)),
                     np.argmax(np.where(known, values, -np.inf))])


def thinned(count: int, drawn: int, most: int = MAX_POINTS) -> str:
    """Say how a long line was thinned to at most so many points; nothing where it was not."""
    if drawn >= count:
        return ''
    return (f' Drawn as the least and the largest of every {round(2 * count / most):,} in a row, '
            f'{drawn:,} of {count:,} points.')


def spread(count: int, most: int) -> Ints:
    """Return at most so many indices of a row of count, evenly spread, both ends among them."""
    if count == 0:
        return np.zeros(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
