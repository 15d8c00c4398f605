"""Calibration of Gaussian predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.calibration import expected_calibration_error, LEVELS

#: keeps a figure in the test report
Record = Callable[[str, object], None]

#: errors at the 1000 mid-quantiles of a standard normal
EVEN = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
GROUPS = np.arange(1000) % 20


def test_errors_as_wide_as_predicted_are_calibrated() -> None:
    found = expected_calibration_error(EVEN, np.ones(1000), GROUPS)
    assert found.levels.tolist() == list(LEVELS)
    assert found.coverage == pytest.approx(found.levels, abs=1e-3)
    assert found.expected_error.value == pytest.approx(0, abs=1e-3)
    assert found.expected_error.low == 0


@pytest.mark.parametrize('factor', [0.5, 2.0])
def test_a_wrong_spread_is_off_by_what_the_normal_law_says(factor: float) -> None:
    found = expected_calibration_error(EVEN, np.full(1000, factor), GROUPS)
    levels = np.array(LEVELS)
    want = 2 * stats.norm.cdf(factor * stats.norm.ppf((1 + levels) / 2)) - 1
    assert found.coverage == pytest.approx(want, abs=2e-3)
    assert found.expected_error.value == pytest.approx(np.abs(want - levels).mean(), abs=2e-3)
    assert found.maximum_error.value == pytest.approx(np.abs(want - levels).max(), abs=2e-3)
    assert found.expected_error.low is not None and found.expected_error.low > 0


def test_by_hand() -> None:
    # |error| / std = 0.5, 1, 3; the 68 % interval reaches 0.994, so it holds one of three
    found = expected_calibration_error([1, -2, 3], [2, 2, 1], [0, 0, 1], levels=[0.68, 0.9])
    assert found.coverage == pytest.approx([1 / 3, 2 / 3])
    assert found.expected_error.value == pytest.approx((0.68 - 1 / 3 + 0.9 - 2 / 3) / 2)
    assert found.maximum_error.value == pytest.approx(0.68 - 1 / 3)
    assert found.expected_error.why == 'n too small: an interval needs 5 episodes, has 2'


def test_dimensions_count_alike() -> None:
    rng = np.random.default_rng(0)
    error, std = rng.normal(size=(40, 3)), rng.gamma(2, size=(40, 3))
    whole = expected_calibration_error(error, std, np.arange(40))
    flat = expected_calibration_error(error.ravel(), std.ravel(), np.repeat(np.arange(40), 3))
    assert whole.coverage == pytest.approx(flat.coverage)
    assert whole.maximum_error[:3] == pytest.approx(flat.maximum_error[:3])


def test_neither_order_nor_unit_matters_and_the_seed_does() -> None:
    rng = np.random.default_rng(1)
    error, std, groups = rng.normal(size=200), rng.gamma(2, size=200), np.arange(200) // 10
    found = expected_calibration_error(error, std, groups)
    mixed = rng.permutation(200)
    turned = expected_calibration_error(error[mixed], std[mixed], groups[mixed])
    assert found.expected_error == turned.expected_error
    assert found.maximum_error == turned.maximum_error
    scaled = expected_calibration_error(4 * error, 4 * std, groups)
    assert found.expected_error == scaled.expected_error
    assert found.expected_error != expected_calibration_error(
        error, std, groups, seed=1).expected_error


@pytest.mark.parametrize(('error', 'std', 'groups', 'match'), [
    pytest.param([], [], [], 'needs equal shapes with samples', id='nothing'),
    pytest.param([1, 2], [1], [0, 0], 'needs equal shapes', id='shapes'),
    pytest.param([1, 2], [1, 0], [0, 0], '1 of 2 standard deviations', id='spread'),
    pytest.param([1, 2], [1, 1], [0], 'lengths', id='groups'),
    pytest.param([1, np.nan], [1, 1], [0, 0], 'error: 1 of 2 are not finite', id='nan'),
])
def test_bad_input_is_named(error: list[float], std: list[float], groups: list[int],
                            match: str) -> None:
    with pytest.raises(ValueError, match=match):
        expected_calibration_error(error, std, groups)


@pytest.mark.slow
@pytest.mark.parametrize('factor', [1.0, 1.3])
def test_the_interval_covers_of_perfect_and_of_wrong_predictions(
        factor: float, record_property: Record) -> None:
    # 30 episodes of 20 errors that share an episode's scale
    rng, runs = np.random.default_rng(3), 400
    scales = np.array([0.7, 1.4])
    levels = np.array(LEVELS)
    reach = factor * stats.norm.ppf((1 + levels) / 2)
    gap = np.abs(np.mean([2 * stats.norm.cdf(reach / s) - 1 for s in scales], axis=0) - levels)
    hits = np.zeros(2, int)
    for _ in range(runs):
        error = rng.normal(size=600) * np.repeat(rng.choice(scales, 30), 20)
        found = expected_calibration_error(error, np.full(600, factor), np.arange(600) // 20)
        for at, (one, want) in enumerate([(found.expected_error, gap.mean()),
                                          (found.maximum_error, gap.max())]):
            assert one.low is not None and one.high is not None
            hits[at] += one.low <= want <= one.high
    record_property('coverage', (hits / runs).tolist())
    assert np.all(hits / runs >= 0.93)


@pytest.mark.slow
@pytest.mark.parametrize('count', [5, 10])
def test_the_interval_of_few_groups_covers_no_error(count: int, record_property: Record) -> None:
    # every episode is off by its own shift, so that the law of all errors is the predicted one
    rng, runs, hits = np.random.default_rng(4), 600, np.zeros(2, int)
    for _ in range(runs):
        shift = np.repeat(rng.normal(size=count), 20)
        error = 0.8 * shift + 0.6 * rng.normal(size=20 * count)
        found = expected_calibration_error(error, np.ones(20 * count),
                                           np.arange(20 * count) // 20)
        for at, one in enumerate((found.expected_error, found.maximum_error)):
            assert one.low is not None
            hits[at] += one.low == 0
    record_property('coverage', (hits / runs).tolist())
    assert np.all(hits / runs >= 0.9)
