"""The difference of one figure between two systems, with an interval over episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
import math

import numpy as np

from wm_eval_ros.metrics.base import Floats, mean_value, missing, QUANTILES
from wm_eval_ros.metrics.dependence import cluster_distribution, slot_share
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.scoring.compare import Better, Effect
from wm_eval_ros.scoring.evidence import EpisodeEvidence, Evidence, SAMPLED
from wm_eval_ros.scoring.pairs import Episodes, Matched
from wm_eval_ros.stats.bootstrap import grouping
from wm_eval_ros.stats.clusters import (
    ClusteredQuantile,
    difference,
    Figure,
    LEAST_CLUSTERS,
    Ratio,
    RestrictedMean,
)
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.stats.survival import kaplan_meier, restricted_mean

_NO_EPISODE = 'no episode is left to compare'


@dataclass(frozen=True)
class Measure:
    """A figure that is compared: how it is taken of episodes, and resampled."""

    name: str
    unit: str
    higher_is_better: bool
    #: episodes that tell of it
    keep: Callable[[EpisodeEvidence], bool]
    value: Callable[[Episodes], MetricValue]
    figure: Callable[[Episodes], Figure]
    #: it is taken of samples that only a bag holds
    from_samples: bool = False


def effect(measure: Measure, matched: Matched, sides: tuple[Evidence, Evidence],
           confidence: float, obstacle: str = '') -> Effect:
    """
    Return the difference of a figure between two systems.

    :param obstacle: why the two are not comparable in it; empty where they are
    """
    if measure.from_samples and any(side.figures is not None for side in sides):
        values = _whole(measure, sides[0]), _whole(measure, sides[1])
        made = _of_figures
    else:
        kept = matched.where(measure.keep)
        # without one common episode each side's own figure is shown, and no difference
        shown = kept if kept.n else replace(matched, paired=False).where(measure.keep)
        values = measure.value(shown.first), measure.value(shown.second)
        made = partial(_of_episodes, kept, confidence)
    if obstacle:
        return Effect(measure.name, measure.unit, measure.higher_is_better, *values,
                      missing(measure.name, measure.unit, obstacle), Better.INCOMPARABLE)
    gap = made(measure, values)
    return Effect(measure.name, measure.unit, measure.higher_is_better, *values, gap,
                  better_by_interval(gap, measure.higher_is_better))


def _whole(measure: Measure, side: Evidence) -> MetricValue:
    """Return the figure over all episodes of a side, from its scorecard where need be."""
    if side.figures is None:
        return measure.value(tuple(filter(measure.keep, side.episodes)))
    return side.figures.get(measure.name) or missing(
        measure.name, measure.unit, 'the scorecard holds no such figure')


def _of_episodes(kept: Matched, confidence: float, measure: Measure,
                 values: tuple[MetricValue, MetricValue]) -> MetricValue:
    """Return the difference with a bootstrap over the matched episodes."""
    lacking = [v.why for v in values if v.value is None]
    if lacking or not kept.n:
        return missing(measure.name, measure.unit, [*lacking, _NO_EPISODE][0], kept.n)
    found = difference(measure.figure(kept.first), measure.figure(kept.second),
                       paired=kept.paired, confidence=confidence)
    if not math.isfinite(found.value):
        return missing(measure.name, measure.unit, 'not defined on these episodes', kept.n)
    if found.low is None or found.high is None:
        return MetricValue(measure.name, found.value, measure.unit, kept.n,
                           why=_no_interval(kept))
    method = f'bootstrap over {"pairs" if kept.paired else "episodes"}'
    return MetricValue(measure.name, found.value, measure.unit, kept.n,
                       Interval(found.low, found.high, confidence, method))


def _of_figures(measure: Measure, values: tuple[MetricValue, MetricValue]) -> MetricValue:
    """Return the bare difference of two whole runs' figures: its interval cannot be given."""
    first, second = (v.value for v in values)
    if first is None or second is None:
        return missing(measure.name, measure.unit,
                       next(v.why for v in values if v.value is None))
    why = 'no interval: of a side only its scorecard is there, its samples are in the bag'
    return MetricValue(measure.name, first - second, measure.unit, min(v.n for v in values),
                       why=why)


def better_by_interval(gap: MetricValue, higher_is_better: bool) -> Better:
    """Return the side an interval that excludes zero speaks for."""
    if gap.interval is None or gap.interval.low <= 0 <= gap.interval.high:
        return Better.NEITHER
    return Better.FIRST if (gap.interval.low > 0) == higher_is_better else Better.SECOND


