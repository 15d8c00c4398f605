"""Forecasts that are no numbers, and how far a model is shown to foresee."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics.prediction import useful_horizon
from wm_eval_ros.records import Interval, MetricValue, Record
from wm_eval_ros.scoring.scorer import score


def diverging(scenes: ModuleType, share: float, from_step: int) -> list[Record]:
    """Make a perfect model of z' = z / 2 + noise, a share of whose rollouts ends in NaN."""
    rng = np.random.default_rng(0)
    records: list[Record] = [scenes.info()]
    z = np.zeros(2)
    for e in range(10):
        base = 2500 * e
        records += [scenes.event('START', e, base - 1),
                    scenes.event('TIMEOUT', e, base + 1999, value=2.0)]
        for k in range(40):
            z = 0.5 * z + rng.normal(size=2)
            rollout = np.stack([0.5**h * z for h in (1, 2, 3)])
            if rng.random() < share:
                rollout[from_step - 1:] = np.nan
            records.append(scenes.cycle(50 * e + k, episode=e, latent=z, rollout=rollout))
    return records


def test_a_model_is_not_scored_by_the_rollouts_that_are_numbers(scenes: ModuleType) -> None:
    card = score(diverging(scenes, 0.6, 1))
    for name in ('prediction_error[h=1]', 'prediction_ratio[h=1]', 'useful_prediction_horizon'):
        assert card[name].value is None
        assert 'of 390 forecasts' in card[name].why
    # the world's own motion is known all the same, and the reader is told what it leaves out
    assert card['persistence_error[h=1]'].value is not None
    assert 'of 390 forecasts' in card['persistence_error[h=1]'].why
    assert card['prediction_ratio[h=1]'].n < 390


def test_the_horizon_ends_before_the_step_at_which_rollouts_diverge(scenes: ModuleType) -> None:
    whole = score(diverging(scenes, 0.0, 1))['useful_prediction_horizon']
    assert whole.value == 3
    found = score(diverging(scenes, 0.6, 2))['useful_prediction_horizon']
    assert found.value == 1
    assert found.why.startswith('at 2 steps: ')
    assert 'not finite' in found.why


def test_where_every_rollout_is_no_number_each_figure_says_so(scenes: ModuleType) -> None:
    card = score(diverging(scenes, 1.0, 1))
    for name in ('prediction_error', 'persistence_error', 'prediction_ratio'):
        for steps in (1, 2, 3):
            assert card[f'{name}[h={steps}]'].value is None
            assert 'not finite' in card[f'{name}[h={steps}]'].why


def ratio(high: float | None) -> MetricValue:
    """Make the error ratio of a number of steps, known up to this; None: not known."""
    if high is None:
        return MetricValue('r', None, '1', 0, why='unknown')
    return MetricValue('r', high - 0.1, '1', 9, Interval(high - 0.2, high, 0.95, 'm'))


@pytest.mark.parametrize(('highs', 'horizon', 'tests'), [
    pytest.param([0.8, 0.9, 1.1, 0.7], 2, 3, id='a-later-step-does-not-count'),
    pytest.param([1.1, 0.7, 0.7], 0, 1, id='not-one-step'),
    pytest.param([1.0], 0, 1, id='one-is-not-below-one'),
    pytest.param([0.7, 0.7, 0.7], 3, 3, id='all'),
    pytest.param([0.7, None, 0.7], 1, 1, id='a-gap-ends-it'),
    pytest.param([None, 0.7], None, 0, id='first-unknown'),
    pytest.param([], None, 0, id='none')])
def test_steps_are_tested_in_order_until_one_fails(
        highs: list[float | None], horizon: float | None, tests: int) -> None:
    found = useful_horizon({h: ratio(high) for h, high in enumerate(highs, 1)})
    assert (found.value, found.n) == (horizon, tests)
    assert found.why


def test_a_model_equal_to_persistence_is_rarely_useful_however_far_it_looks() -> None:
    rng = np.random.default_rng(1)
    worse = 0
    for _ in range(2000):
        # at each of 20 steps the interval lies below 1 in one of 40 cases
        highs = np.where(rng.random(20) < 0.025, 0.9, 1.1)
        found = useful_horizon({h: ratio(float(high)) for h, high in enumerate(highs, 1)})
        worse += bool(found.value)
    assert worse / 2000 < 0.04
