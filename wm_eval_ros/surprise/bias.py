"""In which direction the model was wrong lately: what single errors hide, their mean shows."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.records import CycleRecord
from wm_eval_ros.stats.distance import Singles
from wm_eval_ros.stats.samples import Floats

#: weight of a slot in the mean, of that of the slot after it: ten slots count
KEEP = 0.9
#: an error counts no more than this towards the mean, in predicted spreads
_MOST = 1e6


class RunningError:
    """
    Exponentially weighted mean of the signed one-step errors, in spreads that the model predicted.

    ``m_k = sum_i KEEP^(k - i) e_i / sum_i KEEP^(k - i)`` over the driven slots up to this (the
    vector of a multivariate EWMA chart, Lowry et al., Technometrics 34, 1992, with the weights of
    a stretch that has just begun). It begins anew where a slot has no one-step error.
    """

    def __init__(self) -> None:
        self._sum: Floats | None = None
        self._weight = 0.0

    def update(self, gap: Singles | None, made: CycleRecord | None) -> Floats | None:
        """
        Take the next slot in.

        :param gap: its latent less the one foreseen, (D,); None: there is none
        :param made: the record that foresaw it, for the spread it predicted
        :returns: the mean, shape (D,); None where there is none
        """
        if gap is None or made is None:
            self._sum, self._weight = None, 0.0
            return None
        error = _in_spreads(gap, made.rollout_std)
        before = np.zeros(len(error)) if self._sum is None else KEEP * self._sum
        if len(before) != len(error):
            before = np.zeros(len(error))
        self._sum, self._weight = before + error, KEEP * self._weight + 1.0
        return self._sum / self._weight


def _in_spreads(gap: Singles, spread: Singles | None) -> Floats:
    """Return errors in predicted spreads, 0 where none is predicted; as they are without any."""
    error = np.nan_to_num(gap.astype(np.float64), nan=_MOST, posinf=_MOST, neginf=-_MOST)
    if spread is not None and spread.ndim == 2 and spread.shape[1:] == gap.shape and len(spread):
        std = spread[0].astype(np.float64)
        told = std > 0
        error = np.where(told, error / np.where(told, std, 1.0), 0.0)
    return np.asarray(np.clip(error, -_MOST, _MOST))
