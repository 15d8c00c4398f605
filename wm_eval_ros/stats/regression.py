"""Ridge regression, and how well a linear probe reads a quantity off a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_eval_ros.stats.bootstrap import Grouping, grouping, MIN_CLUSTERS
from wm_eval_ros.stats.dense import product, symmetric_eigen
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.mean import cluster_ratio
from wm_eval_ros.stats.samples import finite, Floats, Ints, same_length

#: penalties tried, relative to the mean squared singular value of the standardised inputs
PENALTIES = tuple(10.0**power for power in range(-6, 5))
FOLDS = 5
PERMUTATIONS = 200
#: directions with less than this share of the largest variance carry rounding only
_RANK = 1e-12


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
        return product(x, self.weights) + self.intercept


class Probe(NamedTuple):
    """Held-out R^2 of a linear probe beside what chance gives."""

    #: 1 - squared error / squared distance from the training mean, over all held-out samples
    r2: Estimate
    #: share of permutations that did as well, the data among them; None without R^2
    p_value: float | None
    #: 95 % quantile of R^2 under permutation; None without R^2
    null: float | None


class _Inputs:
    """
    Standardised inputs of a training set, decomposed once for many targets and penalties.

    :param x: shape (N, D)
    """

    def __init__(self, x: Floats) -> None:
        self.mean, spread = x.mean(axis=0), x.std(axis=0)
        varies = spread > 1e-12 * np.maximum(1.0, np.abs(self.mean))
        self.scale = np.where(varies, spread, 1.0)
        self._standard = np.where(varies, (x - self.mean) / self.scale, 0.0)
        wide = x.shape[1] > x.shape[0]
        sides = (self._standard, self._standard.T)
        power, columns = symmetric_eigen(product(*(sides if wide else sides[::-1])))
        held = power > _RANK * max(float(power.max(initial=0.0)), np.finfo(float).tiny)
        self._power, axes = power[held], columns[:, held].T
        if wide:
            axes = product(axes, self._standard) / np.sqrt(self._power)[:, None]
        self._axes = axes

    def _shrunk(self, penalty: float) -> Floats:
        """Variance of each direction plus the penalty, shape (P,)."""
        return self._power + penalty * (float(np.mean(self._power)) if len(self._power) else 1.0)

    def fit(self, y: Floats, penalties: tuple[float, ...]) -> Ridge:
        """
        Fit each target with the penalty that generalised cross-validation prefers.

        :param y: shape (N, K)
        """
        mean = y.mean(axis=0)
        centred = y - mean
        total = np.sum(centred**2, axis=0)
        projected = product(self._axes, product(self._standard.T, centred))
        scores = [self._validation(projected, total, len(y), one) for one in penalties]
        choice = np.argmin(np.stack(scores), axis=0)
        shrunk = np.stack([self._shrunk(one) for one in penalties], axis=1)[:, choice]
        weights = product(self._axes.T, projected / shrunk) / self.scale[:, None]
        return Ridge(weights, mean - product(self.mean[None], weights)[0])

    def _validation(self, projected: Floats, total: Floats, n: int, penalty: float) -> Floats:
        """Generalised cross-validation score of each target, shape (K,)."""
        shrunk = self._shrunk(penalty)
        kept = self._power / shrunk
        explained = np.sum(((2 - kept) / shrunk)[:, None] * projected**2, axis=0)
        freedom = max(n - 1 - float(np.sum(kept)), 1e-9)
        return np.asarray(np.maximum(total - explained, 0.0) / freedom**2)


def ridge_fit(x: ArrayLike, y: ArrayLike, penalty: float | None = None) -> Ridge:
    """
    Ridge regression on standardised inputs; the intercept is not penalised.

    :param x: finite, shape (N, D), N > 1
    :param y: finite, shape (N, K)
    :param penalty: relative to the mean squared singular value of the standardised inputs, >= 0;
        None: of :data:`PENALTIES` the one with the least generalised cross-validation score, for
        each output on its own (Golub, Heath and Wahba, Technometrics 21, 1979)
    :raises ValueError: shapes that do not fit, values that are not finite, a negative penalty
    """
    left, right = finite(x, 'x'), finite(y, 'y')
    if left.ndim != 2 or right.ndim != 2 or len(left) < 2:
        raise ValueError(f'ridge: x {left.shape}, y {right.shape}: needs (N, D), (N, K), N > 1')
    same_length('ridge', left, right)
    if penalty is not None and not penalty >= 0:
        raise ValueError(f'ridge: penalty {penalty}: needs >= 0')
    return _Inputs(left).fit(right, PENALTIES if penalty is None else (penalty,))


def _orders(parts: Grouping, count: int, rng: np.random.Generator) -> Ints:
    """
    Say whose target each sample has: its own, then that of another group, repeated or cut.

    :returns: indices of samples, shape (N, 1 + count)
    """
    rows = [np.flatnonzero(parts.cluster == group) for group in range(parts.count)]
    found = np.empty((len(parts.cluster), 1 + count), np.int64)
    found[:, 0] = np.arange(len(found))
    for at in range(count):
        for own, other in zip(rows, rng.permutation(parts.count), strict=True):
            found[own, 1 + at] = np.resize(rows[other], len(own))
    return found


class _HeldOut:
    """
    Squared errors of the probes of one quantity and of its training mean, as folds come in.

    :param y: the quantity, shape (N,)
    :param orders: whose target each sample has, its own first, shape (N, K)
    """

    def __init__(self, y: Floats, orders: Ints) -> None:
        self._y, self._orders = y, orders
        #: of the data, of each sample: error and spread, shape (2, N)
        self.own = np.empty((2, len(y)))
        #: summed, of the data and of each permutation, shape (2, K)
        self.sums = np.zeros((2, orders.shape[1]))

    def add(self, inputs: _Inputs, x: Floats, held: NDArray[np.bool_]) -> None:
        """Fit outside of one fold and take the errors in it."""
        seen, asked = self._y[self._orders[~held]], self._y[self._orders[held]]
        told = inputs.fit(seen, PENALTIES).predict(x[held])
        for at, guess in enumerate((told, seen.mean(axis=0))):
            errors = (asked - guess) ** 2
            self.own[at, held] = errors[:, 0]
            self.sums[at] += errors.sum(axis=0)

    def probe(self, parts: Grouping, confidence: float, seed: int) -> Probe:
        """Return the figures once every fold was held out."""
        error, total = self.sums
        scores = np.where(total > 0, 1 - error / np.where(total > 0, total, 1.0), 0.0)
        value, null = scores[0], scores[1:]
        wrong, spread = (parts.sums(one) for one in self.own)
        return Probe(_r2(wrong, spread, confidence, seed),
                     (1 + int(np.sum(null >= value))) / (1 + len(null)),
                     float(np.quantile(null, 0.95, method='higher')) if len(null) else None)


def linear_probe(x: ArrayLike, y: ArrayLike, groups: ArrayLike, seed: int = 0,
                 confidence: float = 0.95, permutations: int = PERMUTATIONS) -> Probe:
    """
    Held-out R^2 of a ridge probe from a latent to a physical quantity, and its permutation null.

    Whole groups are held out, in 5 folds; the penalty is chosen inside each training set. Under
    the null whole groups swap their targets: the dependence between neighbours in time is in the
    null, and so is what the time within an episode alone explains. The p-value is exact where
    groups are exchangeable and of one length, else approximate.

    :param x: latents, finite, shape (N, D)
    :param y: the quantity, finite, in order of time within each group, shape (N,)
    :param groups: episode of each sample, shape (N,)
    :param seed: of the generator made here, for folds and permutations
    :returns: None with a reason below 5 groups or for a quantity that does not vary; the interval
        is a bootstrap over groups of the held-out errors, with the probes as they are
    :raises ValueError: shapes that do not fit, values that are not finite
    """
    latent, target = finite(x, 'x'), finite(y, 'y')
    if latent.ndim != 2 or target.ndim != 1:
        raise ValueError(f'a probe: x {latent.shape}, y {target.shape}: needs (N, D) and (N,)')
    return linear_probes(latent, target[:, None], groups, seed, confidence, permutations)[0]


def linear_probes(x: ArrayLike, y: ArrayLike, groups: ArrayLike, seed: int = 0,
                  confidence: float = 0.95, permutations: int = PERMUTATIONS,
                  ) -> tuple[Probe, ...]:
    """
    Probe many quantities of one latent, which is decomposed once for all of them.

    :param x: latents, finite, shape (N, D)
    :param y: the quantities, finite, shape (N, Q)
    :returns: Q probes, to the bit those of :func:`linear_probe` on each column
    :raises ValueError: shapes that do not fit, values that are not finite
    """
    latent, target, parts = finite(x, 'x'), finite(y, 'y'), grouping(groups)
    if latent.ndim != 2 or target.ndim != 2:
        raise ValueError(f'a probe: x {latent.shape}, y {target.shape}: needs (N, D) and (N, Q)')
    same_length('a probe', latent, target, parts.cluster)
    if parts.count < MIN_CLUSTERS:
        why = f'n too small: a probe needs {MIN_CLUSTERS} episodes, has {parts.count}'
        return tuple(Probe(Estimate(None, why=why), None, None) for _ in target.T)
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(parts.count) % FOLDS)[parts.cluster]
    orders = _orders(parts, permutations, rng)
    varying = {at: _HeldOut(column, orders) for at, column in enumerate(target.T)
               if np.ptp(column) > 0}
    for held in (fold == at for at in np.unique(fold) if varying):
        inputs = _Inputs(latent[~held])
        for one in varying.values():
            one.add(inputs, latent, held)
    constant = Probe(Estimate(None, why='the quantity does not vary'), None, None)
    found: list[Probe] = [constant] * target.shape[1]
    for at, one in varying.items():
        found[at] = one.probe(parts, confidence, seed)
    return tuple(found)


def _r2(error: Floats, spread: Floats, confidence: float, seed: int) -> Estimate:
    """Return one less the ratio of the sums over groups, with its interval."""
    value, low, high = cluster_ratio(error, spread, confidence, seed)
    if low is None or high is None:
        return Estimate(1 - value, why='its spread is unknown')
    return Estimate(1 - value, 1 - high, 1 - low)
