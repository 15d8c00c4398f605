"""A score that raises alarms, episode by episode: what it found, missed and made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wm_eval_ros.metrics.base import (
    Bools,
    Floats,
    Ints,
    missing,
    NS_PER_S,
    quantile_value,
    share,
    Values,
)
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.perturbations import Applied, windows
from wm_eval_ros.metrics.spells import overlapped
from wm_eval_ros.metrics.waiting import no_waiting, waiting
from wm_eval_ros.records import EventKind, Interval, MetricValue
from wm_eval_ros.stats.rate import poisson_rate

NO_THRESHOLD = 'no threshold was set'
NO_PERTURBATION = 'no perturbation of this kind was applied while the detector ran'
_NS_PER_H = 3600 * NS_PER_S
_EVER = -2**63


@dataclass(frozen=True)
class Trial:
    """The scores of one episode, in order of its slots; none where no score was recorded."""

    episode: Episode
    applied: tuple[Applied, ...]
    #: start of each scored slot [ns, ROS], shape (N,)
    stamps: Ints
    #: shape (N,); infinite allowed
    scores: Floats
    #: score above which the alarm is on, NaN where none was set, shape (N,)
    thresholds: Floats
    #: control period [ns]
    period_ns: int

    @property
    def watched(self) -> Bools:
        """Say in which slots an alarm could be raised, shape (N,)."""
        return ~np.isnan(self.thresholds)

    @property
    def nominal(self) -> Bools:
        """Say which slots come before any perturbation of the episode, shape (N,)."""
        if not self.applied:
            return np.ones(len(self.stamps), bool)
        return np.asarray(self.stamps < self.applied[0].begin_ns)

    def during(self, done: Sequence[Applied]) -> Bools:
        """
        Say which slots saw a perturbation: on at their start or in the period before, (N,).

        What was on for less than a period shows in one slot, the next.
        """
        return overlapped(self.stamps - self.period_ns, self.stamps + 1,
                          [(begin, max(end, begin + 1)) for begin, end in windows(done)])

    @property
    def raised(self) -> Bools:
        """Say in which slots an alarm began: on, and off in the scored slot before, (N,)."""
        on = self.scores > self.thresholds
        return np.asarray(on & ~np.concatenate([[False], on[:-1]]))

    @property
    def end_ns(self) -> int:
        """Return the end of the episode, or where it was last scored or perturbed [ns, ROS]."""
        if self.episode.end_ns is not None:
            return self.episode.end_ns
        return max([*map(int, self.stamps[-1:]), *(a.begin_ns for a in self.applied)])


@dataclass(frozen=True)
class Perturbed:
    """An episode with perturbations of the kind in question."""

    trial: Trial
    #: in order of time, at least one
    applied: tuple[Applied, ...]

    @property
    def onset_ns(self) -> int:
        """Return when the first of them began [ns, ROS]."""
        return self.applied[0].begin_ns

    @property
    def onset(self) -> int:
        """Return how many scored slots came before that."""
        return int(np.searchsorted(self.trial.stamps, self.onset_ns))

    @property
    def watched(self) -> bool:
        """Say whether an alarm could be raised in any slot after that."""
        return bool(np.any(self.trial.watched[self.onset:]))


def detection(name: str, perturbed: Sequence[Perturbed], trials: Sequence[Trial]) -> Values:
    """
    Share of perturbed episodes in which an alarm began after the onset, and how soon it did.

    An alarm that was on already at the onset tells nothing of the perturbation. Episodes without
    an alarm after it are misses, censored at their end; so are those in which nothing was watched
    after it: a perturbation that silences the detector is not left out. Beside it stands the share
    that the false alarms of unperturbed episodes would give in the same slots.

    :param perturbed: all episodes with an anomaly of the kind in question, scored or not
    :param trials: all scored episodes
    """
    names = [f'{name}.{figure}' for figure in (
        'detection_rate', 'chance_detection_rate', 'detection_delay')]
    if not perturbed or not any(np.any(t.watched) for t in trials):
        why = NO_THRESHOLD if perturbed else NO_PERTURBATION
        return (missing(names[0], '1', why), missing(names[1], '1', why),
                *no_waiting(names[2], 's', why))
    first = [_first(p.trial, p.onset_ns) for p in perturbed]
    delays = np.array([((p.trial.end_ns if f is None else f) - p.onset_ns) / NS_PER_S
                       for p, f in zip(perturbed, first, strict=True)], float)
    seen = np.array([f is not None for f in first], bool)
    rate = share(names[0], int(np.sum(seen)), len(seen), NO_PERTURBATION)
    return (replace(rate, why=unwatched(sum(not p.watched for p in perturbed), len(perturbed))),
            _by_chance(names[1], perturbed, trials),
            *waiting(names[2], 's', delays, seen, float(np.max(delays)), NO_PERTURBATION))


def unwatched(count: int, n: int) -> str:
    """Say how many misses are episodes in which no detector was at work; empty for none."""
    return f'of {n}, {count} were not watched after the onset: misses' if count else ''


def _by_chance(name: str, hit: Sequence[Perturbed], trials: Sequence[Trial]) -> MetricValue:
    """Share of pairs with an unperturbed episode in which that one would have been detected."""
    calm = [t for t in trials if not t.applied and np.any(t.watched)]
    lengths = np.array([len(t.scores) for t in calm], np.int64)
    alarms = [np.flatnonzero(t.raised) for t in calm]
    begun = np.concatenate([np.zeros(0, np.int64), *alarms])
    owner = np.repeat(np.arange(len(calm)), [len(a) for a in alarms])
    found = pairs = 0
    for p in hit:
        onset = p.onset
        pairs += int(np.sum(lengths > onset))
        within = (begun >= onset) & (begun < len(p.trial.scores))
        found += len(np.unique(owner[within]))
    if pairs == 0:
        return missing(name, '1', 'no unperturbed episode was watched for as long')
    return MetricValue(name, found / pairs, '1', len(calm),
                       why='complete count over all pairs with an unperturbed episode')


def _first(trial: Trial, onset_ns: int) -> int | None:
    hits = trial.stamps[trial.raised & (trial.stamps >= onset_ns)]
    return int(hits[0]) if len(hits) else None


def false_alarms(name: str, trials: Sequence[Trial], period_ns: int | None) -> Values:
    """
    Alarms per hour of nominal time, and the share of nominal episodes with any.

    Nominal time: the watched slots before the first perturbation of their episode. An alarm of
    several slots in a row is one.
    """
    rate = f'{name}.false_alarm_rate'
    slots = sum(int(np.sum(t.watched & t.nominal)) for t in trials)
    count = sum(int(np.sum(t.raised & t.nominal)) for t in trials)
    calm = [t for t in trials if not t.applied and np.any(t.watched)]
    upset = sum(bool(np.any(t.raised)) for t in calm)
    episodes = share(f'{name}.false_alarm_episodes', upset, len(calm),
                     'no episode without a perturbation was watched')
    if slots == 0 or period_ns is None:
        why = NO_THRESHOLD if slots == 0 else 'the control period is not known'
        return (missing(rate, '1/h', why), episodes)
    found = poisson_rate(count, slots * period_ns / _NS_PER_H)
    return (MetricValue(rate, found.value, '1/h', count,
                        Interval(found.low, found.high, 0.95, 'exact Poisson')), episodes)


def warnings(name: str, trials: Sequence[Trial]) -> Values:
    """
    Share of failures that an alarm came before, and by how long.

    In a perturbed episode only alarms from the first onset on count: earlier ones are false. A
    failure while no detector was at work came without an alarm.

    :param trials: all episodes, scored or not
    """
    on = any(np.any(t.watched) for t in trials)
    failed = [t for t in trials if on and t.episode.outcome == EventKind.FAILURE]
    first = [_first(t, t.applied[0].begin_ns if t.applied else _EVER) for t in failed]
    lead = np.array([(t.end_ns - f) / NS_PER_S for t, f in zip(failed, first, strict=True)
                     if f is not None and f <= t.end_ns], float)
    why = 'no alarm came before a failure' if failed else 'no watched episode failed'
    names = (f'{name}.lead_time.p50', f'{name}.lead_time.min')
    warned = share(f'{name}.warned_failures', len(lead), len(failed), why)
    if len(lead) == 0:
        return (warned, *(missing(each, 's', why) for each in names))
    least = MetricValue(names[1], float(np.min(lead)), 's', len(lead),
                        why='the shortest seen bounds nothing beyond this run')
    return (warned, quantile_value(names[0], 's', lead, 0.5), least)
