"""Detectors: from the standardised streams of a slot to scores whose largest is the surprise."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from wm_eval_ros.stats.samples import Floats

#: entry-point group of the detectors
GROUP = 'wm_eval_ros.detectors'


class Detector(Protocol):
    """
    A causal fold over the standardised streams of one episode.

    Made without arguments; what it returns is a function of what it was given since ``reset`` and
    of nothing else, so that the bag gives the same scores again.
    """

    def reset(self) -> None:
        """Begin anew: an episode begins, or somebody else drove up to the next slot."""
        ...

    def update(self, standard: Floats) -> Floats:
        """
        Take the next slot in.

        :param standard: spreads above the centre of the band, shape (S,); NaN: no score
        :returns: scores, larger is more surprising, shape (C,), C always the same for one S; NaN
            where this slot tells nothing
        """
        ...


class BandDetector:
    """
    Functional band: each stream by itself, in the slot where it is.

    One-sided and simultaneous over the slots, since what is ranked is the largest of an episode
    (Diquigiovanni, Fontana and Vantini, Conformal prediction bands for multivariate functional
    data, J. Multivariate Analysis 189, 2022, with mean and standard deviation as modulation).
    """

    def reset(self) -> None:
        """Nothing is carried."""

    def update(self, standard: Floats) -> Floats:
        """Return the streams as they are, shape (S,)."""
        return standard


#: what a score must exceed its centre by to raise the sum [spreads]: half of the shift that is
#: looked for, of one spread
SLACK = 0.5
#: a single slot counts no more than this towards the sum [spreads]
MOST = 4.0


class CusumDetector:
    """
    Cumulative sums: slow drift that no single slot shows.

    C_k = max(0, C_{k-1} + min(max(z_k, -MOST), MOST) - SLACK) of each stream (Page, Continuous
    inspection schemes, Biometrika 41, 1954); a slot without a score leaves its sum as it is.
    """

    def __init__(self) -> None:
        self._sums: Floats | None = None

    def reset(self) -> None:
        """Set the sums to zero."""
        self._sums = None

    def update(self, standard: Floats) -> Floats:
        """Return the sums of the streams that have a score, shape (S,)."""
        known = ~np.isnan(standard)
        before = np.zeros(len(standard)) if self._sums is None else self._sums
        step = np.minimum(np.maximum(standard, -MOST), MOST) - SLACK
        self._sums = np.where(known, np.maximum(0.0, before + step), before)
        return np.where(known, self._sums, np.nan)
