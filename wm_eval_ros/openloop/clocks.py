"""Clocks: how far header stamps and log time are apart, and which of them a sample's time is."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.dependence import autocorrelation_time, BLOCK_TIMES, Floats
from wm_eval_ros.openloop.recording import Recorded, Recording, Times
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.stats.mean import slope
from wm_eval_ros.stats.quantile import quantile

_NS_PER_S = 1e9
#: fewer blocks than this show no drift
_LEAST_BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of one topic's header stamps against the recorder's."""

    topic: str
    messages: int
    #: header stamps that are zero
    zero: int
    #: median of stamp - log time [s]: clock offset less the usual transport
    offset: MetricValue
    #: how fast that offset grows [ppm]
    drift: MetricValue
    #: central 98 % of stamp - log time [s]: jitter of transport and of stamping
    jitter: MetricValue
    #: ``log`` or ``stamps``, and why
    base: str
    why: str


def clock_of(found: Recorded, robot: RobotMap) -> Clock:
    """Estimate the clock of a topic and choose the time of its samples."""
    topic, stamps = found.stream.topic, found.stamps_ns
    zero = 0 if stamps is None else int(np.count_nonzero(stamps == 0))
    base, why = _choose(found, zero, robot)
    offset, drift, jitter = _figures(found, topic, zero)
    return Clock(topic, len(found.log_ns), zero, offset, drift, jitter, base, why)


def times_of(found: Recorded, clock: Clock) -> Times:
    """
    Return the time of each sample [ns], by the choice of its clock, shape (N,).

    On ``stamps`` the median offset is taken off, so that every topic runs on the recorder's
    clock: what remains is when the sample was taken, less the usual transport.
    """
    if clock.base == 'log' or found.stamps_ns is None:
        return found.log_ns
    return found.stamps_ns - int(np.median(found.stamps_ns - found.log_ns))


def _choose(found: Recorded, zero: int, robot: RobotMap) -> tuple[str, str]:
    if found.stamps_ns is None:
        return 'log', 'the type has no header'
    if zero:
        return 'log', f'{zero} of {len(found.log_ns)} header stamps are zero'
    if robot.clock == 'stamps':
        return 'stamps', 'header stamps less their offset, as the map asks'
    return 'log', 'the one clock all topics share'


def _figures(
    found: Recorded, topic: str, zero: int,
) -> tuple[MetricValue, MetricValue, MetricValue]:
    names = (f'clock_offset[{topic}]', f'clock_drift[{topic}]', f'clock_jitter[{topic}]')
    units = ('s', 'ppm', 's')
    if found.stamps_ns is None or zero == len(found.log_ns):
        why = 'the type has no header' if found.stamps_ns is None else 'all header stamps are zero'
        first, second, third = (MetricValue(name, None, unit, 0, why=why)
                                for name, unit in zip(names, units, strict=True))
        return first, second, third
    stamped = found.stamps_ns != 0
    log = found.log_ns[stamped]
    apart = found.stamps_ns[stamped] - log
    middle = int(np.median(apart))
    rest = (apart - middle) / _NS_PER_S
    times, medians = _blocks((log - log[0]) / _NS_PER_S, rest)
    low, high = np.quantile(rest, [0.01, 0.99])
    return (_offset(names[0], middle / _NS_PER_S, medians),
            _drift(names[1], times, medians),
            MetricValue(names[2], float(high - low), 's', len(rest),
                        why='a range of what was seen, no estimate'))


def _blocks(times_s: Floats, rest_s: Floats) -> tuple[Floats, Floats]:
    """Return the mean time and the median of each of the blocks that hardly depend on others."""
    count = len(rest_s)
    block = min(count, math.ceil(BLOCK_TIMES * autocorrelation_time(rest_s)))
    cuts = np.arange(block, count - block + 1, block)
    return (np.array([part.mean() for part in np.split(times_s, cuts)]),
            np.array([np.median(part) for part in np.split(rest_s, cuts)]))


def _offset(name: str, value_s: float, medians: Floats) -> MetricValue:
    found = quantile(medians, 0.5)
    if found.low is None or found.high is None:
        return MetricValue(name, value_s, 's', len(medians), why=found.why)
    # the limits of the blocks' median, which need not hold the median of all samples
    low, high = min(found.low, 0.0), max(found.high, 0.0)
    return MetricValue(name, value_s, 's', len(medians), Interval(
        value_s + low, value_s + high, 0.9, 'order statistics of block medians'))


def _drift(name: str, times_s: Floats, medians: Floats) -> MetricValue:
    if len(medians) < _LEAST_BLOCKS:
        return MetricValue(name, None, 'ppm', len(medians),
                           why=f'{len(medians)} independent blocks; {_LEAST_BLOCKS} are the least')
    found = slope(times_s, medians * 1e6)
    if found.low is None or found.high is None:
        return MetricValue(name, found.value, 'ppm', len(medians), why='no interval')
    return MetricValue(name, found.value, 'ppm', len(medians),
                       Interval(found.low, found.high, 0.95, 'least squares over block medians'))


def clocks_of(recording: Recording, robot: RobotMap) -> dict[str, Clock]:
    """Estimate the clock of every topic read, by topic."""
    return {found.stream.topic: clock_of(found, robot) for found in recording.values()}
