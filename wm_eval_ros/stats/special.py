"""The special functions used here, with types."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from wm_eval_ros.stats.samples import Floats, Ints


def beta_quantile(a: float, b: float, p: float) -> float:
    """Return the p-quantile of the Beta(a, b) distribution."""
    return float(special.betaincinv(a, b, p))


def beta_quantiles(a: ArrayLike, b: ArrayLike, p: float) -> Floats:
    """Return the p-quantiles of Beta(a, b) distributions, elementwise."""
    return np.asarray(special.betaincinv(a, b, p), dtype=float)


def log_beta(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the logarithm of the complete beta function, elementwise."""
    return np.asarray(special.betaln(a, b), dtype=float)


def beta_upper(a: ArrayLike, b: ArrayLike, x: float) -> Floats:
    """Return P(X > x) for X ~ Beta(a, b), elementwise."""
    return np.asarray(special.betainc(b, a, 1 - x), dtype=float)


def hypergeometric(a: ArrayLike, b: ArrayLike, c: ArrayLike, z: float) -> Floats:
    """Return Gauss's hypergeometric function, elementwise."""
    return np.asarray(special.hyp2f1(a, b, c, z), dtype=float)


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for X ~ Binomial(n, p)."""
    return float(special.bdtr(k, n, p))


def binomial_cdfs(k: ArrayLike, n: ArrayLike, p: float) -> Floats:
    """Return P(X <= k) for X ~ Binomial(n, p), elementwise; 0 where k < 0, 1 from n on."""
    return np.where(np.asarray(k) < 0, 0.0, special.bdtr(np.clip(k, 0, n), n, p))


def binomial_tails(n: Ints, p: float, level: float) -> Ints:
    """
    Return the largest k < n with P(X <= k) <= level for X ~ Binomial(n, p), elementwise.

    :param level: < 1
    :returns: -1 where even P(X = 0) is above the level
    """
    low, high = np.full(n.shape, -1), np.asarray(n)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        below = binomial_cdfs(middle, n, p) <= level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(low, dtype=np.int64)


def log_factorials(n: int) -> Floats:
    """Return log(k!) for k = 0 to n, shape (n + 1,)."""
    return np.asarray(special.gammaln(np.arange(1.0, n + 2.0)))


def binomial_pmf(n: int, p: float) -> Floats:
    """Return P(X = k) for X ~ Binomial(n, p) and k = 0 to n, shape (n + 1,)."""
    return binomial_pmfs(n, np.array([p]))[:, 0]


def binomial_pmfs(n: int, p: Floats) -> Floats:
    """Return P(X = k) for X ~ Binomial(n, p), each p and k = 0 to n, shape (n + 1, P)."""
    k = np.arange(n + 1.0)[:, None]
    log = special.xlogy(k, p) + special.xlog1py(n - k, -p)
    return np.asarray(np.exp(log - special.betaln(k + 1, n - k + 1)) / (n + 1))


def gamma_quantile(a: float, p: float) -> float:
    """Return the p-quantile of the Gamma(a, 1) distribution."""
    return float(special.gammaincinv(a, p))


def logit_limits(value: float, error: float, confidence: float) -> tuple[float, float]:
    """
    Limits of a share that are symmetric on the logit scale.

    :param value: in (0, 1)
    :param error: its standard error on its own scale, > 0
    """
    half = normal_quantile((1 + confidence) / 2) * error / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-half, half]))
    return float(low), float(high)


def normal_cdf(x: float) -> float:
    """Return P(X <= x) for a standard normal X."""
    return float(special.ndtr(x))


def normal_quantile(p: float) -> float:
    """Return the p-quantile of the standard normal distribution."""
    return float(special.ndtri(p))


def student_quantile(degrees: float, p: float) -> float:
    """Return the p-quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, p))
