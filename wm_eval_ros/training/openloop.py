"""
Score a small dynamics model open loop on a robot's bag, against persistence.

The model is fitted on the first part of the bag and scored on the rest; the figure is the ratio of
root mean square errors, model over persistence ("nothing changes"), with a block bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.preflight import Finding
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Interval, MetricValue, NameEnum
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.training.openloop_data import Floats, Grid, Mask, read_tracks, to_grid, Tracks
from wm_eval_ros.training.openloop_model import fit, LinearModel

Index = NDArray[np.int64]

_NS_PER_S = 1e9
#: fewer scored predictions than this are no evidence
_MIN_TEST = 10
#: a correlation below this shows no lag
_MIN_CORRELATION = 0.3


class Comparison(NameEnum):
    """How a model compares with persistence: what the whole interval of the ratio says."""

    BETTER = 'better'
    WORSE = 'worse'
    #: the interval holds 1, or there is none
    UNDECIDED = 'undecided'


@dataclass(frozen=True, slots=True)
class Score:
    """One feature, one horizon."""

    feature: str
    horizon_s: float
    #: RMSE(model) / RMSE(persistence)
    ratio: MetricValue
    #: in the unit of the feature; None where nothing was scored
    rmse_model: float | None
    rmse_persistence: float | None

    @property
    def verdict(self) -> Comparison:
        """What the interval of the ratio says."""
        interval = self.ratio.interval
        if interval is None or interval.low <= 1.0 <= interval.high:
            return Comparison.UNDECIDED
        return Comparison.BETTER if interval.high < 1.0 else Comparison.WORSE


@dataclass(frozen=True, slots=True)
class Lag:
    """How long after a command a feature follows."""

    feature: str
    #: the command that the feature follows most closely
    command: str
    #: [s]
    lag: MetricValue
    #: correlation at that lag
    correlation: float


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """The outcome."""

    robot: str
    scores: tuple[Score, ...]
    lags: tuple[Lag, ...]
    findings: tuple[Finding, ...]


def evaluate(bag: Bag, robot: RobotMap) -> OpenLoop:
    """
    Read, mask, fit and score.

    :raises BagError: the bag does not hold what the map names, or too little of it to score
    """
    tracks = read_tracks(bag, robot)
    scores: list[Score] = []
    lags: list[Lag] = []
    for period_ns, names in _groups(tracks, robot):
        grid = to_grid(tracks, robot, period_ns, names)
        scores += score_grid(grid, robot)
        lags += estimate_lags(grid, robot)
    if all(score.ratio.value is None for score in scores):
        raise BagError(f'{bag.path}: nothing to score: {scores[0].ratio.why}')
    return OpenLoop(robot.name, tuple(scores), tuple(lags), tracks.findings)


def score_grid(grid: Grid, robot: RobotMap) -> list[Score]:
    """Fit on the first part of the grid and score one step and every horizon of the map."""
    period_s = grid.period_ns / _NS_PER_S
    ahead = sorted({1, *(max(1, round(h / period_s)) for h in robot.horizons_s)})
    one = windows(grid, robot.history, 1)
    cut = int(one[int(robot.train_share * len(one))]) if len(one) else 0
    train = one[one + 1 < cut]
    inputs = robot.history * (len(grid.names) + len(grid.command_names))
    if len(train) <= inputs:
        why = (f'{len(train)} whole windows to fit {inputs} weights on: masked, silent or '
               'too short')
        return [_no_score(name, steps * period_s, why) for steps in ahead for name in grid.names]
    model = fit(*_past(grid, train, robot.history), grid.state[train + 1], robot.ridge)
    return [score for steps in ahead for score in _score(grid, robot, model, cut, steps)]


def windows(grid: Grid, history: int, steps: int) -> Index:
    """
    Return the grid points whose past and future are good throughout, ascending.

    :param history: samples of the past, the point itself included
    :param steps: samples of the future
    """
    state: Mask = np.asarray(grid.state_good.all(axis=1))
    command = grid.command_good
    count = len(state) - history - steps + 1
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    bad_states = np.concatenate([[0], np.cumsum(~state)])
    bad_commands = np.concatenate([[0], np.cumsum(~command)])
    first = np.arange(count)
    good = (bad_states[first + history + steps] == bad_states[first]) & (
        bad_commands[first + history + steps - 1] == bad_commands[first])
    return np.asarray(first[good] + history - 1)


def estimate_lags(grid: Grid, robot: RobotMap) -> Iterator[Lag]:
    """Find for each feature the command and the delay at which they correlate most."""
    longest = int(robot.max_lag_s * _NS_PER_S / grid.period_ns)
    for column, name in enumerate(grid.names):
        best = (0.0, 0, 0, 0)
        for other in range(len(grid.command_names)):
            for delay in range(longest + 1):
                value, count = _correlation(grid, column, other, delay)
                best = max(best, (value, -delay, other, count), key=lambda b: abs(b[0]))
        value, delay, other, count = best[0], -best[1], best[2], best[3]
        key = f'lag/{name}'
        shown = MetricValue(key, delay * grid.period_ns / _NS_PER_S, 's', count) if (
            abs(value) >= _MIN_CORRELATION) else MetricValue(
            key, None, 's', count, why=f'no command correlates: {abs(value):.2f} at most')
        yield Lag(name, grid.command_names[other], shown, value)


def _groups(tracks: Tracks, robot: RobotMap) -> list[tuple[int, tuple[str, ...]]]:
    """Put features together that are new equally often; repeats are no samples."""
    period_ns = round(robot.period_ms * 1e6)
    groups: dict[int, list[str]] = {}
    for track in tracks.state:
        steps = max(1, round(track.fresh_ns / period_ns))
        groups.setdefault(steps * period_ns, []).append(track.name)
    return [(period, tuple(names)) for period, names in sorted(groups.items())]


def _past(grid: Grid, at: Index, history: int, steps: int = 1) -> tuple[Floats, Floats]:
    """Return the last states, shape (N, K, F), and commands until the last step ahead."""
    back = at[:, None] + np.arange(1 - history, 1)
    return grid.state[back], grid.command[at[:, None] + np.arange(1 - history, steps)]


def _score(
    grid: Grid, robot: RobotMap, model: LinearModel, cut: int, steps: int,
) -> Iterator[Score]:
    horizon_s = steps * grid.period_ns / _NS_PER_S
    at = windows(grid, robot.history, steps)
    at = at[at - robot.history + 1 >= cut]
    if len(at) < _MIN_TEST:
        why = f'{len(at)} whole windows to score; {_MIN_TEST} are the least'
        yield from (_no_score(name, horizon_s, why) for name in grid.names)
        return
    truth = grid.state[at + steps]
    predicted = model.rollout(*_past(grid, at, robot.history, steps), steps)[:, -1]
    model_error, still_error = (predicted - truth) ** 2, (grid.state[at] - truth) ** 2
    block = max(2 * steps, math.ceil(robot.block_s * _NS_PER_S / grid.period_ns))
    for column, name in enumerate(grid.names):
        yield _ratio(name, horizon_s, model_error[:, column], still_error[:, column], at // block)


def _ratio(
    name: str, horizon_s: float, model_error: Floats, still_error: Floats, blocks: Index,
) -> Score:
    """Compare squared errors; whole blocks of time are resampled, for neighbours are alike."""
    key = f'rmse_ratio/{name}/{horizon_s:g}s'
    number = np.unique(blocks, return_inverse=True)[1]
    top, bottom = (np.bincount(number, errors).astype(np.float64)
                   for errors in (model_error, still_error))
    rmse = [float(np.sqrt(np.mean(errors))) for errors in (model_error, still_error)]
    if rmse[1] == 0.0:
        value = MetricValue(key, None, 'ratio', len(blocks),
                            why='the feature never changes: persistence is exact')
        return Score(name, horizon_s, value, *rmse)
    found = cluster_ratio(top, bottom)
    if found.low is None or found.high is None:
        value = MetricValue(key, math.sqrt(found.value), 'ratio', len(top),
                            why=f'{len(top)} blocks of time are too few for an interval')
    else:
        value = MetricValue(
            key, math.sqrt(found.value), 'ratio', len(top),
            Interval(math.sqrt(found.low), math.sqrt(found.high), method='block bootstrap'))
    return Score(name, horizon_s, value, *rmse)


def _no_score(name: str, horizon_s: float, why: str) -> Score:
    value = MetricValue(f'rmse_ratio/{name}/{horizon_s:g}s', None, 'ratio', 0, why=why)
    return Score(name, horizon_s, value, None, None)


def _correlation(grid: Grid, column: int, other: int, delay: int) -> tuple[float, int]:
    """Correlate a command with a feature some samples later, where both are good."""
    end = len(grid.state) - delay
    good = grid.state_good[delay:, column] & grid.command_good[:end]
    count = int(np.sum(good))
    if count < _MIN_TEST:
        return 0.0, count
    state = grid.state[delay:, column][good]
    command = grid.command[:end, other][good]
    state, command = state - state.mean(), command - command.mean()
    size = math.sqrt(float(state @ state) * float(command @ command))
    return (float(state @ command) / size if size > 0 else 0.0), count
