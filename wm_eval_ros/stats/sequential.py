"""A paired comparison that may be looked at after every episode."""

from __future__ import annotations

from dataclasses import dataclass, field
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.stats.special import beta_upper, hypergeometric, log_beta

_LOG2 = math.log(2)
_STEPS = 60


def _counts(wins: ArrayLike, discordant: ArrayLike) -> tuple[Floats, Floats]:
    s, m = np.broadcast_arrays(np.asarray(wins, float), np.asarray(discordant, float))
    if np.any((s < 0) | (s > m)):
        raise ValueError('a sign test: needs 0 <= wins <= discordant pairs')
    return s, m


def log_sign_e_value(wins: ArrayLike, discordant: ArrayLike) -> Floats:
    """
    Logarithm of the one-sided sign e-value, elementwise.

    ``E = 2^m * mean over theta ~ U(1/2, 1) of theta^s (1 - theta)^(m - s)``
    ``  = 2^(m + 1) B(s + 1, m - s + 1) P(Beta(s + 1, m - s + 1) > 1/2)``

    Below s = m / 2 that probability may underflow, and the equal form
    ``E = 2F1(-s, 1; m - s + 2; -1) / (m + 1 - s)``, a sum of falling positive terms, stands in.

    :param wins: s, pairs that speak for A, 0 <= s <= m
    :param discordant: m, pairs that speak at all
    :raises ValueError: counts that do not fit
    """
    s, m = _counts(wins, discordant)
    half = np.minimum(s, m - s)
    few = np.log(hypergeometric(-half, 1.0, m - half + 2, -1.0) / (m + 1 - half))
    many = (m + 1) * _LOG2 + log_beta(s + 1, m - s + 1) + np.log(
        np.maximum(beta_upper(s + 1, m - s + 1, 0.5), 0.25))
    return np.where(2 * s < m, few, many)


def log_sign_e_value_two_sided(wins: ArrayLike, discordant: ArrayLike) -> Floats:
    """
    Logarithm of the mean of the e-values for A and for B: theta ~ U(0, 1).

    ``E = 2^m B(s + 1, m - s + 1)``
    """
    s, m = _counts(wins, discordant)
    return np.asarray(m * _LOG2 + log_beta(s + 1, m - s + 1))


def reached(log_e: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Whether e-values are at least 1 / alpha, with slack for the rounding of logarithms."""
    return np.asarray(log_e) >= -math.log(alpha) - 1e-12


def win_share_sequence(wins: int, discordant: int,
                       confidence: float = 0.95) -> tuple[float, float]:
    """
    Limits of theta = P(A wins | discordant) that hold at all times at once.

    Where the ratio of the uniform prior's mean likelihood to the likelihood of theta stays below
    1 / alpha (Waudby-Smith and Ramdas, NeurIPS 2020: prior-posterior ratio); by Ville's
    inequality theta leaves the limits at any time with probability at most alpha.

    :param wins: s, 0 <= s <= m
    :param discordant: m; 0 gives (0, 1)
    :raises ValueError: counts that do not fit
    """
    _counts(wins, discordant)
    s, m = wins, discordant
    if m == 0:
        return 0.0, 1.0
    floor = float(log_beta(s + 1, m - s + 1)) + math.log(1 - confidence)

    def inside(theta: float) -> bool:
        return s * math.log(theta) + (m - s) * math.log1p(-theta) >= floor

    def limit(outside: float) -> float:
        # the point of greatest likelihood is inside; s = 0 and s = m have no limit on that side
        within = s / m
        for _ in range(_STEPS):
            middle = (outside + within) / 2
            if inside(middle):
                within = middle
            else:
                outside = middle
        return outside

    return (0.0 if s == 0 else limit(0.0)), (1.0 if s == m else limit(1.0))


@dataclass(slots=True)
class SignTest:
    """
    Sequential sign e-test of two policies on the same episodes.

    Only pairs in which exactly one succeeded speak. Under equal success rates the e-value is a
    nonnegative martingale of mean one, so P(it ever reaches 1 / alpha) <= alpha (Ville): one may
    look after every pair and stop when one likes. Once decided it stays decided.
    """

    alpha: float = 0.05
    #: whether B being better is looked for as well
    two_sided: bool = True
    pairs: int = field(default=0, init=False)
    #: pairs in which only A, only B succeeded
    a_only: int = field(default=0, init=False)
    b_only: int = field(default=0, init=False)
    #: largest log e-value so far; that of no pairs is 0
    peak_log_e: float = field(default=0.0, init=False)
    #: who was ahead when it was decided: 'a', 'b', or '' before
    better: str = field(default='', init=False)

    def __post_init__(self) -> None:
        """Refuse a level that is none."""
        if not 0 < self.alpha < 1:
            raise ValueError(f'alpha {self.alpha}: needs 0 < alpha < 1')

    def update(self, a_success: bool, b_success: bool) -> None:
        """Take one pair of episodes of the same seed into account."""
        self.pairs += 1
        self.a_only += bool(a_success and not b_success)
        self.b_only += bool(b_success and not a_success)
        self.peak_log_e = max(self.peak_log_e, self.log_e_value)
        if self.decided and not self.better:
            self.better = 'a' if self.a_only > self.b_only else 'b'

    @property
    def discordant(self) -> int:
        """Pairs in which exactly one succeeded."""
        return self.a_only + self.b_only

    @property
    def log_e_value(self) -> float:
        """Logarithm of the current e-value."""
        form = log_sign_e_value_two_sided if self.two_sided else log_sign_e_value
        return float(form(self.a_only, self.discordant))

    @property
    def e_value(self) -> float:
        """Return the current e-value: evidence against equal rates; infinite beyond 1e308."""
        log = self.log_e_value
        return math.exp(log) if log < 709 else math.inf

    @property
    def p_value(self) -> float:
        """Return the p-value that is valid at any time: one over the largest e-value so far."""
        return math.exp(-self.peak_log_e)

    @property
    def decided(self) -> bool:
        """Whether the e-value has reached 1 / alpha."""
        return bool(reached(self.peak_log_e, self.alpha))
