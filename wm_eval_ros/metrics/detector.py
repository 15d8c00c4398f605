"""Scores of surprise held against the perturbations that were really applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from wm_eval_ros.metrics.alarms import (
    detection,
    false_alarms,
    NO_PERTURBATION,
    Perturbed,
    Trial,
    warnings,
)
from wm_eval_ros.metrics.base import estimated, Floats, Ints, missing, Values
from wm_eval_ros.metrics.detector_matched import matched_wins, sensitivity
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.perturbations import NUISANCE
from wm_eval_ros.metrics.prediction import executed
from wm_eval_ros.metrics.rows import row_of
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.matched import matched_auroc
from wm_eval_ros.stats.roc import auroc, average_precision

_AREAS = ('auroc', 'slot_auroc', 'slot_auprc', 'tpr_at_fpr_5pct')
#: scores that have figures without being logged streams
_OWN = ('surprise', 'one_step')
_NO_CALM = 'every scored episode was perturbed: none to compare with'
_DELONG = 'logit-DeLong'
_CLUSTERS = 'logit-DeLong, episodes as clusters'


def surprise_trials(run: Run) -> tuple[Trial, ...]:
    """Return the recorded score of each episode, with its threshold."""
    keep = run.driven.inside & ~np.isnan(run.slots['surprise'])
    fields = (run.slots[name][keep] for name in ('episode', 'stamp', 'surprise', 'threshold'))
    return _trials(run, *fields)


def one_step_trials(run: Run) -> tuple[Trial, ...]:
    """Return the error of the state foreseen one slot earlier, in the slot where it shows."""
    errors, _ = executed(run, 1)
    at = row_of(run.slots, errors.slots + 1)
    return _trials(run, run.slots['episode'][at], run.slots['stamp'][at], errors.model,
                   np.full(len(at), np.nan))


def logged_streams(run: Run) -> dict[str, int]:
    """
    Return the raw score streams that the run logged, with their places among the scores.

    The one-step error is not among them: it is paired anew from the latents.
    """
    names = run.info.detector.get('streams', ()) if run.info is not None else ()
    if not isinstance(names, (list, tuple)) or len(names) != run.vectors.scores.width:
        return {}
    return {str(name): at for at, name in enumerate(names) if name not in _OWN}


def logged_trials(run: Run, stream: int) -> tuple[Trial, ...]:
    """
    Return one raw score stream of each episode, without a threshold of its own.

    :param stream: its place in :func:`logged_streams`
    """
    slots, scores = run.vectors.scores.column(stream)
    at = row_of(run.slots, slots)
    keep = (at >= 0) & ~np.isnan(scores)
    keep[keep] = run.driven.inside[at[keep]]
    rows = run.slots[at[keep]]
    return _trials(run, rows['episode'], rows['stamp'], scores[keep],
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
            found.append(_trial(run, episode, stamps[own], scores[own], thresholds[own]))
    return tuple(found)


def _trial(run: Run, episode: Episode, stamps: Ints, scores: Floats, thresholds: Floats) -> Trial:
    return Trial(episode, run.applied.get(episode.number, ()), stamps, scores, thresholds,
                 run.period_ns or 1)


def unscored(run: Run, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the episodes without any score: what happened in them was not found either."""
    known = {t.episode.number for t in trials}
    none = np.zeros(0)
    return tuple(_trial(run, e, np.zeros(0, np.int64), none, none) for e in run.episodes
                 if e.number not in known)