def _no_interval(kept: Matched) -> str:
    what = 'pairs' if kept.paired else 'episodes on a side'
    if min(len(kept.first), len(kept.second)) < LEAST_CLUSTERS:
        return f'no interval of fewer than {LEAST_CLUSTERS} {what}'
    return 'no interval: the episodes show no spread, or too few of them have the figure'


def _always(_: EpisodeEvidence) -> bool:
    return True


def _column(episodes: Episodes, take: Callable[[EpisodeEvidence], float]) -> Floats:
    return np.array([take(e) for e in episodes], float)


def miss_rate() -> Measure:
    """Return the deadline misses among due slots."""
    def counts(episodes: Episodes) -> tuple[Floats, Floats]:
        return (_column(episodes, lambda e: e.result.misses),
                _column(episodes, lambda e: e.result.slots))

    def value(episodes: Episodes) -> MetricValue:
        misses, slots = counts(episodes)
        return slot_share('deadline_miss_rate', misses.astype(np.int64), slots.astype(np.int64),
                          'no slot was due')

    return Measure('deadline_miss_rate', '1', False, _always, value,
                   lambda episodes: Ratio(*counts(episodes)))


def waiting(horizon: float) -> Measure:
    """Return the restricted mean time to success up to a horizon both sides share [s]."""
    name = 'time_to_success.restricted_mean'

    def times(episodes: Episodes) -> RestrictedMean:
        return RestrictedMean(_column(episodes, lambda e: min(e.waited_s, horizon)),
                              np.array([e.succeeded for e in episodes], bool), horizon)

    def value(episodes: Episodes) -> MetricValue:
        if not episodes or horizon <= 0:
            return missing(name, 's', _NO_EPISODE)
        curve = times(episodes)
        found = restricted_mean(kaplan_meier(curve.times, curve.observed), horizon)
        if found.low is None or found.high is None:
            return MetricValue(name, found.value, 's', len(episodes), why=found.why)
        return MetricValue(name, found.value, 's', len(episodes), Interval(
            found.low, found.high, 0.95, 'Kaplan-Meier, Greenwood'))

    return Measure(name, 's', False, lambda e: e.counts, value, times)


def latency(family: str, suffix: str) -> Measure:
    """Return a quantile of a family of samples."""
    name, q = f'{family}.{suffix}', QUANTILES[suffix]

    def groups(episodes: Episodes) -> list[Floats]:
        return [e.samples[family] for e in episodes]

    def value(episodes: Episodes) -> MetricValue:
        parts = groups(episodes)
        sizes = np.array([len(part) for part in parts], np.int64)
        owners = grouping(np.repeat(np.arange(len(parts)), sizes))
        found = cluster_distribution(name.removesuffix(f'.{suffix}'), 'ms',
                                     np.concatenate([np.zeros(0), *parts]), owners,
                                     'no sample in the episodes compared')
        return next(v for v in found if v.name == name)

    return Measure(name, 'ms', False, lambda e: family in e.samples, value,
                   lambda episodes: ClusteredQuantile(groups(episodes), q), from_samples=True)


def prediction() -> Measure:
    """Return the one-step prediction error over that of persistence."""
    name = 'prediction_ratio[h=1]'

    def sums(episodes: Episodes) -> tuple[Floats, Floats]:
        known = [e.errors for e in episodes if e.errors is not None]
        return np.array([k[0] for k in known], float), np.array([k[1] for k in known], float)

    def value(episodes: Episodes) -> MetricValue:
        model, persistence = sums(episodes)
        if np.sum(persistence) <= 0:
            return missing(name, '1', 'no imagined latent met an encoded one that moved, or '
                           'some are not finite')
        n = sum(e.errors[2] for e in episodes if e.errors is not None)
        return mean_value(name, '1', n, cluster_ratio(model, persistence),
                          'bootstrap over episodes')

    return Measure(name, '1', False, lambda e: e.errors is not None, value,
                   lambda episodes: Ratio(*sums(episodes)), from_samples=True)


def measures(horizon: float) -> tuple[Measure, ...]:
    """Return what is compared beside success, in the order it is shown."""
    spread = {'plan_latency': ('p50', 'p95', 'p99'), 'sense_to_act': ('p50', 'p99'),
              'cpu_time': ('p50', 'p99')}
    return (waiting(horizon), miss_rate(),
            *(latency(family, suffix) for family in SAMPLED for suffix in spread[family]),
            prediction())
