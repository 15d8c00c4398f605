"""Fallbacks and interventions: how often, for how long, how far apart, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wm_eval_ros.metrics.base import missing, NS_PER_S, share, Values
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.spells import FALLBACK, INTERVENTION, Spell, STOPPED
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.task import decided, NO_PREDICATE, of_a_robot
from wm_eval_ros.records import EventKind, Interval, MetricValue
from wm_eval_ros.stats.rate import poisson_rate

_KINDS = {'fallback': FALLBACK, 'intervention': INTERVENTION}
_POISSON = 'exact Poisson'
_SOLVED = 'success'
#: ends of an episode that are none of a good hand-over; stopped: it stood until the time limit
_ENDS = ('stopped', 'timeout', 'failure')


def hours(run: Run) -> float:
    """Return the time under evaluation [h]; 0 where nothing was recorded over time."""
    return (run.extent[1] - run.extent[0]) / NS_PER_S / 3600 if run.extent is not None else 0.0


def handover(name: str, run: Run) -> Values:
    """Return how often per hour [1/h], how far apart [h], and for how long in all [s]."""
    found = run.spells(_KINDS[name])
    rate, exposure = spell_rate(f'{name}_rate', run, len(found)), hours(run)
    if rate.interval is None:
        return (rate, missing(f'time_between_{name}s', 'h', rate.why),
                missing(f'{name}_time', 's', rate.why))
    total = sum(end - begin for begin, end in found) / NS_PER_S
    return (rate, _apart(f'time_between_{name}s', len(found), exposure, rate.interval),
            MetricValue(f'{name}_time', total, 's', len(found),
                        why='complete sum over this run'))


def spell_rate(name: str, run: Run, count: int) -> MetricValue:
    """Return how often per hour of record something happened [1/h]."""
    exposure = hours(run)
    if exposure <= 0:
        return missing(name, '1/h', 'nothing was recorded over time')
    rate, low, high = poisson_rate(count, exposure)
    return MetricValue(name, rate, '1/h', count, Interval(low, high, 0.95, _POISSON))


def _apart(name: str, count: int, exposure: float, rate: Interval) -> MetricValue:
    """Return the mean time between spells: the inverse of their rate, and of its limits."""
    interval = Interval(1 / rate.high, 1 / rate.low if rate.low > 0 else float('inf'), 0.95,
                        _POISSON)
    if count == 0:
        why = f'none in {exposure:.3g} h: the interval says how long it is at least'
        return MetricValue(name, None, 'h', 0, interval, why)
    return MetricValue(name, exposure / count, 'h', count, interval)


def handover_ends(name: str, run: Run) -> Values:
    """
    Return how episodes with a hand-over ended, as shares that add up to one.

    Solved is the only good end, and is the hand-over's success. One trial an episode, since
    hand-overs of one episode share its fate. Aborted and open episodes tell nothing, nor do starts
    that were already solved, nor a hand-over outside its episode.
    """
    on = _KINDS[name][0]
    counted = {e.number: e for e in decided(run.episodes)}
    taken = {e.episode for e in run.events
             if e.kind == on and e.episode in counted and counted[e.episode].holds(e.stamp_ns)}
    found = Counter(_end(counted[number], run.spells(STOPPED)) for number in taken)
    why = f'no {name} in an episode whose outcome is known'
    solved = share(f'handover_success[{name}]', found[_SOLVED], len(taken), why)
    if of_a_robot(run):
        solved = missing(solved.name, '1', NO_PREDICATE)
    return (solved, *(share(f'handover_end[{name}].{end}', found[end], len(taken), why)
                      for end in _ENDS))


def _end(episode: Episode, stops: Sequence[Spell]) -> str:
    """Return how a decided episode ended: solved, or one of the other ends."""
    if episode.outcome == EventKind.SUCCESS:
        return _SOLVED
    if episode.outcome == EventKind.FAILURE:
        return 'failure'
    end_ns = episode.end_ns or 0
    return 'stopped' if any(on < end_ns <= off for on, off in stops) else 'timeout'


class Handover(TableMetric):
    """Fallbacks of the supervisor and interventions of an operator."""

    def values(self, run: Run) -> Values:
        """Return the figures of both."""
        return tuple(v for name in _KINDS
                     for v in (*handover(name, run), *handover_ends(name, run)))