def of_kind(trials: Sequence[Trial], kind: str | None) -> list[Perturbed]:
    """
    Return the perturbed episodes of a kind, each with its perturbations of that kind.

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
            found.append(Perturbed(trial, own))
    return found


def areas(name: str, perturbed: Sequence[Perturbed], trials: Sequence[Trial]) -> Values:
    """
    Hold the scores of perturbed episodes against those of nominal ones.

    By episode: the largest score from the onset on, against the largest of an unperturbed episode
    in the same slots, as far as both last: of longer windows the largest is larger by chance. So
    is the threshold of the sensitivity, for each perturbed episode in slots of its own. By slot:
    slots that saw a perturbation against those before the first perturbation of any episode, with
    episodes as clusters.

    :param perturbed: all episodes with an anomaly of the kind in question, scored or not
    :param trials: all scored episodes
    """
    names = [f'{name}.{area}' for area in _AREAS]
    hit = [p for p in perturbed if p.onset < len(p.trial.scores)]
    if not hit:
        return tuple(missing(each, '1', NO_PERTURBATION) for each in names)
    calm = [t for t in trials if not t.applied]
    slots = _by_slot(names[1], names[2], hit, trials)
    if not calm:
        return (missing(names[0], '1', _NO_CALM), *slots, missing(names[3], '1', _NO_CALM))
    area = matched_auroc(matched_wins(hit, calm))
    return (estimated(names[0], '1', len(hit) + len(calm), _told(area, hit, perturbed), _DELONG),
            *slots, sensitivity(names[3], perturbed, calm))


def _told(found: Estimate, hit: Sequence[Perturbed], perturbed: Sequence[Perturbed]) -> Estimate:
    """Say how many perturbed episodes have no score to compare."""
    lost = len(perturbed) - len(hit)
    why = f'of {len(perturbed)} perturbed episodes, {lost} have no score after the onset'
    return found._replace(why='; '.join(filter(None, (found.why, why if lost else ''))))


def _by_slot(area: str, precision: str, hit: Sequence[Perturbed],
             trials: Sequence[Trial]) -> Values:
    high = [p.trial.scores[p.trial.during(p.applied)] for p in hit]
    low = [t.scores[t.nominal] for t in trials]
    groups = (_labels([p.trial for p in hit], high), _labels(trials, low))
    positive, negative = np.concatenate(high), np.concatenate(low)
    n = len(np.unique(np.concatenate(groups)))
    common = len(positive) / max(1, len(positive) + len(negative))
    chance = f'by chance {common:.3g}, the share of slots that saw a perturbation'
    found = average_precision(positive, negative, groups=groups)
    return (estimated(area, '1', n, auroc(positive, negative, groups=groups), _CLUSTERS),
            estimated(precision, '1', n, found._replace(why='; '.join(filter(None, (
                found.why, chance)))), 'logit, Boyd-Eng-Page, episodes as clusters'))


def _labels(trials: Sequence[Trial], scores: Sequence[Floats]) -> Ints:
    return np.repeat(np.array([t.episode.number for t in trials], np.int64),
                     [len(s) for s in scores])


class Detector(TableMetric):
    """Surprise, one-step error and logged streams as detectors, over all anomalies and by kind."""

    def values(self, run: Run) -> Values:
        """Return the figures; of kinds only those that were applied."""
        return (*_stream('surprise', run, surprise_trials, 'no detector ran', alarms=True),
                *_stream('one_step', run, one_step_trials,
                         'no state foreseen one slot earlier was driven to', alarms=False),
                *(value for name, at in logged_streams(run).items()
                  for value in _stream(name, run, partial(logged_trials, stream=at),
                                       'the stream has no score', alarms=False)))


def _stream(name: str, run: Run, make: Callable[[Run], tuple[Trial, ...]], why: str, *,
            alarms: bool) -> Values:
    trials = make(run)
    every = (*trials, *unscored(run, trials))
    kinds = sorted({a.kind for done in run.applied.values() for a in done})
    values: list[MetricValue] = []
    for kind in (None, *kinds):
        own = f'detector[{name}]' if kind is None else f'detector[{name},{kind}]'
        perturbed = of_kind(every, kind)
        values += areas(own, perturbed, trials)
        if alarms:
            values += detection(own, perturbed, trials)
    if alarms:
        own = f'detector[{name}]'
        values += [*false_alarms(own, trials, run.period_ns), *warnings(own, every)]
    return tuple(values) if trials else tuple(replace(v, why=why) for v in values)
