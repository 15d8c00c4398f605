"""One score out of all streams and detectors, so that one threshold holds for all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.band import Band
from wm_eval_ros.surprise.detectors import Detector
from wm_eval_ros.surprise.unreadable import Unreadable

#: a component below this is as good as none [spreads]
LEAST = 0.1
#: shares of the largest scores of nominal episodes that tell their spread, and how far each lies
#: above the median of a normal distribution [standard deviations]
HIGH = ((0.9, 1.2816), (0.975, 1.96))
#: a spread below this, in natural logarithms, is taken as this
_LEAST_SPREAD = 0.05
#: what an infinite component counts for in the fit
_MOST = 1e6


class Components:
    """
    The scores of every detector on every stream, slot by slot of one episode.

    :param detectors: made anew for this
    """

    def __init__(self, band: Band, detectors: Sequence[Detector]) -> None:
        self._band, self._detectors, self._slot = band, detectors, 0
        #: which slots of the episode cannot be read
        self.unreadable = Unreadable()

    def begin(self, slot: int = 0) -> None:
        """Begin an episode, or go on with this slot of it, where a planner was started again."""
        self._slot = slot
        self.unreadable.begin()
        self.interrupt()

    def interrupt(self) -> None:
        """Somebody else drove: what was summed up so far tells nothing of the planner."""
        for detector in self._detectors:
            detector.reset()

    def pass_by(self, slots: int) -> None:
        """Move on by slots of which there is no record."""
        self._slot += slots

    def update(self, raw: Floats) -> Floats:
        """Return the components of the next slot, shape (C,), from raw scores, (S,)."""
        standard = self._band.standard(self._slot, raw)
        self._slot += 1
        return np.concatenate([detector.update(standard) for detector in self._detectors])


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the largest score of a nominal episode usually is, of each component."""

    #: median of its logarithm, shape (C,)
    centre: Floats
    #: upper spread of its logarithm, in standard deviations, positive, shape (C,)
    spread: Floats

    def joint(self, components: Floats) -> float:
        """
        Return the largest of some components, each by how unusual it would be as the largest.

        Sums of drifts have far longer tails than bands; on one scale of their own largest values,
        in logarithms, no component sets the threshold of all.

        :param components: shape (C,), NaN: none
        :returns: NaN where there is none
        """
        known = ~np.isnan(components)
        if not known.any():
            return float('nan')
        unusual = (np.log(np.maximum(components, LEAST)) - self.centre) / self.spread
        return float(np.max(unusual[known]))


def largest(values: Floats) -> Floats:
    """Return the largest of each column, -inf where it holds no number; (T, C) to (C,)."""
    return np.asarray(np.max(np.where(np.isnan(values), -np.inf, values), axis=0,
                             initial=-np.inf))


def fit_scale(maxima: Floats) -> Scale:
    """
    Fit how large components get in nominal episodes; of its spreads the largest counts.

    :param maxima: largest of each component in each nominal episode, shape (N, C)
    """
    logs = np.log(np.minimum(np.maximum(maxima, LEAST), _MOST))
    middle = np.quantile(logs, 0.5, axis=0, method='higher')
    spreads = [(np.quantile(logs, share, axis=0, method='higher') - middle) / deviations
               for share, deviations in HIGH]
    return Scale(middle, np.maximum(np.max(spreads, axis=0), _LEAST_SPREAD))
