"""Figures that rest on messages the recorder dropped have no value: a gap is never a success."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from wm_eval_ros.metrics.base import Metric, Values
from wm_eval_ros.metrics.inputs import Arrivals
from wm_eval_ros.metrics.recovery import PerturbationRecovery
from wm_eval_ros.metrics.table import TableMetric
from wm_eval_ros.metrics.task import Task

#: last parts of the names of the topics that figures rest on
_RUN_INFO, _EVENTS, _CYCLES = 'run_info', 'episode_event', 'planner_cycle'
#: families that read events and no slots; every other one reads slots between events
_OF_EVENTS_ALONE = (Task, PerturbationRecovery)


def without_gaps(metric: Metric, values: Values, dropped: Mapping[str, int]) -> Values:
    """
    Take the value of each figure that rests on dropped messages, and say why.

    :param metric: the family that gave the values
    :param dropped: messages the recorder dropped, by topic
    """
    lost = {topic: count for topic, count in dropped.items() if count}
    if not lost:
        return values
    rests = {_RUN_INFO, _EVENTS}
    if not isinstance(metric, _OF_EVENTS_ALONE):
        rests.add(_CYCLES)
    gone = [topic for topic in sorted(lost) if topic.rpartition('/')[2] in rests]
    if gone and isinstance(metric, TableMetric):
        return _unknown(values, gone, lost)
    if isinstance(metric, Arrivals):
        return tuple(found for value in values for found in _unknown(
            (value,), [t for t in sorted(lost) if value.name.endswith(f'[{t}]')], lost))
    return values


def _unknown(values: Values, gone: Iterable[str], lost: Mapping[str, int]) -> Values:
    names = ', '.join(f'{lost[topic]} messages of {topic}' for topic in gone)
    if not names:
        return values
    why = f'unknown: the recorder dropped {names}, on which it rests'
    return tuple(replace(value, value=None, interval=None, why=why) for value in values)
