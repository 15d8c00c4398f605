"""How long after a command a feature follows: cross-correlation with an interval and a null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.dependence import autocorrelation_time, BLOCK_TIMES, Floats, MIN_BLOCKS
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.tracks import Mask
from wm_eval_ros.records import Interval, MetricValue

_NS_PER_S = 1e9
#: fewer pairs than this show no correlation
_LEAST_PAIRS = 10
#: a correlation this often reached by chance is none
_ALPHA = 0.05
#: the null needs at least this many stretches as long as the delays searched
_LEAST_STRETCHES = 5
_RESAMPLES = 1000
#: more blocks than this are made longer instead: it costs nothing but time
_MOST_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class Lag:
    """How long after a command a feature follows it; negative: the command follows the feature."""

    feature: str
    #: the command that correlates most with the feature
    command: str
    #: [s]
    lag: MetricValue
    #: correlation at that lag
    correlation: float
    #: share of alignments by chance that correlate as much somewhere; None: too short to say
    chance: float | None
    #: the whole curve: delays [s] and correlations, shape (D,)
    delays_s: Floats
    curve: Floats


@dataclass(frozen=True, slots=True)
class _Pair:
    """A feature and a command on one grid, 0 where not good; shapes (T,)."""

    state: Floats
    state_good: Floats
    command: Floats
    command_good: Floats


def find_lags(grid: Grid, robot: RobotMap, seed: int = 0) -> tuple[Lag, ...]:
    """
    Find for each feature the command and the delay at which they correlate most.

    The true state is used, not the known one: that one is late by its own age.

    :param seed: of the generator made here
    """
    longest = int(robot.max_lag_s * _NS_PER_S / grid.period_ns)
    found = []
    for feature, name in enumerate(grid.names):
        pairs = [_pair(grid, feature, command, robot)
                 for command in range(len(grid.command_names))]
        found.append(_lag(grid, name, pairs, longest, seed))
    return tuple(found)


def _pair(grid: Grid, feature: int, command: int, robot: RobotMap) -> _Pair:
    state_good = grid.truth_codes == 0
    values, good = grid.command[:, command], grid.command_codes == 0
    if robot.lag_on == 'rate':
        # differences around the instant: those before it alone would be half a period late
        values, good = np.gradient(values), good & np.roll(good, 1) & np.roll(good, -1)
    return _Pair(_centred(grid.truth[:, feature], state_good), state_good.astype(float),
                 _centred(values, good), good.astype(float))


def _centred(values: Floats, good: Mask) -> Floats:
    """Take the mean off, for the sake of rounding, and put zero where not good."""
    middle = float(np.mean(values[good])) if good.any() else 0.0
    return np.where(good, values - middle, 0.0)


def _lag(grid: Grid, name: str, pairs: Sequence[_Pair], longest: int, seed: int) -> Lag:
    curves = [_curve(_lagged(pair, longest)) for pair in pairs]
    best = int(np.argmax([np.max(np.abs(curve)) for curve in curves]))
    curve, pair = curves[best], pairs[best]
    peak = int(np.argmax(np.abs(curve)))
    chance = _chance(pairs, longest, float(np.abs(curve[peak])))
    value = _value(f'lag[{name}]', grid, pair, curve, longest, chance, seed)
    return Lag(name, grid.command_names[best], value, float(curve[peak]), chance,
               np.asarray(grid.period_s * np.arange(-longest, longest + 1.0)), curve)


def _value(
    key: str, grid: Grid, pair: _Pair, curve: Floats, longest: int, chance: float | None,
    seed: int,
) -> MetricValue:
    count = int(np.sum(pair.state_good * pair.command_good))
    size = float(np.max(np.abs(curve)))
    if chance is None:
        return MetricValue(key, None, 's', count, why='the bag is too short against the lags '
                           'searched to tell a correlation from chance')
    if chance > _ALPHA:
        return MetricValue(key, None, 's', count, why=f'no command correlates beyond chance: '
                           f'{size:.2f} at most, as {chance:.0%} of alignments by chance do')
    if int(np.argmax(np.abs(curve))) in (0, len(curve) - 1):
        return MetricValue(key, None, 's', count, why=f'the correlation of {size:.2f} still grows '
                           'at the longest lag that is looked for')
    value = float(_peak(curve[None], longest)[0]) * grid.period_s
    moved, blocks = _resampled(pair, longest, seed)
    if moved is None:
        return MetricValue(key, value, 's', blocks, why=f'{blocks} independent blocks; an '
                           f'interval needs {MIN_BLOCKS}')
    low, high = np.quantile(moved, [0.025, 0.975]) * grid.period_s
    return MetricValue(key, value, 's', blocks, Interval(
        min(float(low), value), max(float(high), value), 0.95, 'moving-block bootstrap'))


def _terms(pair: _Pair, delay: int) -> Floats:
    """
    Return what each instant adds to the sums of a correlation at one delay, shape (6, T - |d|).

    Rows: weight, state, command, their squares and their product.
    """
    end = len(pair.state) - abs(delay)
    later, earlier = slice(max(delay, 0), max(delay, 0) + end), slice(max(-delay, 0),
                                                                      max(-delay, 0) + end)
    weight = pair.state_good[later] * pair.command_good[earlier]
    state, command = pair.state[later] * weight, pair.command[earlier] * weight
    return np.stack([weight, state, command, state**2, command**2, state * command])


def _curve(sums: Floats) -> Floats:
    """
    Return the correlation from its sums; 0 where there are too few pairs or no spread.

    :param sums: shape (6, ...)
    """
    weight, state, command, states, commands, products = sums
    count = np.maximum(weight, 1.0)
    spread = (states - state**2 / count) * (commands - command**2 / count)
    known = (weight >= _LEAST_PAIRS) & (spread > 0)
    both = products - state * command / count
    return np.asarray(np.where(known, both / np.sqrt(np.where(known, spread, 1.0)), 0.0))


def _peak(curves: Floats, longest: int) -> Floats:
    """
    Return the delay of the largest correlation, between grid points by a parabola through three.

    :param curves: shape (R, D)
    :returns: in periods, negative where the command follows, shape (R,)
    """
    size = np.abs(curves)
    at = np.argmax(size, axis=1)
    inner = np.clip(at, 1, max(1, curves.shape[1] - 2))
    rows = np.arange(len(curves))
    if curves.shape[1] < 3:
        return np.asarray(at - float(longest))
    left, middle, right = (size[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where((bend < 0) & (inner == at), (left - right) / np.where(bend < 0, 2 * bend, 1),
                     0.0)
    return np.asarray(at - longest + np.clip(shift, -0.5, 0.5))


def _resampled(pair: _Pair, longest: int, seed: int) -> tuple[Floats | None, int]:
    """
    Resample whole blocks of instants and find the peak anew, shape (R,).

    What an instant adds to the slope of the correlation at its peak decides where the peak is. A
    block is BLOCK_TIMES autocorrelation times of that long; a state and the command before it
    stay together at every delay.
    """
    size = len(pair.state)
    peak = int(np.argmax(np.abs(_curve(_lagged(pair, longest))))) - longest
    sides = (_padded(_terms(pair, peak + side), size, peak + side)[5] for side in (1, -1))
    slope = np.subtract(*sides)
    block = max(math.ceil(BLOCK_TIMES * autocorrelation_time(slope)), size // _MOST_BLOCKS)
    block = min(size, block)
    blocks = size // block
    if blocks < MIN_BLOCKS:
        return None, blocks
    starts = np.arange(0, size, block)
    sums = np.stack([np.add.reduceat(_padded(_terms(pair, delay), size, delay), starts, axis=1)
                     for delay in range(-longest, longest + 1)], axis=1)
    drawn = np.random.default_rng(seed).multinomial(
        len(starts), np.full(len(starts), 1 / len(starts)), size=_RESAMPLES)
    return _peak(_curve(np.tensordot(sums, drawn.astype(float), (2, 1)).swapaxes(1, 2)),
                 longest), blocks


def _padded(terms: Floats, length: int, delay: int) -> Floats:
    """Put the terms of a delay at the instants of the state, zero where there is no partner."""
    found = np.zeros((len(terms), length))
    first = max(delay, 0)
    found[:, first:first + terms.shape[1]] = terms
    return found


def _chance(pairs: Sequence[_Pair], longest: int, found: float) -> float | None:
    """
    Return how often misaligned series correlate as much at some delay.

    Turning a command around the circle keeps the autocorrelation of both and breaks what links
    them; every turn farther than the delays searched is a draw of the null, and like the search
    takes the best of all delays and commands.
    """
    count = len(pairs[0].state)
    width = 2 * longest + 1
    if count < (_LEAST_STRETCHES + 1) * width:
        return None
    size = np.max([np.abs(_curve(_circular(pair, count))) for pair in pairs], axis=0)
    turned = np.concatenate([size, size[:width - 1]])
    best = np.lib.stride_tricks.sliding_window_view(turned, width).max(axis=1)
    far = best[longest + 1:count - width - longest + 1]
    return float((1 + np.sum(far >= found)) / (1 + len(far)))


def _lagged(pair: _Pair, longest: int) -> Floats:
    """Return the sums of the correlation at each delay searched, shape (6, D)."""
    return np.roll(_circular(pair, len(pair.state) + longest), longest, 1)[:, :2 * longest + 1]


def _circular(pair: _Pair, size: int) -> Floats:
    """
    Return the sums of the correlation for every turn of the command around a circle.

    :param size: of the circle [periods]; what it exceeds the series by is filled with nothing
    :returns: shape (6, size), delay by delay, negative ones at the end
    """
    left = np.fft.rfft(np.stack([pair.state_good, pair.state, pair.state**2]), size)
    right = np.conj(np.fft.rfft(
        np.stack([pair.command_good, pair.command, pair.command**2]), size))
    combos = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    found = np.fft.irfft(np.stack([left[i] * right[j] for i, j in combos]), size)
    found[0] = np.round(found[0])
    return np.asarray(found)
