"""Whether the model is as sure as it should be: predicted spread against realised error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_eval_ros.metrics.base import estimated, Floats, Ints, missing, Values
from wm_eval_ros.metrics.rows import row_of, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.stats.calibration import expected_calibration_error
from wm_eval_ros.stats.risk import aurc

_NO_SPREAD = 'no spread was predicted for a rollout'
_NO_PAIR = 'no rollout with a predicted spread met an encoded latent and was driven to it'


class Residuals(NamedTuple):
    """Realised less imagined latents at one number of steps, beside the predicted spread."""

    #: shape (N, D), of the entries whose spread is predicted to be more than zero
    error: Floats
    std: Floats
    #: shape (N,)
    episodes: Ints


def residuals(run: Run, plans: Rows, steps: int) -> Residuals:
    """
    Return what driven rollouts said of the latent so many steps later.

    Entries whose spread is zero in any of them are left out: of those nothing is predicted, such
    as of a command that is part of the latent. So are rows with a number that is not finite.

    :param plans: as :meth:`PlanSample.rows` gives them
    """
    later = row_of(plans, plans['slot'] + steps)
    sent, own = run.driven.pairs(plans['slot'], steps)
    at = np.flatnonzero((later >= 0) & sent & own)
    with np.errstate(over='ignore', invalid='ignore'):
        error = plans['latent'][later[at]].astype(float) - plans['rollout'][at, steps - 1]
    std = plans['std'][at, steps - 1].astype(float)
    known = np.all(np.isfinite(error) & np.isfinite(std), axis=1)
    columns = np.all(std[known] > 0, axis=0)
    return Residuals(error[known][:, columns], std[known][:, columns],
                     plans['episode'][at][known])


def calibration(found: Residuals, steps: int) -> Values:
    """Return expected and maximum calibration error at a number of steps."""
    names = (f'calibration_ece[h={steps}]', f'calibration_mce[h={steps}]')
    if not found.error.size:
        return tuple(missing(name, '1', _NO_PAIR) for name in names)
    both = expected_calibration_error(found.error, found.std, found.episodes)
    values = (both.expected_error, both.maximum_error)
    return tuple(estimated(name, '1', len(found.error), value,
                           'bootstrap over episodes, triangle inequality')
                 for name, value in zip(names, values, strict=True))


def abstention(found: Residuals) -> Values:
    """Return the area under the risk-coverage curve of one-step predictions, and its excess."""
    names = ('aurc', 'aurc_excess')
    if not found.error.size:
        return tuple(missing(name, '1', _NO_PAIR) for name in names)
    curve = aurc(-np.mean(found.std**2, axis=1), np.mean(found.error**2, axis=1), found.episodes)
    return tuple(estimated(name, '1', len(found.error), value, 'bootstrap over episodes')
                 for name, value in zip(names, (curve.area, curve.excess), strict=True))


class Calibration(TableMetric):
    """Calibration error at each step, and what the predicted spread is worth for abstaining."""

    def values(self, run: Run) -> Values:
        """Return the figures over a sample of the slots."""
        plans = run.vectors.plans.rows()
        if len(plans) == 0:
            names = ('calibration_ece[h=1]', 'calibration_mce[h=1]', 'aurc', 'aurc_excess')
            return tuple(missing(name, '1', _NO_SPREAD) for name in names)
        curve = [residuals(run, plans, h) for h in range(1, plans['std'].shape[1] + 1)]
        values = [calibration(found, h) for h, found in enumerate(curve, 1)
                  if found.error.size or h == 1]
        return (*(v for step in values for v in step), *abstention(curve[0]))
