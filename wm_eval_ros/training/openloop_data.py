"""
A robot's bag as vectors on a regular grid: state and command, and where they are to be trusted.

Everything runs on log time, the one clock that all topics share. What is odd (sentinels, outliers,
silences, values that repeat) is masked and named, never averaged in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.preflight import Finding, Severity
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.bag.timing import GAP_FACTOR, median_interval_ns
from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.wire.fields import StreamReader

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NS_PER_MS, _NS_PER_S = 1e6, 1e9
#: median absolute deviation to standard deviation of a normal distribution
_MAD = 1.4826
#: neighbours a sample is held against, itself included
_WINDOW = 5
#: a spike leaves its neighbours by at least this share of the signal's central 98 %
_SPIKE_RANGE = 0.5


@dataclass(frozen=True, slots=True)
class Track:
    """One feature of one topic, as recorded."""

    name: str
    #: log times, ascending [ns], shape (N,)
    times_ns: NDArray[np.int64]
    #: shape (N,)
    values: Floats
    #: False where a value is masked, shape (N,)
    good: Mask
    #: how often the value is new [ns]; above the interval of the topic where values are repeated
    fresh_ns: int


@dataclass(frozen=True, slots=True)
class Grid:
    """State and command on a regular grid of log time."""

    #: [ns]
    start_ns: int
    period_ns: int
    names: tuple[str, ...]
    #: state, shape (T, F)
    state: Floats
    #: shape (T, F)
    state_good: Mask
    command_names: tuple[str, ...]
    #: command held at the grid point, shape (T, A)
    command: Floats
    #: shape (T,)
    command_good: Mask


@dataclass(frozen=True, slots=True)
class Tracks:
    """Everything a map names, read and masked."""

    state: tuple[Track, ...]
    command: tuple[Track, ...]
    findings: tuple[Finding, ...]


def read_tracks(bag: Bag, robot: RobotMap) -> Tracks:
    """
    Read and mask the features a map names.

    :raises BagError: a topic is missing, not readable or empty
    :raises FieldPathError: a field of the map is not in the messages
    """
    streams = (*robot.interface.observations, robot.interface.command)
    raw = _read(bag, streams)
    findings = list(_undefined(bag, robot))
    state: list[Track] = []
    for stream in robot.interface.observations:
        state += _state_tracks(stream, *raw[stream.topic], robot, findings)
    command = robot.interface.command
    return Tracks(tuple(state), tuple(_command_tracks(command, *raw[command.topic], robot,
                                                      findings)), tuple(findings))


def to_grid(tracks: Tracks, robot: RobotMap, period_ns: int, wanted: tuple[str, ...]) -> Grid:
    """
    Hold every feature's newest good value at each grid point; a value too old is not good.

    :param wanted: names of the state features
    :raises BagError: state and command do not overlap in time
    """
    state = [track for track in tracks.state if track.name in wanted]
    every = [*state, *tracks.command]
    start = max(int(track.times_ns[0]) for track in every)
    end = min(int(track.times_ns[-1]) for track in every)
    if end - start < period_ns:
        raise BagError('state and command do not overlap in time; nothing to score')
    times = np.arange(start, end + 1, period_ns, dtype=np.int64)
    held = [_hold(t, times, max(int(GAP_FACTOR * t.fresh_ns), 2 * period_ns)) for t in state]
    timeout_ns = int(robot.command_timeout_s * _NS_PER_S)
    sent = [_hold(t, times, timeout_ns) for t in tracks.command]
    return Grid(
        start, period_ns, tuple(t.name for t in state),
        np.stack([values for values, _ in held], 1), np.stack([good for _, good in held], 1),
        tuple(t.name for t in tracks.command), np.stack([values for values, _ in sent], 1),
        np.all([good for _, good in sent], axis=0))


def outliers(values: Floats, mads: float) -> Mask:
    """
    Find isolated spikes: samples far off the median of their neighbours.

    A spike is `mads` scaled median absolute deviations off, by the deviations that are not zero
    (Hampel's identifier), and by half the central 98 % of the signal: a step is none.

    :param values: shape (N,)
    :returns: shape (N,)
    """
    if len(values) < _WINDOW:
        return np.zeros(len(values), dtype=bool)
    padded = np.pad(values, _WINDOW // 2, mode='edge')
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)
    off = np.abs(values - np.median(windows, axis=1))
    if not np.any(off > 0):
        return np.zeros(len(values), dtype=bool)
    low, high = np.quantile(values, [0.01, 0.99])
    limit = max(mads * _MAD * float(np.median(off[off > 0])), _SPIKE_RANGE * float(high - low))
    return np.asarray(off > limit)


def fresh_interval_ns(times_ns: NDArray[np.int64], values: Floats) -> int:
    """
    Return how often a value is new [ns]: the median duration of its runs of equal values.

    A robot at rest has one long run, and short ones while it moves: the median is not fooled.
    """
    changes = np.flatnonzero(np.diff(values) != 0) + 1
    if len(changes) < 2:
        return median_interval_ns(times_ns) or 1
    return max(1, int(np.median(np.diff(times_ns[changes]))))


def _undefined(bag: Bag, robot: RobotMap) -> Iterator[Finding]:
    for connection in bag.connections:
        if connection.type in robot.definitions and not connection.text:
            yield Finding(Severity.WARNING, 'definition', connection.topic,
                          f'the bag does not define {connection.type}; read by the definition of '
                          'the map')


def _read(
    bag: Bag, streams: tuple[Stream, ...],
) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    readers = {stream.topic: StreamReader(stream) for stream in streams}
    times: dict[str, list[int]] = {topic: [] for topic in readers}
    rows: dict[str, list[Floats]] = {topic: [] for topic in readers}
    for message, decoded in bag.decoded(tuple(readers)):
        times[message.topic].append(message.log_ns)
        rows[message.topic].append(readers[message.topic].read(decoded))
    for topic, found in times.items():
        if len(found) < 2:
            raise BagError(f'{bag.path}: {topic}: {len(found)} messages; nothing to score')
    return {topic: (np.array(times[topic], dtype=np.int64), np.stack(rows[topic]))
            for topic in readers}


def _state_tracks(
    stream: Stream, times_ns: NDArray[np.int64], values: Floats, robot: RobotMap,
    findings: list[Finding],
) -> Iterator[Track]:
    interval = median_interval_ns(times_ns) or 1
    for column, name in enumerate(StreamReader(stream).names):
        series = values[:, column]
        good = np.isfinite(series)
        if bad := int(np.sum(~good)):
            findings.append(_finding('not_finite', stream.topic, f'{name}: {bad} of '
                                     f'{len(series)} values are not finite; masked', bad))
        spikes = np.zeros_like(good)
        spikes[good] = outliers(series[good], robot.outlier_mads)
        findings.extend(_spike_findings(stream.topic, name, times_ns, series, spikes))
        fresh = fresh_interval_ns(times_ns[good], series[good])
        if fresh >= 2 * interval:
            findings.append(_finding(
                'stale', stream.topic, f'{name}: its value changes every {fresh / _NS_PER_MS:.0f} '
                f'ms in messages every {interval / _NS_PER_MS:.0f} ms; the repeats are not '
                'counted', fresh / _NS_PER_MS))
        yield Track(name, times_ns, series, good & ~spikes, max(fresh, interval))


def _spike_findings(
    topic: str, name: str, times_ns: NDArray[np.int64], series: Floats, spikes: Mask,
) -> Iterator[Finding]:
    if spikes.any():
        worst = int(np.argmax(np.where(spikes, np.abs(series), -1.0)))
        at = (int(times_ns[worst]) - int(times_ns[0])) / _NS_PER_S
        yield _finding('outlier', topic, f'{name}: {np.sum(spikes)} of {len(series)} values leave '
                       f'their neighbours, the largest {series[worst]:.6g} at {at:.2f} s; masked',
                       float(series[worst]))


def _command_tracks(
    stream: Stream, times_ns: NDArray[np.int64], values: Floats, robot: RobotMap,
    findings: list[Finding],
) -> Iterator[Track]:
    finite: Mask = np.asarray(np.isfinite(values).all(axis=1))
    largest = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=1)
    real: Mask = np.asarray(largest < robot.sentinel)
    for kind, mask, what in (('not_finite', finite, 'are not finite'),
                             ('sentinel', real, f'hold a value of {robot.sentinel:.3g} or more, '
                                                'a mark of "no command"')):
        if count := int(np.sum(~mask)):
            findings.append(_finding(kind, stream.topic, f'{count} of {len(mask)} commands '
                                     f'{what}; masked', count))
    interval = median_interval_ns(times_ns) or 1
    for column, name in enumerate(StreamReader(stream).names):
        yield Track(name, times_ns, values[:, column], finite & real, interval)


def _finding(kind: str, topic: str, what: str, value: float) -> Finding:
    return Finding(Severity.WARNING, kind, topic, what, float(value))


def _hold(track: Track, times_ns: NDArray[np.int64], max_age_ns: int) -> tuple[Floats, Mask]:
    """Return the newest value at each time, and whether it is good and young enough."""
    newest = np.searchsorted(track.times_ns, times_ns, side='right') - 1
    good = track.good[newest] & (times_ns - track.times_ns[newest] <= max_age_ns)
    return np.where(good, track.values[newest], 0.0), good
