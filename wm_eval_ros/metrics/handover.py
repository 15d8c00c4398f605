"""Fallbacks and interventions: how often somebody else had to take over, and for how long."""

from __future__ import annotations

from wm_eval_ros.metrics.base import missing, NS_PER_S, Values
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import EpisodeEvent, EventKind, Interval, MetricValue
from wm_eval_ros.stats.rate import poisson_rate

_KINDS = {'fallback': (EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF),
          'intervention': (EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF)}


def spans(events: tuple[EpisodeEvent, ...], on: EventKind, off: EventKind,
          end_ns: int) -> list[tuple[int, int]]:
    """
    Return begin and end [ns, ROS] of each spell, in order.

    A second ON within a spell does not begin another; a spell still on ends with the record.

    :param events: in order of time
    """
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for event in events:
        if event.kind == on and begin is None:
            begin = event.stamp_ns
        elif event.kind == off and begin is not None:
            found.append((begin, event.stamp_ns))
            begin = None
    return found if begin is None else [*found, (begin, max(begin, end_ns))]


def extent(run: Run) -> tuple[int, int] | None:
    """Return begin and end [ns, ROS] of the time under evaluation; None where there is none."""
    stamps = [e.stamp_ns for e in run.events]
    if len(run.slots):
        stamps += [int(run.slots['stamp'].min()), int(run.slots['stamp'].max())]
    return (min(stamps), max(stamps)) if stamps and max(stamps) > min(stamps) else None


def handover(name: str, run: Run) -> Values:
    """Return how often per hour [1/h], and for how long in all [s]."""
    known = extent(run)
    if known is None:
        why = 'nothing was recorded over time'
        return (missing(f'{name}_rate', '1/h', why), missing(f'{name}_time', 's', why))
    found = spans(run.events, *_KINDS[name], known[1])
    hours = (known[1] - known[0]) / NS_PER_S / 3600
    rate, low, high = poisson_rate(len(found), hours)
    total = sum(end - begin for begin, end in found) / NS_PER_S
    return (MetricValue(f'{name}_rate', rate, '1/h', len(found),
                        Interval(low, high, 0.95, 'exact Poisson')),
            MetricValue(f'{name}_time', total, 's', len(found),
                        why='complete sum over this run'))


class Handover(TableMetric):
    """Fallbacks of the supervisor and interventions of an operator."""

    def values(self, run: Run) -> Values:
        """Return the figures of both."""
        return (*handover('fallback', run), *handover('intervention', run))
