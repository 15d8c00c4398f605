"""Ridge regression, and how well a linear probe reads a quantity off a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_eval_ros.stats.bootstrap import Grouping, grouping, MIN_CLUSTERS
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.stats.samples import finite, Floats, same_length

#: penalties tried, relative to the mean squared singular value of the standardised inputs
PENALTIES = tuple(10.0**power for power in range(-6, 5))
FOLDS = 5
PERMUTATIONS = 200


@dataclass(frozen=True, slots=True)
class Ridge:
    """A linear map with an intercept."""

    #: shape (D, K)
    weights: Floats
    #: shape (K,)
    intercept: Floats

    def predict(self, x: Floats) -> Floats:
        """
        Apply the map.

        :param x: shape (N, D)
        :returns: shape (N, K)
        """
        return np.asarray(x @ self.weights + self.intercept)


class Probe(NamedTuple):
    """Held-out R^2 of a linear probe beside what chance gives."""

    #: 1 - squared error / squared distance from the training mean, over all held-out samples
    r2: Estimate
    #: share of permutations that did as well, the data among them; None without R^2
    p_value: float | None
    #: 95 % quantile of R^2 under permutation; None without R^2
    null: float | None


class _Inputs(NamedTuple):
    """Standardised inputs of a training set, decomposed once for many targets."""

    mean: Floats
    scale: Floats
    left: Floats
    singular: Floats
    right: Floats


def _decompose(x: Floats) -> _Inputs:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    left, singular, right = np.linalg.svd((x - mean) / scale, full_matrices=False)
    return _Inputs(mean, scale, left, singular, right)


def _shrinkage(singular: Floats, penalty: float) -> Floats:
    """Share of each principal direction kept, shape (D,)."""
    power = singular**2
    return power / (power + penalty * max(float(np.mean(power)), np.finfo(float).tiny))


def _cross_validation(inputs: _Inputs, y: Floats, penalty: float) -> Floats:
    """Generalised cross-validation score of each target, shape (K,)."""
    kept = _shrinkage(inputs.singular, penalty)
    projected = inputs.left.T @ y
    rest = np.sum(y**2, axis=0) - np.sum((1 - (1 - kept[:, None]) ** 2) * projected**2, axis=0)
    freedom = len(y) - 1 - float(np.sum(kept))
    return np.asarray(np.maximum(rest, 0.0) / max(freedom, 1e-9) ** 2)


def _coefficients(inputs: _Inputs, y: Floats, penalties: Floats) -> Floats:
    """Weights on the raw inputs with one penalty a target, shape (D, K)."""
    kept = np.stack([_shrinkage(inputs.singular, float(one)) for one in penalties], axis=1)
    inverse = np.where(inputs.singular > 0, 1 / np.where(inputs.singular > 0,
                                                          inputs.singular, 1.0), 0.0)
    found = inputs.right.T @ (kept * inverse[:, None] * (inputs.left.T @ y))
    return np.asarray(found / inputs.scale[:, None])


def _fit(inputs: _Inputs, y: Floats, penalties: ArrayLike) -> Ridge:
    """Fit with the penalty, among those given, that cross-validation prefers for each target."""
    mean = y.mean(axis=0)
    tried = np.atleast_1d(np.asarray(penalties, float))
    scores = np.stack([_cross_validation(inputs, y - mean, float(one)) for one in tried])
    weights = _coefficients(inputs, y - mean, tried[np.argmin(scores, axis=0)])
    return Ridge(weights, mean - inputs.mean @ weights)


def ridge_fit(x: ArrayLike, y: ArrayLike, penalty: float | None = None) -> Ridge:
    """
    Ridge regression on standardised inputs; the intercept is not penalised.

    :param x: finite, shape (N, D), N > 1
    :param y: finite, shape (N, K)
    :param penalty: relative to the mean squared singular value of the standardised inputs, >= 0;
        None: of :data:`PENALTIES` the one with the least generalised cross-validation score, for
        each output on its own (Golub, Heath and Wahba, Technometrics 21, 1979)
    :raises ValueError: shapes that do not fit, values that are not finite
    """
    left, right = finite(x, 'x'), finite(y, 'y')
    if left.ndim != 2 or right.ndim != 2 or len(left) < 2:
        raise ValueError(f'ridge: x {left.shape}, y {right.shape}: needs (N, D), (N, K), N > 1')
    same_length('ridge', left, right)
    return _fit(_decompose(left), right, PENALTIES if penalty is None else penalty)


def _folds(parts: Grouping, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each sample; the samples of a group stay together."""
    place = rng.permutation(parts.count) % count
    return np.asarray(place[parts.cluster])


