"""How the episodes ended, how long success took, and how other planners fared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wm_eval_ros.metrics.base import Floats
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.metrics.task import steps, waiting_times
from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    BAD,
    band,
    bars,
    Drawn,
    layout,
    Marks,
    MUTED,
    Plot,
    rounded,
    share_axis,
    stairs,
    Trace,
    WARN,
)
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard
from wm_eval_ros.stats.survival import band as survival_band
from wm_eval_ros.stats.survival import kaplan_meier, SurvivalCurve

#: colour and hatching by outcome: told apart without colours too
OUTCOMES = {'success': (ACCENT, ''), 'failure': (BAD, 'x'), 'timeout': (WARN, '/'),
            'abort': (MUTED, '.'), 'open': (MUTED, '-')}


def strip(card: Scorecard) -> Drawn:
    """Draw the task time of every episode, by how it ended."""
    if not card.episodes:
        return Absent('no episode was started')
    data = [_bars(outcome, own) for outcome in OUTCOMES
            if (own := [e for e in card.episodes if e.outcome == outcome])]
    limit = card.manifest.get('time_limit_s') or 0
    marks = Marks().horizontal(limit, f'time limit {limit:g} s') if limit > 0 else None
    figure = layout('episode', 'task time [s]', marks, barmode='overlay')
    numbers = [e.episode for e in card.episodes]
    figure['xaxis'] |= {'range': [min(numbers) - 0.6, max(numbers) + 0.6]}
    figure['yaxis'] |= {'rangemode': 'tozero'}
    solved = sum(e.solved_at_start for e in card.episodes)
    note = f', {solved} of them solved at the start' if solved else ''
    return Plot(f'Episodes, n = {len(card.episodes):,}{note}', data, figure,
                'How long each took and how it ended.')


def _bars(outcome: str, own: Sequence[EpisodeResult]) -> Trace:
    colour, hatch = OUTCOMES[outcome]
    return {
        'type': 'bar', 'name': f'{outcome} ({len(own)})', 'x': [e.episode for e in own],
        # an episode of no time is still one: it keeps a sliver of its bar
        'y': [max(e.time_s or 0.0, 1e-3) for e in own], 'width': 0.85,
        'marker': {'color': colour, 'pattern': {'shape': hatch, 'fillmode': 'replace',
                                                'solidity': 0.5}},
        'customdata': [[e.seed, e.slots, e.misses, e.label, _hint(e)] for e in own],
        'hovertemplate': 'episode %{x} · seed %{customdata[0]}%{customdata[4]}<br>'
        '%{y:.2f} s · %{customdata[2]} of %{customdata[1]} slots missed<br>'
        '%{customdata[3]}<extra>' + outcome + '</extra>'}


def _hint(episode: EpisodeResult) -> str:
    return ' · solved at the start' if episode.solved_at_start else ''


def survival(run: Run, card: Scorecard) -> Drawn:
    """Draw the share of episodes not yet solved over the steps taken (Kaplan-Meier)."""
    period = run.period_ns
    if _known(card, 'steps_to_success.restricted_mean') is None or period is None:
        return Absent(_why(card, 'steps_to_success.restricted_mean'))
    times, observed, horizon = waiting_times(run)
    counts = np.array([steps(t, period) for t in times], float)
    curve, end = kaplan_meier(counts, observed), float(steps(horizon, period))
    data = [band(*_ends(curve, end), ACCENT, step=True), _curve(curve, end)]
    early = counts[~observed & (counts < end)]
    if len(early):
        data.append(_censored(curve, early))
    marks = Marks().vertical(end, f'time limit {end:g} steps')
    figure = layout('steps', 'share not yet solved', marks)
    figure['xaxis'] |= {'range': [0, 1.04 * end]}
    figure['yaxis'] |= share_axis(0, 1.03)
    title = f'Steps to success, n = {len(counts):,} episodes, {int(np.sum(observed)):,} solved'
    return Plot(title, data, figure, 'Share of episodes still unsolved after so many steps; '
                'shaded: 95 %, pointwise. Failures and timeouts wait until the time limit.')


def _known(card: Scorecard, name: str) -> float | None:
    return next((v.value for v in card.values if v.name == name), None)


def _why(card: Scorecard, name: str) -> str:
    return next((v.why for v in card.values if v.name == name), 'not among the figures')


def _padded(values: Floats, first: float) -> Floats:
    """Begin a curve at its start and hold its last value to the end."""
    last = values[-1:] if len(values) else np.array([first])
    return np.concatenate([[first], values, last])


def _ends(curve: SurvivalCurve, end: float) -> tuple[Floats, Floats, Floats]:
    low, high = survival_band(curve)
    return (np.concatenate([[0.0], curve.times, [end]]), _padded(low, 1.0), _padded(high, 1.0))


def _curve(curve: SurvivalCurve, end: float) -> Trace:
    x = np.concatenate([[0.0], curve.times, [end]])
    return stairs('not yet solved', x, _padded(curve.survival, 1.0), ACCENT, showlegend=False,
                  hovertemplate='%{y:.1%} unsolved after %{x} steps<extra></extra>')


def _censored(curve: SurvivalCurve, at: Floats) -> Trace:
    heights = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.times, at, 'right')]
    return {'type': 'scatter', 'mode': 'markers', 'name': 'last seen, outcome unknown',
            'x': rounded(at), 'y': rounded(heights),
            'marker': {'symbol': 'line-ns-open', 'color': MUTED, 'size': 9}}


def baselines(card: Scorecard, others: Sequence[Scorecard]) -> Drawn:
    """Draw success of this run and of the others, each with its interval."""
    if not others:
        return Absent('no baseline was given')
    rows = [(c, c['success_rate']) for c in (*reversed(others), card)]
    known = [(c, v) for c, v in rows if v.value is not None]
    if not known:
        return Absent('no episode was decided')
    data = [_point(c, v, c is card) for c, v in known]
    figure = layout('success rate', '', showlegend=False)
    figure['xaxis'] |= share_axis(-0.03, 1.03)
    figure['yaxis'] |= {'automargin': True, 'range': [-0.6, len(known) - 0.4]}
    return Plot(f'Success by planner, {len(known)} planners on the same starts', data, figure,
                'Bars: 95 %, Clopper-Pearson.', 110 + 48 * len(known))


def _point(card: Scorecard, value: MetricValue, own: bool) -> Trace:
    name = f'{card.manifest.get("planner") or "?"} (n = {value.n})'
    colour = ACCENT if own else MUTED
    return {'type': 'scatter', 'mode': 'markers', 'x': [value.value], 'y': [name],
            'error_x': {**bars([value]), 'color': colour},
            'marker': {'color': colour, 'size': 11, 'symbol': 'circle' if own else 'square'},
            'hovertemplate': '%{y}: %{x:.1%}<extra></extra>'}
