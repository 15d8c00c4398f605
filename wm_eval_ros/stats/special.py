"""The special functions used here, with types."""

from __future__ import annotations

from scipy import special


def beta_quantile(a: float, b: float, p: float) -> float:
    """Return the p-quantile of the Beta(a, b) distribution."""
    return float(special.betaincinv(a, b, p))


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for X ~ Binomial(n, p)."""
    return float(special.bdtr(k, n, p))


def gamma_quantile(a: float, p: float) -> float:
    """Return the p-quantile of the Gamma(a, 1) distribution."""
    return float(special.gammaincinv(a, p))


def normal_quantile(p: float) -> float:
    """Return the p-quantile of the standard normal distribution."""
    return float(special.ndtri(p))


def student_quantile(degrees: float, p: float) -> float:
    """Return the p-quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, p))
