"""In which episodes somebody but the planner drove, and how many it solved without."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import missing, share, Values
from wm_eval_ros.metrics.spells import FALLBACK, INTERVENTION, overlapped, STOPPED
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.task import decided, NO_EPISODE, NO_PREDICATE, of_a_robot
from wm_eval_ros.records import EventKind, MetricValue, Mode

_NAME = 'unaided_success_rate'
_EVER = 2**63 - 1
_SHADOW = 'in shadow mode the planner did not drive'


def aided(run: Run) -> frozenset[int] | None:
    """
    Return the numbers of the episodes in which somebody but the planner drove.

    A FALLBACK, STOPPED or INTERVENTION spell shares time with them, whichever episode it began
    in: an operator may stay.

    :returns: None in shadow mode: the planner drove in none, which tells nothing of it
    """
    found = run.episodes
    if np.any(run.schedule['mode'] == Mode.SHADOW):
        return None
    begins = np.array([-_EVER if e.start_ns is None else e.start_ns for e in found], np.int64)
    ends = np.array([_EVER if e.end_ns is None else e.end_ns for e in found], np.int64)
    others = np.zeros(len(found), bool)
    for kinds in (FALLBACK, STOPPED, INTERVENTION):
        others |= overlapped(begins, ends, run.spells(kinds))
    return frozenset(e.number for e, other in zip(found, others.tolist(), strict=True) if other)


def unaided_success_rate(run: Run) -> MetricValue:
    """
    Return the share of decided episodes that reached the goal with nobody else driving.

    Episodes with help stay among those it is a share of: they tend to be the hard ones, and a
    rate without them would be better than the planner is.
    """
    if of_a_robot(run):
        return missing(_NAME, '1', NO_PREDICATE)
    helped, counted = aided(run), decided(run.episodes)
    if helped is None:
        return missing(_NAME, '1', _SHADOW)
    alone = sum(e.outcome == EventKind.SUCCESS and e.number not in helped for e in counted)
    return share(_NAME, alone, len(counted), NO_EPISODE)


class Unaided(TableMetric):
    """Success that nobody helped to."""

    def values(self, run: Run) -> Values:
        """Return the figure; it rests on slots too, since they tell shadow mode."""
        return (unaided_success_rate(run),)
