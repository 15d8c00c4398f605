"""One score out of all streams and detectors, so that one threshold holds for all together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.band import Band
from wm_eval_ros.surprise.detectors import Detector

#: share of nominal episodes that reach no score of one by any single component
USUAL = 0.9
#: a component's scale is never below this [spreads]
LEAST_SCALE = 1.0


class Components:
    """
    The scores of every detector on every stream, slot by slot of one episode.

    :param detectors: made anew for this
    """

    def __init__(self, band: Band, detectors: Sequence[Detector]) -> None:
        self._band, self._detectors, self._slot = band, detectors, 0

    def begin(self) -> None:
        """Begin an episode."""
        self._slot = 0
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


def joint(components: Floats, scale: Floats) -> float:
    """
    Return the largest of some components, each in units of its scale.

    :param components: shape (C,), NaN: none
    :param scale: shape (C,)
    :returns: NaN where there is none
    """
    known = components / scale
    known = known[~np.isnan(known)]
    return float(known.max()) if len(known) else float('nan')


def largest(values: Floats) -> Floats:
    """Return the largest of each column, -inf where it holds no number; (T, C) to (C,)."""
    return np.asarray(np.max(np.where(np.isnan(values), -np.inf, values), axis=0,
                             initial=-np.inf))


def fit_scale(maxima: Floats) -> Floats:
    """
    Return the scale of each component: what its largest stays below in most episodes.

    :param maxima: largest of each component in each nominal episode, shape (N, C)
    :returns: shape (C,), positive and finite
    """
    high = np.quantile(maxima, USUAL, axis=0, method='higher')
    return np.asarray(np.where(np.isfinite(high), np.maximum(high, LEAST_SCALE), LEAST_SCALE))
