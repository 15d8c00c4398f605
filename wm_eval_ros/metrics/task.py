"""Did the robot do it, and how long did it take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math
from typing import Any

import numpy as np

from wm_eval_ros.metrics.base import Bools, count_value, Floats, missing, NS_PER_S, share, Values
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.waiting import no_waiting, waiting
from wm_eval_ros.records import EventKind, Interval, MetricValue
from wm_eval_ros.stats.proportion import beta_posterior

#: ends that say the task was not done; an abort or a cut record says nothing
_NOT_DONE = frozenset({EventKind.FAILURE, EventKind.TIMEOUT})
#: ends that say whether the task was done
DECIDED = _NOT_DONE | {EventKind.SUCCESS}
#: no episode is longer, whatever its end says [ns]
_LONGEST_NS = 2.0**62
#: why there is no share of decided episodes
NO_EPISODE = 'no episode was decided'
_NOBODY = 'no episode to wait for'
#: why success on a robot has no figure
NO_PREDICATE = 'what success is on this robot is not known'


def decided(episodes: tuple[Episode, ...]) -> tuple[Episode, ...]:
    """Return the episodes that count: an outcome of the task, and not solved at the start."""
    return tuple(e for e in episodes if e.outcome in DECIDED and not e.solved_at_start)


def success(episodes: tuple[Episode, ...]) -> Values:
    """
    Success among decided episodes, its posterior, and the worst case.

    The worst case counts every episode of unknown outcome (aborted, or still open) as a failure.
    """
    counted = decided(episodes)
    k, n = sum(e.outcome == EventKind.SUCCESS for e in counted), len(counted)
    unknown = sum(e.outcome in (None, EventKind.ABORT) and not e.solved_at_start
                  for e in episodes)
    return (share('success_rate', k, n, NO_EPISODE), _posterior(k, n),
            share('success_rate_worst_case', k, n + unknown, 'no episode was started'))


def _posterior(k: int, n: int) -> MetricValue:
    if n == 0:
        return missing('success_posterior', '1', NO_EPISODE)
    mean, low, high = beta_posterior(k, n)
    interval = Interval(low, high, 0.95, 'Beta, uniform prior')
    return MetricValue('success_posterior', mean, '1', n, interval)


def outcomes(episodes: tuple[Episode, ...]) -> Values:
    """Return the number of episodes by outcome, those solved at the start, those still open."""
    n = len(episodes)
    if n == 0:
        return (missing('episodes.all', '1', 'no episode was started'),)
    kinds = (EventKind.SUCCESS, EventKind.FAILURE, EventKind.TIMEOUT, EventKind.ABORT)
    counts = {kind.name.lower(): sum(e.outcome == kind for e in episodes) for kind in kinds}
    counts['open'] = sum(e.outcome is None for e in episodes)
    counts['solved_at_start'] = sum(e.solved_at_start for e in episodes)
    counts['all'] = n
    return tuple(count_value(f'episodes.{name}', found, n) for name, found in counts.items())


def waiting_times(run: Run) -> tuple[Floats, Bools, float]:
    """
    Time to success of each episode, censored where it was not reached.

    A failure or timeout never succeeds, so it waits until the horizon; an aborted or open episode
    is censored when it was last seen.

    :returns: times [s] and whether success was seen, shape (N,); horizon [s], 0 where N = 0
    """
    counted = [e for e in run.episodes if not e.solved_at_start]
    seen = [_last_seen(run, e) for e in counted]
    limit = run.info.time_limit_s if run.info is not None else 0.0
    horizon = limit if limit > 0 else max(seen, default=0.0)
    observed = np.array([e.outcome == EventKind.SUCCESS for e in counted], bool)
    times = [horizon if e.outcome in _NOT_DONE else t for e, t in zip(counted, seen, strict=True)]
    return np.array(times, float), observed, horizon


def _last_seen(run: Run, episode: Episode) -> float:
    if episode.time_s is not None:
        return episode.time_s
    stamps = run.slots['stamp'][run.slots['episode'] == episode.number]
    if episode.start_ns is None or len(stamps) == 0:
        return 0.0
    return max(0.0, (int(np.max(stamps)) - episode.start_ns) / NS_PER_S)


def steps(time_s: float, period_ns: int) -> int:
    """
    Return the control periods begun within a task time.

    >>> [steps(t, 50_000_000) for t in (0.05, 0.051, 3.0)]
    [1, 2, 60]
    """
    return math.ceil(round(min(float(time_s) * NS_PER_S, _LONGEST_NS)) / period_ns)


def time_to_success(run: Run) -> Values:
    """Return the Kaplan-Meier median and the restricted mean of the time to success."""
    return waiting('time_to_success', 's', *waiting_times(run), _NOBODY)


def steps_to_success(run: Run) -> Values:
    """Return the same of the control periods to success."""
    period = run.period_ns
    if period is None:
        why = 'the control period is not known: no manifest and no slot'
        return no_waiting('steps_to_success', 'steps', why)
    times, observed, horizon = waiting_times(run)
    counts = np.array([steps(t, period) for t in times], float)
    return waiting('steps_to_success', 'steps', counts, observed, steps(horizon, period),
                   _NOBODY)


class Task(TableMetric):
    """Success, outcomes, and time and steps to success."""

    def values(self, run: Run) -> Values:
        """Return the task's figures; on a robot what success is is not known."""
        known = run if not of_a_robot(run) else replace(run, episodes=())
        first, rest = success(known.episodes), (*steps_to_success(known), *time_to_success(known))
        if known is not run:
            first, rest = (tuple(replace(v, why=NO_PREDICATE) for v in values)
                           for values in (first, rest))
        return (*first, *outcomes(run.episodes), *rest)


def of_a_robot(run: Run) -> bool:
    """Say whether a run was one of a robot, whose success is not known."""
    return run.info is not None and is_robot(run.info.settings)


def is_robot(settings: Mapping[str, Any]) -> bool:
    """Say whether a run with these settings was one of a robot, whose success is not known."""
    plant = settings.get('plant')
    return isinstance(plant, Mapping) and plant.get('kind') == 'hardware'
