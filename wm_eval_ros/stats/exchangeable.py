"""Evidence against exchangeability that may be looked at after every observation."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

import numpy as np

from wm_eval_ros.stats.samples import Floats

#: exponents of the bets; with 1 nothing is bet
EXPONENTS = (1.0, 0.5, 0.25, 0.1)
#: share of the capital that is shared out anew after every bet
JUMP = 0.01


class RankedScores:
    """
    Ranks each score among those before it: conformal p-values.

    ``p = (1 + how many of the n before are as large) / (n + 1)``. If all scores are exchangeable,
    the ranks are independent of each other and p is never smaller than a uniform number would be,
    ties counted against it (Vovk, Gammerman and Shafer, 2005, chapter 8).

    :param scores: known from the begin, such as those of a calibration
    """

    def __init__(self, scores: Iterable[float] = ()) -> None:
        self._sorted = sorted(scores)

    def p_value(self, score: float) -> float:
        """Return the p-value of a further score, and keep it for the next."""
        before = len(self._sorted)
        as_large = before - bisect_left(self._sorted, score)
        insort(self._sorted, score)
        return (1 + as_large) / (before + 1)


class PowerJumper:
    """
    An e-process that grows while p-values are small: a betting martingale with a changing mind.

    Capital is bet on p with the density ``e p^(e - 1)`` for several exponents e; after every bet a
    little is shared out anew among them, so that it is not lost over a long calm (the mixture of
    power martingales of Fedorova et al., Plug-in martingales for testing exchangeability on-line,
    ICML 2012, with the jumps of Vovk's simple jumper, Testing randomness online, Statistical
    Science 36, 2021). All densities fall, so that on p-values larger than uniform ones it is a
    supermartingale: it exceeds 1 / alpha ever with probability alpha at most (Ville, 1939).
    """

    def __init__(self) -> None:
        self._exponents: Floats = np.array(EXPONENTS)
        self._capital: Floats = np.full(len(EXPONENTS), 1.0 / len(EXPONENTS))

    @property
    def value(self) -> float:
        """The capital now, 1 at the begin."""
        return float(np.sum(self._capital))

    def update(self, p: float) -> float:
        """
        Bet on the next p-value; return the capital after it.

        :param p: in (0, 1]
        """
        shared = (1 - JUMP) * self._capital + JUMP * self.value / len(EXPONENTS)
        self._capital = shared * self._exponents * p**(self._exponents - 1)
        return self.value