def _shuffled(y: Floats, parts: Grouping, rng: np.random.Generator) -> Floats:
    """Give each group the targets of another one, repeated or cut to its length."""
    rows = [np.flatnonzero(parts.cluster == group) for group in range(parts.count)]
    found = np.empty_like(y)
    for own, other in zip(rows, rng.permutation(parts.count), strict=True):
        found[own] = np.resize(y[rows[other]], len(own))
    return found


def _held_out(x: Floats, y: Floats, fold: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Squared errors of the probe and of the training mean, held out, each of shape (N, K)."""
    error, spread = np.empty_like(y), np.empty_like(y)
    for at in np.unique(fold):
        held = fold == at
        probe = _fit(_decompose(x[~held]), y[~held], PENALTIES)
        error[held] = (y[held] - probe.predict(x[held])) ** 2
        spread[held] = (y[held] - y[~held].mean(axis=0)) ** 2
    return error, spread


def linear_probe(x: ArrayLike, y: ArrayLike, groups: ArrayLike, seed: int = 0,
                 confidence: float = 0.95, permutations: int = PERMUTATIONS) -> Probe:
    """
    Held-out R^2 of a ridge probe from a latent to a physical quantity, and its permutation null.

    Whole groups are held out, in 5 folds; the penalty is chosen inside each training set. Under
    the null whole groups swap their targets: what time within an episode alone explains is in
    the null too, and so is the dependence between neighbours.

    :param x: latents, finite, shape (N, D)
    :param y: the quantity, finite, in order of time within each group, shape (N,)
    :param groups: episode of each sample, shape (N,)
    :param seed: of the generator made here, for folds and permutations
    :returns: None with a reason below 5 groups or for a quantity that does not vary; the interval
        is a bootstrap over groups
    :raises ValueError: shapes that do not fit, values that are not finite
    """
    latent, target = finite(x, 'x'), finite(y, 'y')
    parts = grouping(groups)
    if latent.ndim != 2 or target.ndim != 1:
        raise ValueError(f'a probe: x {latent.shape}, y {target.shape}: needs (N, D) and (N,)')
    same_length('a probe', latent, target, parts.cluster)
    if parts.count < MIN_CLUSTERS:
        why = f'n too small: a probe needs {MIN_CLUSTERS} episodes, has {parts.count}'
        return Probe(Estimate(None, why=why), None, None)
    if np.ptp(target) == 0:
        return Probe(Estimate(None, why='the quantity does not vary'), None, None)
    rng = np.random.default_rng(seed)
    fold = _folds(parts, min(FOLDS, parts.count), rng)
    columns = [target, *(_shuffled(target, parts, rng) for _ in range(permutations))]
    error, spread = _held_out(latent, np.stack(columns, axis=1), fold)
    scores = 1 - error.sum(axis=0) / spread.sum(axis=0)
    ratio = cluster_ratio(parts.sums(error[:, 0]), parts.sums(spread[:, 0]), confidence, seed)
    low, high = ratio.low, ratio.high
    r2 = Estimate(float(scores[0]), None if high is None else 1 - high,
                  None if low is None else 1 - low)
    as_good = int(np.sum(scores[1:] >= scores[0]))
    return Probe(r2, (1 + as_good) / (1 + permutations),
                 float(np.quantile(scores[1:], 0.95, method='higher')))
