"""Products and eigenvectors of numpy's own sums."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from wm_eval_ros.stats.dense import product, symmetric_eigen

SCORED = """
import hashlib, runpy, sys
import numpy as np
from wm_eval_ros.scoring.scorer import score
scenes = runpy.run_path(sys.argv[1])
cycle, event, info = (scenes[name] for name in ('cycle', 'event', 'info'))
rng, z = np.random.default_rng(0), np.zeros(64)
weights = rng.normal(size=64)
wide = [info(observation_names=('a', 'b'))]
for e in range(12):
    wide += [event('START', e, e * 6000 - 1, value=e), event('TIMEOUT', e, e * 6000 + 4999)]
    for k in range(100):
        z = 0.9 * z + rng.normal(size=64)
        wide.append(cycle(e * 120 + k, episode=e, latent=z, rollout=np.stack([0.9 * z] * 3),
                          observation=(float(z @ weights), float(z[0])), action=(float(z[1]),)))
for records in (wide, scenes['rich_run']()):
    print(hashlib.sha256(score(records).identity_bytes()).hexdigest())
"""


@pytest.mark.parametrize('n', [1, 2, 3, 33, 34, 35, 70])
def test_eigenvectors_rebuild_the_matrix_and_are_orthonormal(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n + 3, n)) * 10.0**np.linspace(-3, 3, n)
    matrix = x.T @ x
    values, vectors = symmetric_eigen(matrix)
    assert vectors.T @ vectors == pytest.approx(np.eye(n), abs=1e-11)
    assert (vectors * values) @ vectors.T == pytest.approx(matrix, abs=1e-12 * np.max(matrix))
    assert values == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-12 * np.max(matrix))


@pytest.mark.parametrize('matrix', [
    pytest.param(np.zeros((5, 5)), id='zeros'),
    pytest.param(np.eye(40), id='one value'),
    pytest.param(np.ones((40, 40)), id='one direction'),
    pytest.param(np.diag(np.arange(6.0)), id='diagonal'),
])
def test_matrices_of_low_rank_or_of_equal_values(matrix: np.ndarray) -> None:
    values, vectors = symmetric_eigen(matrix)
    assert values == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-12)
    assert vectors.T @ vectors == pytest.approx(np.eye(len(matrix)), abs=1e-12)
    assert (vectors * values) @ vectors.T == pytest.approx(matrix, abs=1e-12)


@pytest.mark.parametrize('shape', [(3, 600, 5), (2, 0, 3), (1, 256, 1)])
def test_products_are_products(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
    assert product(left, right) == pytest.approx(left @ right, abs=1e-12)


def told(script: str, threads: int, *arguments: str) -> bytes:
    """Return what a script prints with so many BLAS threads."""
    names = ('OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'OMP_NUM_THREADS')
    return subprocess.run([sys.executable, '-c', script, *arguments], check=True,
                          env=os.environ | dict.fromkeys(names, str(threads)),
                          stdout=subprocess.PIPE).stdout


@pytest.mark.slow
def test_a_scorecard_is_the_same_to_the_bit_with_any_number_of_blas_threads() -> None:
    scenes = os.path.join(os.path.dirname(__file__), '..', 'scoring', 'scenes.py')
    assert told(SCORED, 1, scenes) == told(SCORED, 2, scenes) != b''
