"""Features as tracks over time, and which of their samples are to be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.timing import median_interval_ns
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.reasons import among, Codes, mark, Reason
from wm_eval_ros.openloop.recording import Floats, Recorded, Times

Mask = NDArray[np.bool_]

#: median absolute deviation to standard deviation of a normal distribution
_MAD = 1.4826
#: neighbours a sample is held against, itself included
_WINDOW = 5
#: a spike leaves its neighbours by at least this share of the signal's central 98 %
_SPIKE_RANGE = 0.5
#: a value that is new this many times less often than its messages is repeated by them
_STALE = 2
#: what keeps a sample from being used; a repeat is a value like any other, but no new one
UNUSABLE = Reason.NOT_FINITE | Reason.OUTLIER | Reason.SENTINEL


@dataclass(frozen=True, slots=True)
class Track:
    """One feature of one topic."""

    name: str
    topic: str
    #: times of its samples [ns], ascending, shape (N,)
    times_ns: Times
    #: shape (N,)
    values: Floats
    #: why a sample is masked, flags of :class:`Reason`, shape (N,)
    codes: Codes
    #: median interval of the topic's messages [ns]
    interval_ns: int
    #: how often the value is new [ns]; longer where messages repeat values
    fresh_ns: int

    @property
    def good(self) -> Mask:
        """Whether a sample may be used, shape (N,)."""
        return np.asarray(among(self.codes, UNUSABLE) == 0)

    @property
    def stale(self) -> bool:
        """Whether its messages repeat values."""
        return self.fresh_ns >= _STALE * self.interval_ns


def state_tracks(found: Recorded, times_ns: Times, robot: RobotMap) -> Iterator[Track]:
    """
    Yield the features of a state stream, spikes and repeats marked.

    :param times_ns: time of each sample [ns], in the order of the recording, shape (N,)
    """
    order = np.argsort(times_ns, kind='stable')
    times = times_ns[order]
    interval = median_interval_ns(times) or 1
    for column, name in enumerate(found.names):
        values = found.values[order, column]
        finite = np.isfinite(values)
        codes = np.where(finite, 0, Reason.NOT_FINITE).astype(np.uint8)
        spikes = np.flatnonzero(finite)[outliers(values[finite], robot.outlier_mads)]
        mark(codes, spikes, Reason.OUTLIER)
        fresh = max(interval, fresh_interval_ns(times[finite], values[finite]))
        if fresh >= _STALE * interval:
            mark(codes[1:], values[1:] == values[:-1], Reason.STALE_REPEAT)
        yield Track(name, found.stream.topic, times, values, codes, interval, fresh)


def command_tracks(found: Recorded, times_ns: Times, robot: RobotMap) -> Iterator[Track]:
    """
    Yield the features of the command stream; one bad entry spoils the whole command.

    A spike in a command was really sent, so it is none to mask.

    :param times_ns: time of each sample [ns], in the order of the recording, shape (N,)
    """
    order = np.argsort(times_ns, kind='stable')
    values, times = found.values[order], times_ns[order]
    finite = np.isfinite(values).all(axis=1)
    largest = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=1)
    codes = np.where(finite, 0, Reason.NOT_FINITE).astype(np.uint8)
    mark(codes, largest >= robot.sentinel, Reason.SENTINEL)
    interval = median_interval_ns(times) or 1
    for column, name in enumerate(found.names):
        yield Track(name, found.stream.topic, times, values[:, column], codes, interval, interval)


def outliers(values: Floats, mads: float) -> Mask:
    """
    Find isolated spikes: samples far off the median of their neighbours.

    A spike is `mads` scaled median absolute deviations off, by the deviations that are not zero
    (Hampel's identifier), and by half the central 98 % of the signal: a step is none.

    :param values: finite, shape (N,)
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


def fresh_interval_ns(times_ns: Times, values: Floats) -> int:
    """
    Return how often a value is new [ns]: the median duration of its runs of equal values.

    A robot at rest has one long run, and short ones while it moves: the median is not fooled.

    :param times_ns: ascending, shape (N,)
    :param values: shape (N,)
    """
    changes = np.flatnonzero(np.diff(values) != 0) + 1
    if len(changes) < 2:
        return median_interval_ns(times_ns) or 1
    return max(1, int(np.median(np.diff(times_ns[changes]))))


def longest_rest_ns(track: Track) -> int:
    """Return the longest time over which the value of every good message stays the same [ns]."""
    good = np.flatnonzero(track.good)
    times, values = track.times_ns[good], track.values[good]
    changes = np.flatnonzero((np.diff(values) != 0) | (np.diff(good) > 1)) + 1
    edges = np.concatenate([[0], changes, [len(values)]])
    lasts = times[np.maximum(edges[1:] - 1, 0)] - times[np.minimum(edges[:-1], len(times) - 1)]
    return int(np.max(lasts)) if len(good) else 0
