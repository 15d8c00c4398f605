"""The scores as detectors of perturbations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wm_eval_ros.metrics.alarms import Perturbed, Trial
from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.metrics.detector import of_kind, one_step_trials, surprise_trials
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.report.plots.base import (
    Absent,
    ACCENT,
    Drawn,
    INK,
    layout,
    LIMIT,
    line,
    MUTED,
    Plot,
    share_axis,
    Trace,
)
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.stats.roc import roc_curve

#: score -> what makes its trials, how it is called, colour, dash
_STREAMS = {'surprise': (surprise_trials, 'surprise', ACCENT, 'solid'),
            'one_step': (one_step_trials, 'one-step error', INK, 'dot')}
ALL = 'every anomaly'


def roc(run: Run, card: Scorecard) -> dict[str, Drawn]:
    """Draw the rates of true and false alarms by slot, over every threshold, by kind."""
    trials = {name: make(run) for name, (make, *_) in _STREAMS.items()}
    kinds = sorted({a.kind for done in run.applied.values() for a in done})
    if not any(trials.values()):
        return {'': Absent('no detector ran, and no rollout was driven')}
    if not kinds:
        return {'': Absent('no perturbation was recorded: nothing to detect')}
    shown = [ALL, *kinds] if len(kinds) > 1 else [ALL]
    return {label: _roc(trials, None if label == ALL else label, card) for label in shown}


def _roc(trials: dict[str, tuple[Trial, ...]], kind: str | None, card: Scorecard) -> Drawn:
    data = [line('chance', np.array([0.0, 1.0]), np.array([0.0, 1.0]), MUTED,
                 line={'dash': 'dash', 'width': 1.5})]
    counts: list[str] = []
    for name, (_, text, colour, dash) in _STREAMS.items():
        hit = of_kind(trials[name], kind)
        high = _joined([p.trial.scores[p.trial.during(p.applied)] for p in hit])
        low = _joined([t.scores[t.nominal] for t in trials[name]])
        if len(high) == 0 or len(low) == 0:
            continue
        counts = counts or [f'{len(high):,} perturbed and {len(low):,} nominal slots']
        curve = roc_curve(high, low)
        # both rates only rise: their sum spreads the points over the steps of either
        keep = along(curve.fpr + curve.tpr)
        data.append(line(f'{text}{_area(card, name, kind)}', curve.fpr[keep], curve.tpr[keep],
                         colour, line={'dash': dash}, hovertemplate='false alarms %{x:.1%}, '
                         'detected %{y:.1%}<extra>' + text + '</extra>'))
        data += _operating(hit, trials[name])
    if not counts:
        return Absent('no slot of this kind was scored both perturbed and nominal')
    figure = layout('share of nominal slots with an alarm', 'share of perturbed slots detected')
    figure['xaxis'] |= share_axis()
    figure['yaxis'] |= share_axis()
    return Plot(f'Detection by slot, n = {counts[0]}', data, figure,
                'Every threshold from the highest to the lowest; the diamond is the one the run '
                'used. Nominal: before the first perturbation of an episode. Slots of one episode '
                'are alike: intervals are with the figures.')


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.concatenate([np.zeros(0), *parts])


def _area(card: Scorecard, stream: str, kind: str | None) -> str:
    name = f'detector[{stream}{f",{kind}" if kind else ""}].slot_auroc'
    value = next((v for v in card.values if v.name == name), None)
    return '' if value is None or value.value is None else f', AUROC {value.value:.3f}'


def along(values: Floats, most: int = 1000) -> Ints:
    """Choose points of a rising curve so that it is drawn evenly along its length."""
    steps = np.linspace(values[0], values[-1], most)
    at = np.minimum(np.searchsorted(values, steps), len(values) - 1)
    return np.unique(np.concatenate([[0], at, [len(values) - 1]]))


def _operating(hit: Sequence[Perturbed], trials: Sequence[Trial]) -> list[Trace]:
    """Return where the threshold of the run lies, over the slots that had one."""
    high = _joined([_above(p.trial)[p.trial.during(p.applied)] for p in hit])
    low = _joined([_above(t)[t.nominal] for t in trials])
    high, low = high[~np.isnan(high)], low[~np.isnan(low)]
    if len(high) == 0 or len(low) == 0:
        return []
    tpr, fpr = float(np.mean(high)), float(np.mean(low))
    return [{'type': 'scatter', 'mode': 'markers+text', 'name': 'threshold of the run',
             'x': [fpr], 'y': [tpr], 'text': [f'{tpr:.0%} at {fpr:.1%}'],
             'textposition': 'bottom right',
             'marker': {'symbol': 'diamond', 'size': 12, 'color': LIMIT},
             'hovertemplate': 'detected %{y:.1%} at %{x:.1%} false alarms<extra></extra>'}]


def _above(trial: Trial) -> Floats:
    """Say which scores lie above their threshold: 1, 0, NaN where none was set."""
    return np.where(trial.watched, trial.scores > trial.thresholds, np.nan)
