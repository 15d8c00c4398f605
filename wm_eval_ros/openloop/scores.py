"""Model against persistence, feature by feature and horizon by horizon, with verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.dependence import error_ratio, ErrorRatio, MIN_BLOCKS
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.model import Choice, choose, LEAST_WINDOWS
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.recording import Floats, Times
from wm_eval_ros.openloop.windows import windows
from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.stats.multiple import holm

#: a verdict errs, anywhere in the bag, at most this often
ALPHA = 0.05
#: fewer scored windows than this are no evidence
LEAST_SCORED = 10
_METHOD = 'moving-block bootstrap, studentised'


@dataclass(frozen=True, slots=True)
class Score:
    """One feature at one horizon."""

    feature: str
    horizon_s: float
    #: RMSE(model) / RMSE(persistence)
    ratio: MetricValue
    #: RMSE(model) / RMSE(the same model without commands)
    gain: MetricValue
    #: in the unit of the feature; None where nothing was scored
    rmse_model: float | None
    rmse_persistence: float | None
    #: the ratio that cross-validation within the fitted part promised
    validated: float | None
    #: two-sided p-value of "no better and no worse", alone and among all of the bag (Holm)
    p: float | None
    p_adjusted: float | None
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Scored:
    """One horizon of one grid: the model, its windows and its predictions."""

    horizon_s: float
    features: tuple[str, ...]
    #: what cross-validation chose; None where nothing could be fitted
    history: int | None
    ridge: float | None
    #: windows fitted on, scored, and scored with an input beyond the range of the fit
    fitted: int
    scored: int
    outside: int
    #: masked windows of the scored part, by reason
    masked: dict[Reason, int]
    #: windows of the scored part, masked or not
    possible: int
    #: instants predicted, truth and prediction, over the whole bag; shapes (N,), (N, F)
    times_ns: Times
    truth: Floats
    predicted: Floats


def score_horizon(grid: Grid, cut: int, steps: int, robot: RobotMap) -> tuple[list[Score], Scored]:
    """
    Fit on what lies before the cut and score what lies after it.

    :param cut: grid point the scored part begins at
    :returns: scores still without Holm's adjustment, and what they rest on
    """
    choice = choose(grid, cut, steps, robot.history, robot.ridge)
    blind = choose(grid, cut, steps, robot.history, robot.ridge, commands=False)
    # one set of windows for both models, so that their errors can be divided
    longest = max((c.model.layout.history for c in (choice, blind) if c), default=1)
    test = windows(grid, longest, steps).between(cut, len(grid))
    horizon_s = steps * grid.period_s
    if choice is None or blind is None:
        short = windows(grid, min(robot.history), steps).between(0, cut).whole
        why = f'{len(short)} whole windows to fit on; {LEAST_WINDOWS} are the least'
        nothing = np.zeros((0, len(grid.names)))
        return ([_no_score(name, horizon_s, why) for name in grid.names],
                Scored(horizon_s, grid.names, None, None, len(short), 0, 0, test.masked(),
                       len(test.at), np.zeros(0, np.int64), nothing, nothing))
    at = test.whole
    found = Scored(
        horizon_s, grid.names, choice.model.layout.history, choice.model.ridge, len(choice.at),
        len(at), choice.model.outside(grid, at), test.masked(), len(test.at),
        *_series(grid, choice))
    if len(at) < LEAST_SCORED:
        why = f'{len(at)} whole windows to score; {LEAST_SCORED} are the least'
        return [_no_score(name, horizon_s, why) for name in grid.names], found
    truth = grid.truth[at + steps]
    errors = [(predicted - truth)**2 for predicted in (
        choice.model.predict(grid, at), blind.model.predict(grid, at), grid.state[at])]
    return [_score(name, horizon_s, [e[:, i] for e in errors], 2 * steps, choice.validated[i])
            for i, name in enumerate(grid.names)], found


def _series(grid: Grid, choice: Choice) -> tuple[Times, Floats, Floats]:
    """Return every prediction of the bag; those of the fitted part are out of fold."""
    layout, at = choice.model.layout, choice.at
    later = windows(grid, layout.history, layout.steps).whole
    later = later[later > at[-1]]
    truth = grid.truth[np.concatenate([at, later]) + layout.steps]
    before = grid.truth[at + layout.steps] - choice.residuals
    return (grid.times_ns[np.concatenate([at, later]) + layout.steps], truth,
            np.concatenate([before, choice.model.predict(grid, later)]))


def _score(
    feature: str, horizon_s: float, errors: Sequence[Floats], least_block: int, validated: float,
) -> Score:
    """Compare squared errors of the model, of the model without commands and of persistence."""
    model, blind, still = errors
    rmse, rmse_still = (float(np.sqrt(np.mean(each))) for each in (model, still))
    key = f'error_ratio[{feature},h={horizon_s:g}s]'
    gain_key = f'command_gain[{feature},h={horizon_s:g}s]'
    if rmse_still == 0.0 or float(np.sum(blind)) == 0.0:
        why = 'the feature never changes: persistence is exact'
        return Score(feature, horizon_s, MetricValue(key, None, '1', 0, why=why),
                     MetricValue(gain_key, None, '1', 0, why=why), rmse, rmse_still, validated,
                     None, None, Verdict.INCONCLUSIVE, why)
    found = error_ratio(model, still, least_block)
    gain = error_ratio(model, blind, least_block)
    value = _figure(key, found, len(model))
    return Score(feature, horizon_s, value, _figure(gain_key, gain, len(model)), rmse, rmse_still,
                 validated, found.p, None, Verdict.INCONCLUSIVE, value.why)


def _figure(key: str, found: ErrorRatio, count: int) -> MetricValue:
    effective = int(found.effective)
    if found.low is None or found.high is None:
        why = (f'{count} windows are worth {effective} independent ones: in blocks of '
               f'{found.block} they make {found.blocks}, and an interval needs {MIN_BLOCKS}')
        return MetricValue(key, found.value, '1', effective, why=why)
    return MetricValue(key, found.value, '1', effective,
                       Interval(found.low, found.high, 0.95, _METHOD))


def _no_score(feature: str, horizon_s: float, why: str) -> Score:
    values = (MetricValue(f'{name}[{feature},h={horizon_s:g}s]', None, '1', 0, why=why)
              for name in ('error_ratio', 'command_gain'))
    ratio, gain = values
    return Score(feature, horizon_s, ratio, gain, None, None, None, None, None,
                 Verdict.INCONCLUSIVE, why)


def judge(scores: Sequence[Score]) -> Iterator[Score]:
    """
    Decide all scores of a bag together, so that any error among them has probability <= ALPHA.

    Holm over features and horizons; a score without a p-value counts as a test that decides
    nothing. PASS: better than persistence, FAIL: worse, else INCONCLUSIVE.
    """
    adjusted = holm([1.0 if score.p is None else score.p for score in scores])
    for score, p in zip(scores, adjusted.tolist(), strict=True):
        yield _judged(score, p, len(scores))


def _judged(score: Score, adjusted: float, count: int) -> Score:
    value = score.ratio.value
    if score.p is None or value is None:
        return score
    if adjusted <= ALPHA:
        verdict = Verdict.PASS if value < 1.0 else Verdict.FAIL
        side = 'better' if value < 1.0 else 'worse'
        return replace(score, p_adjusted=adjusted, verdict=verdict,
                       why=f'{side} than persistence, p = {adjusted:.2g} among {count}')
    why = (f'p = {score.p:.2g} alone, {adjusted:.2g} among {count} (Holm)' if score.p <= ALPHA
           else f'not told apart from persistence, p = {score.p:.2g}')
    return replace(score, p_adjusted=adjusted, why=why)
