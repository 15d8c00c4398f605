"""Ridge regression and the linear probe."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from wm_eval_ros.stats.regression import (
    FOLDS,
    linear_probe,
    linear_probes,
    PENALTIES,
    ridge_fit,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]


def drawn(seed: int, n: int = 60, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(2, [1, 5, 0.1, 1, 3][:d], (n, d))
    return x, np.stack([x @ rng.normal(size=d), rng.normal(size=n)], axis=1) + 7


@pytest.mark.parametrize('penalty', [1e-3, 0.1, 10])
@pytest.mark.parametrize('n', [60, 4])
def test_ridge_is_scikit_learns_on_standardised_inputs(sklearn: SimpleNamespace, penalty: float,
                                                       n: int) -> None:
    x, y = drawn(0, n)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    # the mean squared singular value over the directions there are
    scale = n * 5 / np.linalg.matrix_rank(standard)
    theirs = sklearn.linear.Ridge(alpha=penalty * scale).fit(standard, y)
    assert ridge_fit(x, y, penalty).predict(x) == pytest.approx(theirs.predict(standard), abs=1e-9)


def test_without_a_penalty_it_is_least_squares() -> None:
    x, y = drawn(1)
    design = np.column_stack([x, np.ones(len(x))])
    want = np.linalg.lstsq(design, y, rcond=None)[0]
    found = ridge_fit(x, y, 0)
    assert found.weights == pytest.approx(want[:-1], abs=1e-9)
    assert found.intercept == pytest.approx(want[-1], abs=1e-9)


def test_the_penalty_chosen_has_the_least_generalised_cross_validation_score() -> None:
    x, y = drawn(2)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    for column in range(2):
        scores = []
        for penalty in PENALTIES:
            hat = standard @ np.linalg.solve(
                standard.T @ standard + penalty * len(x) * np.eye(5), standard.T)
            rest = y[:, column] - y[:, column].mean()
            rest = rest - hat @ rest
            scores.append(float(rest @ rest) / (len(x) - 1 - np.trace(hat))**2)
        best = PENALTIES[int(np.argmin(scores))]
        found = ridge_fit(x, y)
        assert found.weights[:, column] == pytest.approx(
            ridge_fit(x, y, best).weights[:, column], rel=1e-9)


def test_inputs_that_do_not_vary_or_repeat_do_no_harm() -> None:
    x, y = drawn(3)
    plain = ridge_fit(x, y, 1e-3).predict(x)
    constant = ridge_fit(np.column_stack([x, np.full(len(x), 1e9)]), y, 1e-3)
    assert constant.weights[-1] == pytest.approx([0, 0])
    assert constant.predict(np.column_stack([x, np.full(len(x), 1e9)])) == pytest.approx(
        plain, abs=1e-6)
    twice = ridge_fit(np.column_stack([x, x]), y, 0)
    assert twice.predict(np.column_stack([x, x])) == pytest.approx(
        ridge_fit(x, y, 0).predict(x), abs=1e-8)
    assert ridge_fit(np.ones((5, 2)), y[:5]).predict(np.ones((5, 2))) == pytest.approx(
        np.tile(y[:5].mean(axis=0), (5, 1)))


@pytest.mark.parametrize(('x', 'y', 'match'), [
    pytest.param(np.ones((1, 2)), np.ones((1, 1)), 'N > 1', id='one-sample'),
    pytest.param(np.ones((3, 2)), np.ones(3), 'needs', id='flat-targets'),
    pytest.param(np.ones((3, 2)), np.ones((2, 1)), 'lengths', id='lengths'),
    pytest.param(np.full((3, 2), np.nan), np.ones((3, 1)), 'x: 6 of 6', id='nan'),
])
def test_shapes_that_do_not_fit_are_refused(x: np.ndarray, y: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ridge_fit(x, y)
    with pytest.raises(ValueError, match='penalty -1'):
        ridge_fit(np.eye(3), np.eye(3), -1)


def episodes(count: int, length: int, signal: float,
             seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents that wander, and a quantity that follows one of them as far as told."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=(count, length, 4)), axis=1)
    own = np.cumsum(rng.normal(size=(count, length)), axis=1)
    y = signal * x[:, :, 1] + (1 - signal) * own
    return x.reshape(-1, 4), y.ravel(), np.repeat(np.arange(count), length)


def test_a_quantity_that_is_in_the_latent_is_read_off_it() -> None:
    x, y, groups = episodes(20, 30, 1.0, 0)
    found = linear_probe(x, 5 * y - 3, groups)
    assert found.r2.value == pytest.approx(1, abs=1e-4)
    assert found.r2.low is not None and found.r2.low > 0.99
    assert found.p_value == pytest.approx(1 / 201)
    assert found.null is not None and found.null < 0.5


def test_the_score_is_that_of_whole_episodes_held_out() -> None:
    x, y, groups = episodes(12, 20, 0.5, 1)
    found = linear_probe(x, y, groups, seed=3, permutations=10)
    fold = (np.random.default_rng(3).permutation(12) % FOLDS)[groups]
    error = spread = 0.0
    for at in range(FOLDS):
        held = fold == at
        assert not set(groups[held]) & set(groups[~held])
        told = ridge_fit(x[~held], y[~held, None]).predict(x[held])[:, 0]
        error += float(np.sum((y[held] - told)**2))
        spread += float(np.sum((y[held] - y[~held].mean())**2))
    assert found.r2.value == pytest.approx(1 - error / spread, abs=1e-9)


def test_the_probe_is_reproducible_and_its_seed_matters() -> None:
    x, y, groups = episodes(10, 12, 0.5, 2)
    found = linear_probe(x, y, groups, permutations=20)
    assert found == linear_probe(x, y, groups, permutations=20)
    assert found != linear_probe(x, y, groups, permutations=20, seed=1)
    assert found.r2.low is not None and found.r2.high is not None and found.r2.value is not None
    assert found.r2.low <= found.r2.value <= found.r2.high


def test_many_quantities_are_probed_as_each_alone() -> None:
    x, y, groups = episodes(8, 12, 0.7, 2)
    quantities = np.column_stack([y, np.ones(len(y)), x[:, 0]**2, -3 * y])
    found = linear_probes(x, quantities, groups, seed=4, permutations=9)
    assert found == tuple(linear_probe(x, one, groups, seed=4, permutations=9)
                          for one in quantities.T)
    assert [one.r2.why for one in found] == ['', 'the quantity does not vary', '', '']
    assert linear_probes(x, quantities[:, :0], groups) == ()
    with pytest.raises(ValueError, match=r'needs \(N, D\) and \(N, Q\)'):
        linear_probes(x, y, groups)


def test_too_little_to_probe() -> None:
    x, y, groups = episodes(4, 10, 0.5, 3)
    few = linear_probe(x, y, groups)
    assert few.r2 == (None, None, None, 'n too small: a probe needs 5 episodes, has 4')
    assert (few.p_value, few.null) == (None, None)
    constant = linear_probe(x, np.ones(40), np.arange(40) // 8)
    assert constant.r2.why == 'the quantity does not vary'
    with pytest.raises(ValueError, match='lengths'):
        linear_probe(x, y, groups[:-1])
    with pytest.raises(ValueError, match=r'needs \(N, D\) and \(N,\)'):
        linear_probe(x[:, 0], y, groups)


@pytest.mark.slow
def test_the_permutation_null_keeps_its_level_of_wandering_series(record_property: Record) -> None:
    # latent and quantity are independent random walks, which correlate by accident
    runs = 300
    found = [linear_probe(*episodes(10, 40, 0.0, 100 + seed), permutations=59)
             for seed in range(runs)]
    rate = np.mean([one.p_value is not None and one.p_value <= 0.05 for one in found])
    record_property('false alarms', float(rate))
    assert rate <= 0.05 + 3 * (0.05 * 0.95 / runs)**0.5
