"""Ranks of thresholds: the numbers of runs, and the rates of alarms that they promise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.conformal import marginal_rank, runs_needed, tolerance_rank


@pytest.mark.parametrize(('n', 'alpha', 'want'), [
    pytest.param(59, 0.05, 59, id='the-largest-of-59'),
    pytest.param(58, 0.05, None, id='58-are-too-few'),
    pytest.param(93, 0.05, 92, id='the-second-largest-of-93'),
    pytest.param(299, 0.01, 299, id='the-largest-of-299'),
    pytest.param(298, 0.01, None, id='298-are-too-few'),
])
def test_the_tolerance_rank_is_that_of_wilks_tables(n: int, alpha: float,
                                                    want: int | None) -> None:
    assert tolerance_rank(n, alpha) == want


@given(n=st.integers(1, 400), alpha=st.floats(0.005, 0.5))
def test_the_tolerance_rank_never_stands_below_the_marginal_one(n: int, alpha: float) -> None:
    strict, loose = tolerance_rank(n, alpha), marginal_rank(n, alpha)
    assert (strict is None) == (n < runs_needed(alpha))
    assert (loose is None) == (n < runs_needed(alpha, None))
    if strict is not None and loose is not None:
        assert loose <= strict <= n


def test_calibrations_by_the_tolerance_rank_keep_alpha_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    kept = []
    for n in (59, 150):
        rank = tolerance_rank(n, 0.05)
        assert rank is not None
        # of uniform scores the share above the threshold is known: no second sample is drawn
        above = 1 - np.sort(rng.random((20_000, n)), axis=1)[:, rank - 1]
        kept.append(float(np.mean(above <= 0.05)))
    # three standard errors of 20000 draws are 0.0046
    assert min(kept) >= 0.95 - 0.0046


def test_the_marginal_rank_alarms_at_alpha_on_average() -> None:
    rng = np.random.default_rng(2)
    rank = marginal_rank(99, 0.05)
    assert rank == 95
    above = 1 - np.sort(rng.random((20_000, 99)), axis=1)[:, rank - 1]
    assert float(above.mean()) == pytest.approx(0.05, abs=0.0006)
