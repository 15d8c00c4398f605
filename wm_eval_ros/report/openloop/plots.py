"""The figures of an open-loop evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import re

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.openloop.alarms import Alarm, Watch
from wm_eval_ros.openloop.lags import Lag
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.recording import Times
from wm_eval_ros.openloop.scores import Score, Scored
from wm_eval_ros.openloop.streams import ScoreStream
from wm_eval_ros.records import Verdict
from wm_eval_ros.report.plots.base import (
    ACCENT,
    BAD,
    bars,
    envelope,
    GOOD,
    INK,
    layout,
    LIMIT,
    line,
    Marks,
    MUTED,
    OTHER,
    Plot,
    SPECIAL,
    thinned,
    Trace,
    WARN,
)

#: points drawn of one line at most; a page may have dozens of them
_MOST_POINTS = 1600
#: spans shaded at most, the longest first
_MOST_SPANS = 120
_COLOURS = {Verdict.PASS: GOOD, Verdict.FAIL: BAD, Verdict.INCONCLUSIVE: MUTED}
_SHADES = {Reason.SENSOR_LOSS: BAD, Reason.STATE_SILENCE: MUTED,
           Reason.COMMAND_SILENCE: WARN, Reason.SENTINEL: OTHER, Reason.OUTLIER: SPECIAL,
           Reason.NOT_FINITE: SPECIAL}
#: marks of the axis of ratios
_TICKS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20]
#: a dot between two parts of a name, none within an entry's own
_DOT = re.compile(r'\.(?![^\[]*\])')
_SYMBOLS = ('circle', 'diamond', 'square', 'triangle-up', 'cross')


def ratios(scores: Sequence[Score]) -> Plot:
    """Draw the error ratio of every feature and horizon with its interval."""
    horizons = sorted({score.horizon_s for score in scores})
    short = shorter([score.feature for score in scores])
    features = list(dict.fromkeys(short.values()))[::-1]
    data = [trace for symbol, horizon in enumerate(horizons)
            for trace in _ratio_traces([s for s in scores if s.horizon_s == horizon], horizon,
                                       _SYMBOLS[symbol % len(_SYMBOLS)], short)]
    marks = Marks().vertical(1.0, '')
    passed = sum(score.verdict is Verdict.PASS for score in scores)
    figure = layout('RMSE of the model over that of persistence, logarithmic', '', marks)
    figure['xaxis'] |= {'type': 'log', 'tickvals': _TICKS}
    figure['yaxis'] |= {'categoryorder': 'array', 'categoryarray': features, 'automargin': True}
    figure['annotations'] = []
    return Plot(f'Error against persistence, {passed} of {len(scores)} better', data, figure,
                'Left of the dashed line the model knows more than that nothing changes. Green: '
                'better, red: worse, grey: not decided, after Holm over all. Bars: 95 % each, by '
                'blocks of time; none where there are too few.',
                150 + 26 * len(features) * len(horizons))


def _ratio_traces(
    scores: Sequence[Score], horizon_s: float, symbol: str, short: Mapping[str, str],
) -> Iterator[Trace]:
    for verdict, colour in _COLOURS.items():
        own = [s for s in scores if s.verdict is verdict and s.ratio.value is not None]
        yield {'type': 'scatter', 'mode': 'markers', 'name': f'{horizon_s:g} s ahead',
               'legendgroup': f'{horizon_s:g}', 'showlegend': verdict is _first(scores),
               'x': [s.ratio.value for s in own], 'y': [short[s.feature] for s in own],
               'customdata': [[s.verdict.value, s.why] for s in own],
               'error_x': {**bars([s.ratio for s in own]), 'color': colour},
               'marker': {'color': colour, 'size': 10, 'symbol': symbol},
               'hovertemplate': '%{y}, ' f'{horizon_s:g} s: ' '%{x:.2f}<br>%{customdata[0]}: '
                                '%{customdata[1]}<extra></extra>'}


def shorter(features: Sequence[str]) -> dict[str, str]:
    """Return names without what all of them begin with; two parts are always left."""
    names = list(dict.fromkeys(features))
    parts = [_DOT.split(name) for name in names]
    common = next((i for i, each in enumerate(zip(*parts, strict=False))
                   if len(set(each)) > 1), len(parts[0]))
    return {name: '.'.join(each[min(common, max(0, len(each) - 2)):])
            for name, each in zip(names, parts, strict=True)}


def _first(scores: Sequence[Score]) -> Verdict:
    """Return the verdict whose marker stands in the legend: the first that has one."""
    found = {s.verdict for s in scores if s.ratio.value is not None}
    return next((v for v in _COLOURS if v in found), Verdict.INCONCLUSIVE)


def series(outcome: OpenLoop) -> dict[str, Plot]:
    """Draw prediction over observation for every feature and horizon, the longest first."""
    plots: dict[str, Plot] = {}
    for scored in sorted(outcome.scored, key=lambda each: -each.horizon_s):
        for column, feature in enumerate(scored.features):
            if len(scored.times_ns):
                plots[f'{feature}, {scored.horizon_s:g} s ahead'] = _series(
                    outcome, scored, column)
    return plots


def _series(outcome: OpenLoop, scored: Scored, column: int) -> Plot:
    feature = scored.features[column]
    truth, predicted = scored.truth[:, column], scored.predicted[:, column]
    keep = np.unique(np.concatenate([envelope(truth, _MOST_POINTS),
                                     envelope(predicted, _MOST_POINTS // 2)]))
    data = [_broken('observed', outcome, scored.times_ns, truth, keep, INK, 1.2),
            _broken(f'foreseen {scored.horizon_s:g} s before', outcome, scored.times_ns, predicted,
                    keep, ACCENT, 1.6)]
    marks, names = _shaded(outcome)
    masked = ', '.join(f'{count} {reason.label.replace("_", " ")}'
                       for reason, count in scored.masked.items())
    figure = layout('time since the start of the recording [s]',
                    shorter(scored.features)[feature], marks)
    return Plot(
        f'Foreseen and observed, {scored.scored:,} of {scored.possible:,} windows scored',
        [*data, *_keys(names)], figure,
        'Left of the dashed line each prediction is by a model of the other stretches. '
        f'{f"Windows masked: {masked}." if masked else "No window was masked."}'
        f'{thinned(len(truth), len(keep))}', 360)


def _broken(
    name: str, outcome: OpenLoop, times_ns: Times, values: Floats, keep: Ints, colour: str,
    width: float,
) -> Trace:
    """Return a line that is broken where windows are missing."""
    usual = float(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 0.0
    holes = np.flatnonzero(np.diff(times_ns) > 1.5 * usual) + 1
    seconds = (times_ns - outcome.start_ns) / 1e9
    cuts = np.searchsorted(keep, holes)
    x, y = np.insert(seconds[keep], cuts, np.nan), np.insert(values[keep], cuts, np.nan)
    return line(name, x, y, colour, line={'width': width}, connectgaps=False,
                hovertemplate='%{x:.2f} s: %{y:.4g}<extra>' + name + '</extra>')


def _mark(outcome: OpenLoop, time_ns: int, text: str) -> Marks:
    """Draw a line at an instant, with what begins there on its right."""
    marks = Marks().vertical(outcome.seconds(time_ns), text, MUTED)
    for note in marks.annotations:
        note.update(xanchor='left', xshift=3, y=0.98, yanchor='top')
    return marks


def _shaded(outcome: OpenLoop) -> tuple[Marks, dict[str, str]]:
    """Shade what is masked and mark where the scored part begins; names and colours of both."""
    marks = _mark(outcome, outcome.cut_ns, 'scored from here')
    longest = sorted(outcome.stretches, key=lambda s: s.start_ns - s.end_ns)[:_MOST_SPANS]
    names: dict[str, str] = {}
    for stretch in longest:
        colour = f'{_SHADES.get(stretch.reason, MUTED)}/0.2'
        names.setdefault(stretch.reason.label.replace('_', ' '), colour)
        marks.area(outcome.seconds(stretch.start_ns), outcome.seconds(stretch.end_ns), colour)
    return marks, names


def _keys(names: Mapping[str, str]) -> Iterator[Trace]:
    """Yield an entry of the legend for each kind of shading."""
    for name, colour in names.items():
        yield {'type': 'scatter', 'mode': 'markers', 'name': name, 'x': [None], 'y': [None],
               'marker': {'symbol': 'square', 'size': 12, 'color': colour}}


def lanes(outcome: OpenLoop) -> Plot:
    """Draw when each score stream raised its alarms, over the sensor losses."""
    names = [watch.stream.name for watch in outcome.watches][::-1]
    data: list[Trace] = []
    for title, colour, pick in (('alarm', BAD, 'alarms'), (
            'beyond its nominal range, no alarm: no threshold', f'{MUTED}', 'excursions')):
        spans = [(watch.stream.name, alarm) for watch in outcome.watches
                 for alarm in getattr(watch, pick)]
        if spans:
            data.append(_lane(title, colour, spans, outcome))
    marks = _mark(outcome, outcome.nominal_end_ns, '')
    for loss in outcome.losses:
        marks.area(outcome.seconds(loss.onset_ns), outcome.seconds(loss.end_ns), f'{BAD}/0.12')
    figure = layout('time since the start of the recording [s]', '', marks)
    figure['xaxis']['range'] = [0, outcome.seconds(outcome.end_ns)]
    figure['yaxis'] |= {'categoryorder': 'array', 'categoryarray': names, 'automargin': True,
                        'range': [-0.6, len(names) - 0.4]}
    count = len(outcome.alarms)
    lost = ', '.join(f'{loss.topic} silent for {loss.duration_s:.1f} s'
                     for loss in outcome.losses)
    return Plot(f'Alarms, n = {count}, of {len(names)} score streams', data, figure,
                f'Shaded: {lost or "no sensor loss"}. Thresholds come from what lies left of the '
                'dashed line.', 150 + 30 * len(names))


def _lane(
    title: str, colour: str, spans: Sequence[tuple[str, Alarm]], outcome: OpenLoop,
) -> Trace:
    x: list[float | None] = []
    y: list[str | None] = []
    text: list[str] = []
    for name, alarm in spans:
        onset, end = outcome.seconds(alarm.onset_ns), outcome.seconds(alarm.end_ns)
        x += [onset, max(end, onset + 0.02), None]
        y += [name, name, None]
        text += [f'{onset:.2f} .. {end:.2f} s, {alarm.ratio:.3g} times the limit'] * 3
    return {'type': 'scatter', 'mode': 'lines+markers', 'name': title, 'x': x, 'y': y,
            'text': text, 'line': {'color': colour, 'width': 9},
            'marker': {'color': colour, 'size': 9, 'symbol': 'line-ns',
                       'line': {'width': 2, 'color': colour}},
            'hovertemplate': '%{y}<br>%{text}<extra></extra>'}


def scores_over_time(outcome: OpenLoop) -> dict[str, Plot]:
    """Draw every score stream over time with its threshold, the highest alarm first."""
    ranked = sorted(outcome.watches, key=lambda watch: -max(
        (alarm.ratio for alarm in watch.alarms), default=0.0))
    return {watch.stream.name: _score(watch, outcome) for watch in ranked
            if len(watch.stream.scores)}


def _score(watch: Watch, outcome: OpenLoop) -> Plot:
    stream, threshold = watch.stream, watch.threshold
    keep = envelope(stream.scores, _MOST_POINTS)
    seconds = (stream.times_ns - outcome.start_ns) / 1e9
    x, y = _drawn(stream, seconds, keep)
    data = [line('score', x, y, ACCENT, line={'width': 1.3}, mode='lines+markers',
                 marker={'size': 3}, hovertemplate='%{x:.2f} s: %{y:.4g}<extra></extra>')]
    marks = _mark(outcome, outcome.nominal_end_ns, 'watched from here')
    if threshold.value is not None:
        marks.horizontal(threshold.value, f'threshold {threshold.value:.3g}')
    for loss in outcome.losses:
        marks.area(outcome.seconds(loss.onset_ns), outcome.seconds(loss.end_ns), f'{BAD}/0.12')
    figure = layout('time since the start of the recording [s]',
                    f'score [{stream.unit}]', marks)
    figure['xaxis']['range'] = [0, outcome.seconds(outcome.end_ns)]
    positive = stream.scores[stream.scores > 0]
    if len(positive) and float(positive.max()) > 30 * float(np.median(positive)):
        ends = 0.2 * float(np.median(positive)), 2 * float(positive.max())
        figure['yaxis'] |= {'type': 'log', 'dtick': 1, 'range': np.log10(ends).tolist()}
        for note in figure['annotations']:
            if note.get('xref') == 'paper':
                note['y'] = float(np.log10(note['y']))
    return Plot(f'{stream.what[:1].upper()}{stream.what[1:]}, alarms: {len(watch.alarms)}', data,
                figure,
                f'{threshold.guarantee.value}: {threshold.why}.', 320)


def _drawn(stream: ScoreStream, seconds: Floats, keep: Ints) -> tuple[Floats, Floats]:
    """Break the line where the score is not known; a long wait is a ramp from its beginning."""
    x, y = seconds[keep], stream.scores[keep]
    if stream.waiting:
        usual = float(np.median(stream.scores))
        long = np.flatnonzero(y > 2 * usual)
        return np.insert(x, long, x[long] - y[long] + usual), np.insert(y, long, usual)
    usual_ns = 5 * float(np.median(stream.spans_ns))
    holes = np.searchsorted(keep, np.flatnonzero(np.diff(stream.times_ns) > usual_ns) + 1)
    return np.insert(x, holes, np.nan), np.insert(y, holes, np.nan)


def lag_curves(lags: Sequence[Lag]) -> dict[str, Plot]:
    """Draw the correlation of every feature with its command, those with a lag first."""
    return {lag.feature: _lag(lag) for lag in sorted(lags, key=lambda lag: lag.lag.value is None)}


def _lag(lag: Lag) -> Plot:
    marks = Marks()
    value, interval = lag.lag.value, lag.lag.interval
    if value is not None:
        marks.vertical(value, f'{value:.3f} s')
    if interval is not None:
        marks.area(interval.low, interval.high, f'{LIMIT}/0.15')
    figure = layout('delay of the feature behind the command [s]', 'correlation', marks)
    low, high = float(np.min(lag.curve)), float(np.max(lag.curve))
    figure['yaxis']['range'] = [max(-1.05, low - 0.08), min(1.05, high + 0.08)]
    data = [line('correlation', lag.delays_s, lag.curve, ACCENT)]
    lead = (lag.lag.why if value is None else
            f'Right of 0 the feature follows {lag.command}. Shaded: 95 % interval of the lag.')
    return Plot(f'Lag behind {lag.command}, correlation {lag.correlation:.2f}', data, figure,
                lead, 300)
