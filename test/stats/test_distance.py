"""Shrunk covariances and distances against a second implementation and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.stats.distance import shrunk_covariance, squared_error, whitening


@pytest.mark.parametrize(('n', 'size'), [(10, 3), (40, 8), (5, 20)])
def test_the_shrinkage_is_that_of_scikit_learn(n: int, size: int) -> None:
    covariance = pytest.importorskip('sklearn.covariance')
    rng = np.random.default_rng(n)
    samples = rng.normal(size=(n, size)) @ rng.normal(size=(size, size))
    mean, found, weight = shrunk_covariance(samples)
    theirs = covariance.LedoitWolf().fit(samples)
    assert weight == pytest.approx(theirs.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(found, theirs.covariance_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mean, samples.mean(axis=0))


def test_whitened_vectors_have_the_length_of_mahalanobis_distance() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    gap = np.array([1.0, -2.0])
    turned = whitening(covariance) @ gap
    # (1, -2) times the inverse (2 -1; -1 4) / 7 times (1, -2): (4 + 18) / 7
    assert float(turned @ turned) == pytest.approx(22 / 7)


def test_a_direction_that_never_varied_is_far_and_still_a_number() -> None:
    turned = whitening(np.diag([1.0, 0.0])) @ np.array([0.0, 1.0])
    assert 1e2 < float(np.linalg.norm(turned)) < 1e6


def test_the_squared_error_is_a_mean_over_the_dimensions() -> None:
    seen = np.array([[1, 2, 3], [0, 0, 0]], np.float32)
    assert squared_error(seen, seen + np.float32(2)).tolist() == [4.0, 4.0]
