"""State and command on a regular grid of time, and where they are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.bag.timing import GAP_FACTOR
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.openloop.reasons import among, Codes, mark, Reason
from wm_eval_ros.openloop.recording import Floats, Times
from wm_eval_ros.openloop.tracks import Mask, Track, UNUSABLE

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Grid:
    """
    What was known, and what was true, at each grid point.

    *Known* is the newest sample at or before the instant: no sample of the future. *True* is the
    line between the samples on both sides of the instant: the value a forecast is held against.
    """

    start_ns: int
    period_ns: int
    names: tuple[str, ...]
    #: known state, shape (T, F); 0 where masked
    state: Floats
    #: why it is masked, flags of :class:`Reason`, shape (T,): any feature spoils the point
    state_codes: Codes
    #: true state, shape (T, F); 0 where masked
    truth: Floats
    truth_codes: Codes
    #: when the truth is known: the later of its two samples has come [ns], shape (T,)
    settled_ns: Times
    command_names: tuple[str, ...]
    #: command in force, shape (T, A)
    command: Floats
    command_codes: Codes

    def __len__(self) -> int:
        """Return the number of grid points."""
        return len(self.state)

    @property
    def period_s(self) -> float:
        """Period of the grid [s]."""
        return self.period_ns / _NS_PER_S

    @property
    def times_ns(self) -> Times:
        """Time of each grid point [ns], shape (T,)."""
        return self.start_ns + self.period_ns * np.arange(len(self), dtype=np.int64)


def make_grid(
    state: Sequence[Track], command: Sequence[Track], robot: RobotMap, period_ns: int,
) -> Grid:
    """
    Put tracks on a grid.

    A state holds for five of its intervals, and at least two periods; a command for
    `command_timeout_s`.

    :raises BagError: state and command do not overlap in time
    """
    every = [*state, *command]
    start = max(int(track.times_ns[0]) for track in every)
    end = min(int(track.times_ns[-1]) for track in every)
    if end - start < period_ns:
        raise BagError('state and command do not overlap in time; nothing to score')
    times = np.arange(start, end + 1, period_ns, dtype=np.int64)
    ages = [max(int(GAP_FACTOR * track.fresh_ns), 2 * period_ns) for track in state]
    lost = int(robot.loss_s * _NS_PER_S)
    known = [hold(t, times, age, lost) for t, age in zip(state, ages, strict=True)]
    true = [_between(track, times, age, lost) for track, age in zip(state, ages, strict=True)]
    timeout = int(robot.command_timeout_s * _NS_PER_S)
    sent = [hold(track, times, timeout) for track in command]
    return Grid(
        start, period_ns, tuple(t.name for t in state), np.stack([v for v, _ in known], 1),
        _any([codes for _, codes in known]), np.stack([v for v, _, _ in true], 1),
        _any([codes for _, codes, _ in true]), np.max([when for _, _, when in true], axis=0),
        tuple(t.name for t in command), np.stack([v for v, _ in sent], 1),
        _any([codes for _, codes in sent]))


def hold(
    track: Track, times_ns: Times, max_age_ns: int, loss_ns: int | None = None,
) -> tuple[Floats, Codes]:
    """
    Return the newest value at each time, 0 where masked, and why it is masked.

    :param times_ns: none before the track's first sample, shape (T,)
    :param max_age_ns: an older value is silence
    :param loss_ns: a silence of a state that lasts so long is a sensor loss; None: a command
    """
    newest = np.searchsorted(track.times_ns, times_ns, side='right') - 1
    codes = among(track.codes[newest], UNUSABLE)
    late = times_ns - track.times_ns[newest] > max_age_ns
    if loss_ns is None:
        mark(codes, late, Reason.COMMAND_SILENCE)
    else:
        last = len(track.times_ns) - 1
        ends = np.where(newest < last, track.times_ns[np.minimum(newest + 1, last)], times_ns)
        _mark_silence(codes, late, ends - track.times_ns[newest], loss_ns)
    return np.where(codes == 0, track.values[newest], 0.0), codes


def _mark_silence(codes: Codes, late: Mask, duration_ns: Times, loss_ns: int) -> None:
    mark(codes, late & (duration_ns < loss_ns), Reason.STATE_SILENCE)
    mark(codes, late & (duration_ns >= loss_ns), Reason.SENSOR_LOSS)


def _between(
    track: Track, times_ns: Times, max_gap_ns: int, loss_ns: int,
) -> tuple[Floats, Codes, Times]:
    """Return the value between both neighbours of each time, why masked, and when it is known."""
    after = np.searchsorted(track.times_ns, times_ns, side='left')
    before = np.where(track.times_ns[after] == times_ns, after, np.maximum(after - 1, 0))
    left, right = track.times_ns[before], track.times_ns[after]
    codes = among(track.codes[before] | track.codes[after], UNUSABLE)
    _mark_silence(codes, right - left > max_gap_ns, right - left, loss_ns)
    share = (times_ns - left) / np.maximum(right - left, 1)
    low = np.where(codes == 0, track.values[before], 0.0)
    high = np.where(codes == 0, track.values[after], 0.0)
    return low + share * (high - low), codes, right


def _any(codes: Sequence[Codes]) -> Codes:
    return np.asarray(np.bitwise_or.reduce(np.stack(codes), axis=0))
