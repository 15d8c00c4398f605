"""When commands act at an actuator behind a serial line, by the host's steady clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from wm_eval_ros.metrics.base import count_value, Floats, Ints, missing, NS_PER_MS, share, Values
from wm_eval_ros.metrics.firmware_clock import Bounds, bounds_of
from wm_eval_ros.metrics.link import (
    at_stamp,
    caused_by,
    clustered,
    deadline_ns,
    firsts,
    LARGEST,
    stimuli,
    WARMUP,
)
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import FIRMWARE, Interval, MetricValue

_NO_CLOCK = 'no exchange of stamps with the micro-controller was recorded'
_APART = ('the exchanges with the micro-controller contradict each other: its clock was reset, or '
          'is no crystal, or the line is faster than its baud says')
_NONE = 'no command that acted joins a message that the host sent'
_NOT_RECEIVED = 'no command that acted was received by the host'


class Actuation(TableMetric):
    """Figures of an actuator; none where no command acted at one."""

    def values(self, run: Run) -> Values:
        """Return the figures."""
        link = run.link
        if not link.actuated and not len(link.firmware):
            return ()
        clock = bounds_of(link.firmware)
        return (*(v for topic, rows in link.actuated.items()
                  for v in _of_topic(topic, firsts(rows), run, clock)),
                *_unapplied(run), *_clock_values(clock, len(link.firmware)))


def _of_topic(topic: str, rows: Rows, run: Run, clock: Bounds | None) -> Iterable[MetricValue]:
    sent, received = stimuli(run.link, run), run.link.received.get(topic)
    answers = rows
    if sent is not None:
        at = at_stamp(sent, caused_by(rows['stamp'], run.schedule))
        answers = rows[at >= 0]
        yield from _taken(f'actuation[{topic}]', answers, sent['steady'][at[at >= 0]], run, clock,
                          _NONE)
    if received is not None:
        at = at_stamp(received, rows['stamp'])
        yield from _taken(f'command_to_actuation[{topic}]', rows[at >= 0],
                          received['steady'][at[at >= 0]], run, clock, _NOT_RECEIVED)
    yield from clustered(f'actuation_interval[{topic}]', np.diff(rows['source']) / NS_PER_MS,
                         'fewer than two commands acted')
    yield _trips(topic, answers, run)


def _taken(name: str, rows: Rows, since_ns: Ints, run: Run, clock: Bounds | None,
           why: str) -> Values:
    """
    Return the times from `since_ns` until commands act, without those of the warm-up.

    :param rows: commands that acted, shape (N,)
    :param since_ns: [ns, steady of the host], shape (N,)
    """
    reason = None if clock is not None and clock.hold else _NO_CLOCK if clock is None else _APART
    if reason is not None or clock is None:
        return (missing(name, 'ms', reason or _NO_CLOCK),)
    acted_ns, half_ns = clock.host(rows['source'][WARMUP:])
    widest_ns = float(np.max(half_ns, initial=0.0))
    if widest_ns > LARGEST * deadline_ns(run):
        return (missing(name, 'ms', "the micro-controller's clock is known to "
                        f'{widest_ns / NS_PER_MS:.3g} ms only, more than {LARGEST:.0%} of the '
                        'deadline'),)
    taken, half = (acted_ns - since_ns[WARMUP:]) / NS_PER_MS, half_ns / NS_PER_MS
    return _between(name, np.asarray(taken), np.asarray(half), why)


def _between(name: str, taken: Floats, half: Floats, why: str) -> Values:
    """
    Return figures of times that are known to within `half`, which their intervals hold.

    A quantile of the true times lies between those of the times less and plus what is not known.
    """
    low, high = clustered(name, taken - half, why), clustered(name, taken + half, why)
    known = f'and clocks known to {np.max(half, initial=0.0):.3g} ms'
    found = []
    for value, least, most in zip(clustered(name, taken, why), low, high, strict=True):
        if value.interval is None or least.interval is None or most.interval is None:
            found.append(value)
            continue
        found.append(replace(value, interval=Interval(
            least.interval.low, most.interval.high, value.interval.confidence,
            f'{value.interval.method}, {known}')))
    return tuple(found)


def _unapplied(run: Run) -> Iterable[MetricValue]:
    """Yield the share of the commands that came to the host and never acted."""
    for topic, rows in run.link.actuated.items():
        received = run.link.received.get(topic)
        if received is not None:
            stamps = np.unique(received['stamp'])
            acted = np.isin(stamps, rows['stamp'])
            yield share(f'commands_not_applied[{topic}]', int(np.sum(~acted)), len(stamps),
                        'no command came to the host')


def _trips(topic: str, rows: Rows, run: Run) -> MetricValue:
    """
    Return how often zero acted between commands: after the last one it always does.

    :param rows: commands that acted and answer what the host sent
    """
    trips, acted = run.link.watchdog.get(topic), rows['source']
    between = 0 if trips is None or len(rows) == 0 else int(np.sum(
        (trips['source'] > acted[0]) & (trips['source'] < acted[-1])))
    return count_value(f'watchdog_trips[{topic}]', between, len(rows))


def _clock_values(clock: Bounds | None, exchanges: int) -> Iterable[MetricValue]:
    if clock is None:
        return
    name = f'clock_offset[{FIRMWARE}]'
    if not clock.hold:
        yield missing(name, 'ms', _APART, exchanges)
        return
    low, high = clock.offsets() / NS_PER_MS
    moved = (low[-1] + high[-1] - low[0] - high[0]) / 2.0
    yield MetricValue(name, float(low[0] + high[0]) / 2.0, 'ms', exchanges, Interval(
        float(np.min(low)), float(np.max(high)), 1.0,
        f'each exchange bounds it, and it moved by {moved:+.3g} ms meanwhile'))
