"""Model against persistence, with verdicts over all features and horizons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.scores import judge, Score, score_horizon
from wm_eval_ros.records import MetricValue, Verdict


def judged(grid: Grid, robot: RobotMap, cut: int, *steps: int) -> list[Score]:
    return list(judge([s for n in steps for s in score_horizon(grid, cut, n, robot)[0]]))


def test_a_robot_that_follows_its_commands_passes(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    scores = judged(driven(1200, noise=0.01), robot(), 800, 1, 10)
    assert [s.horizon_s for s in scores] == [0.05, 0.5]
    for score in scores:
        assert score.verdict is Verdict.PASS
        assert score.ratio.value is not None and score.ratio.value < 0.6
        interval = score.ratio.interval
        assert interval is not None and interval.low < score.ratio.value < interval.high < 1
    # half a second ahead the commands decide
    assert scores[1].gain.value is not None and scores[1].gain.value < 0.5


def test_a_random_walk_is_no_win(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    rng = np.random.default_rng(2)
    walk = grid(np.cumsum(rng.normal(size=600)), rng.normal(size=600))
    assert Verdict.PASS not in {s.verdict for s in judged(walk, robot(), 420, 1, 10)}


def test_a_model_that_misleads_fails(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    # the command pushes one way while the model is fitted, and the other way afterwards
    rng = np.random.default_rng(3)
    command = rng.normal(size=800)
    push = np.where(np.arange(800) < 500, 1.0, -1.0) * command
    found, = judged(grid(np.roll(np.cumsum(push), 1), command), robot(), 500, 1)
    assert found.verdict is Verdict.FAIL and 'worse' in found.why


def test_a_feature_that_never_changes_has_no_ratio(
    grid: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    for score in judged(grid(np.ones(600), np.ones(600)), robot(), 420, 1, 10):
        assert score.ratio.value is None and 'never changes' in score.ratio.why
        assert score.verdict is Verdict.INCONCLUSIVE


def test_too_little_to_fit_or_to_score_is_said_and_not_guessed(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    scores, found = score_horizon(driven(100), 15, 1, robot())
    assert all('to fit on' in s.why for s in scores) and found.history is None
    scores, found = score_horizon(driven(100), 92, 1, robot(history=(1,)))
    assert all('to score; 10 are the least' in s.why for s in scores)
    assert found.fitted > 0


def test_few_independent_windows_give_a_ratio_and_no_verdict(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    # 59 windows half a second ahead: blocks of at least 20 are two
    score, = judged(driven(300, noise=0.01), robot(), 230, 10)
    assert score.ratio.value is not None and score.ratio.interval is None
    assert score.verdict is Verdict.INCONCLUSIVE and 'an interval needs 10' in score.why


def test_masked_windows_are_counted_by_reason_and_not_scored(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    base = driven(noise=0.01)
    codes, state = base.state_codes.copy(), base.state.copy()
    codes[500:520], state[500:520] = int(Reason.SENSOR_LOSS), 1e9
    lost = replace(base, state_codes=codes, truth_codes=codes, state=state, truth=state)
    _, found = score_horizon(lost, 420, 1, robot(history=(3,)))
    # from the first truth that is lost until three good samples lie in a row again: 499 .. 521
    assert found.masked == {Reason.SENSOR_LOSS: 23}
    assert found.scored == found.possible - 23
    scores, _ = score_horizon(lost, 420, 1, robot(history=(3,)))
    assert scores[0].rmse_persistence is not None and scores[0].rmse_persistence < 1


def score(p: float | None, ratio: float) -> Score:
    value = MetricValue('error_ratio[x,h=1s]', ratio, '1', 100)
    return Score('x', 1.0, value, value, 1.0, 1.0, None, p, None, Verdict.INCONCLUSIVE, 'few')


def test_verdicts_are_adjusted_over_all_of_the_bag() -> None:
    found = list(judge([score(0.01, 0.5), score(0.02, 1.5), score(0.03, 0.9), score(0.2, 0.9)]))
    # Holm: 4 x 0.01, 3 x 0.02, 2 x 0.03, 0.2; never falling
    assert [s.p_adjusted for s in found] == pytest.approx([0.04, 0.06, 0.06, 0.2])
    assert [s.verdict for s in found] == [Verdict.PASS, *[Verdict.INCONCLUSIVE] * 3]
    assert '0.06 among 4 (Holm)' in found[1].why and 'not told apart' in found[3].why


def test_a_score_without_a_p_value_counts_as_a_test_that_decides_nothing() -> None:
    alone, none = judge([score(0.04, 0.5), score(None, 0.5)])
    assert alone.verdict is Verdict.INCONCLUSIVE and alone.p_adjusted == pytest.approx(0.08)
    assert none.verdict is Verdict.INCONCLUSIVE and none.why == 'few'


def test_a_clear_loss_fails() -> None:
    found, = judge([score(0.01, 1.5)])
    assert found.verdict is Verdict.FAIL and 'worse than persistence' in found.why
