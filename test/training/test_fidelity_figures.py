"""Figures of samples that come in episodes."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.stats.bootstrap import cluster_draws, percentile_limits
from wm_eval_ros.training.fidelity_figures import correlation


def test_limits_of_a_correlation_are_widened_for_few_episodes() -> None:
    # one pair in each of 6 episodes: resampled correlations of weighted ranks, by numpy
    x, y = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 1, 4, 3, 6, 5])
    found = correlation('a', x, y, np.arange(6)).interval
    drawn = np.array([np.cov(x, y, fweights=row.astype(int))[0, 1]
                      / np.sqrt(np.prod(np.diag(np.cov(x, y, fweights=row.astype(int)))))
                      for row in cluster_draws(6, 0) if np.count_nonzero(row) > 1])
    low, high = percentile_limits(drawn, 0.95, 6)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert low < percentile_limits(drawn, 0.95)[0]
