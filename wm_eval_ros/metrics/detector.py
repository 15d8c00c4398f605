"""Scores of surprise held against the perturbations that were really applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from wm_eval_ros.metrics.alarms import (
    detection,
    false_alarms,
    no_detection,
    NO_PERTURBATION,
    NO_THRESHOLD,
    Trial,
    warnings,
)
from wm_eval_ros.metrics.base import estimated, Floats, Ints, missing, Values
from wm_eval_ros.metrics.perturbations import Applied, NUISANCE
from wm_eval_ros.metrics.prediction import executed
from wm_eval_ros.metrics.rows import row_of
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.roc import auroc, average_precision, tpr_at_fpr

#: allowed share of nominal episodes with an alarm, for the sensitivity at that threshold
ALPHA = 0.05
_AREAS = ('auroc', 'slot_auroc', 'auprc', 'tpr_at_fpr_5pct')
_NO_CALM = 'every scored episode was perturbed: none to compare with'
_DELONG = 'logit-DeLong'


def surprise_trials(run: Run) -> tuple[Trial, ...]:
    """Return the recorded score of each episode, with its threshold."""
    keep = run.driven.inside & ~np.isnan(run.slots['surprise'])
    rows = run.slots[keep]
    return _trials(run, rows['episode'], rows['stamp'], rows['surprise'], rows['threshold'])


def one_step_trials(run: Run) -> tuple[Trial, ...]:
    """Return the error of the state foreseen one slot earlier, in the slot where it shows."""
    errors, _ = executed(run, 1)
    rows = run.slots[row_of(run.slots, errors.slots + 1)]
    return _trials(run, rows['episode'], rows['stamp'], errors.model,
                   np.full(len(rows), np.nan))


def _trials(run: Run, episodes: Ints, stamps: Ints, scores: Floats,
            thresholds: Floats) -> tuple[Trial, ...]:
    ranks = np.argsort(episodes, kind='stable')
    numbers = episodes[ranks]
    found = []
    for episode in run.episodes:
        low, high = np.searchsorted(numbers, [episode.number, episode.number + 1])
        own = ranks[low:high]
        if len(own):
            found.append(Trial(episode, run.applied.get(episode.number, ()),
                               stamps[own], scores[own], thresholds[own],
                               run.period_ns or 1))
    return tuple(found)


def of_kind(trials: Sequence[Trial], kind: str | None) -> list[tuple[Trial, tuple[Applied, ...]]]:
    """
    Return the perturbed trials of a kind, each with its perturbations of that kind.

    :param kind: None: every anomaly. A nuisance is none; an episode with both is an anomaly.
    """
    found = []
    for trial in trials:
        own = tuple(a for a in trial.applied if a.kind != NUISANCE)
        if kind == NUISANCE:
            own = () if own else trial.applied
        elif kind is not None:
            own = tuple(a for a in own if a.kind == kind)
        if own:
            found.append((trial, own))
    return found


def areas(name: str, perturbed: Sequence[tuple[Trial, tuple[Applied, ...]]],
          trials: Sequence[Trial]) -> Values:
    """
    Hold the scores of perturbed episodes against those of nominal ones.

    By episode: the largest score from the onset on against the largest of an unperturbed episode,
    which has the longer time for it. By slot: slots that saw a perturbation against those before
    the first perturbation of any episode, with episodes as clusters.
    """
    calm = [t for t in trials if not t.applied]
    high = [float(np.max(t.scores[t.stamps >= own[0].begin_ns])) for t, own in perturbed
            if np.any(t.stamps >= own[0].begin_ns)]
    if not high:
        return tuple(missing(f'{name}.{area}', '1', NO_PERTURBATION) for area in _AREAS)
    slots = _by_slot(f'{name}.slot_auroc', perturbed, trials)
    low = [float(np.max(t.scores)) for t in calm]
    if not low:
        return tuple(slots if area == 'slot_auroc' else missing(f'{name}.{area}', '1', _NO_CALM)
                     for area in _AREAS)
    n = len(high) + len(low)
    point = tpr_at_fpr(high, low, ALPHA)
    return (estimated(f'{name}.auroc', '1', n, auroc(high, low), _DELONG), slots,
            estimated(f'{name}.auprc', '1', n, average_precision(high, low),
                      'logit, Boyd-Eng-Page'),
            estimated(f'{name}.tpr_at_fpr_5pct', '1', len(high), point.tpr,
                      'Clopper-Pearson at the threshold found'))


def _by_slot(name: str, perturbed: Sequence[tuple[Trial, tuple[Applied, ...]]],
             trials: Sequence[Trial]) -> MetricValue:
    high = [t.scores[t.during(own)] for t, own in perturbed]
    low = [t.scores[t.nominal] for t in trials]
    groups = (_labels([t for t, _ in perturbed], high), _labels(trials, low))
    positive, negative = np.concatenate(high), np.concatenate(low)
    found = auroc(positive, negative, groups=groups)
    n = len(np.unique(np.concatenate(groups)))
    return estimated(name, '1', n, found, f'{_DELONG}, episodes as clusters')


def _labels(trials: Sequence[Trial], scores: Sequence[Floats]) -> Ints:
    return np.repeat([t.episode.number for t in trials], [len(s) for s in scores])


class Detector(TableMetric):
    """Recorded surprise and one-step error as detectors, over all anomalies and by kind."""

    def values(self, run: Run) -> Values:
        """Return the figures; of kinds only those that were applied."""
        return (*_stream('surprise', run, surprise_trials, 'no detector ran', alarms=True),
                *_stream('one_step', run, one_step_trials,
                         'no state foreseen one slot earlier was driven to', alarms=False))


def _stream(name: str, run: Run, make: Callable[[Run], tuple[Trial, ...]], why: str, *,
            alarms: bool) -> Values:
    trials = make(run)
    kinds = sorted({a.kind for done in run.applied.values() for a in done})
    values: list[MetricValue] = []
    for kind in (None, *kinds):
        own = f'detector[{name}]' if kind is None else f'detector[{name},{kind}]'
        perturbed = of_kind(trials, kind)
        values += areas(own, perturbed, trials)
        if alarms:
            values += _detection(own, perturbed)
    if alarms:
        own = f'detector[{name}]'
        values += [*false_alarms(own, trials, run.period_ns), *warnings(own, trials)]
    return tuple(values) if trials else tuple(replace(v, why=why) for v in values)


def _detection(name: str, perturbed: Sequence[tuple[Trial, tuple[Applied, ...]]]) -> Values:
    if perturbed and not any(np.any(t.watched) for t, _ in perturbed):
        return no_detection(name, NO_THRESHOLD)
    return detection(name, [(t, own[0]) for t, own in perturbed])
