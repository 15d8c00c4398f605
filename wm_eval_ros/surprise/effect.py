"""
Whether commands have the effect they had: errors that go along with what a command does.

Held against what a nominal run errs in the same state, and along the directions in which each
command moves the state, small errors add up to a strong one: one test of few degrees of freedom
in place of one of all entries of the latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.records import CycleRecord
from wm_eval_ros.stats.dense import product
from wm_eval_ros.stats.distance import shrunk_covariance, Singles, whitening
from wm_eval_ros.stats.samples import Floats

#: an entry of an error counts no more than so many of its usual spreads: what a model foresees
#: badly now and then would hide what it foresees well
MOST = 3.0
#: weight of a slot's evidence, of that of the slot after it
KEEP = 0.97
#: half the normal distribution lies within this share of its standard deviation
_HALF = 0.6745
#: weight of the prior in the regressions, in samples: what they lean on where samples are few
_PRIOR = 3.0
#: a spread below this is none
_STILL = 1e-6


@dataclass(frozen=True, slots=True)
class Effect:
    """How commands move the latent in nominal runs, and how the model errs meanwhile."""

    #: error expected with a context of zeros, shape (D,)
    offset: Floats
    #: error expected of a context, shape (D, P)
    weights: Floats
    #: most that an entry of the error counts, positive, shape (D,)
    limit: Floats
    #: whitened change by a unit of each command, and of each in force before it, (D, 2 A)
    pushes: Floats
    #: what whitens the errors not expected, times those changes, (D, 2 A)
    reach: Floats

    def unexpected(self, gap: Singles, context: Floats) -> Floats:
        """Return the part of an error that its context does not explain, (D,)."""
        rest = gap - self.offset - np.einsum('ij,j->i', self.weights, context)
        found: Floats = np.clip(rest, -self.limit, self.limit)
        return found


def _by_command(halves: Floats, context: Floats) -> Floats:
    """Return columns by command out of those now and before, (D, 2 A) -> (D, A)."""
    count = halves.shape[1] // 2
    now, before = context[-2 * count:-count], context[-count:]
    found: Floats = halves[:, :count] * now + halves[:, count:] * before
    return found


class CommandTest:
    """
    Score test of each command's share in the errors, over the driven slots up to this.

    Were the effect of command a other by a share theta, the whitened error e_k of a slot would be
    theta F_ka besides noise of unit variance, F_ka what the command does. The score
    ``sum_k w_k F_ka' e_k`` over the root of its variance ``sum_k w_k^2 F_ka' F_ka``, and one more
    for a prior on theta of unit variance, is then largest in size (Rao's score test, Proc.
    Cambridge Phil. Soc. 44, 1948). The weights w_k are KEEP a slot back, so that neither calm
    slots hide a fault that follows them nor small misfits add up for ever. It begins anew where a
    slot has no one-step error, and after one that is no number.
    """

    def __init__(self) -> None:
        self._score: Floats | None = None
        self._variance: Floats | None = None

    def update(self, gap: Singles | None, made: CycleRecord | None,
               effect: Effect | None) -> float | None:
        """
        Take the next slot in.

        :param gap: its latent less the one foreseen, (D,); None: there is none
        :param made: the record that foresaw it
        :param effect: of nominal runs
        :returns: the largest over the commands, NaN where the error is no number; None where
            there is none
        """
        context = None if gap is None or made is None else context_of(made)
        if (gap is None or context is None or effect is None
                or effect.weights.shape != (len(gap), len(context))):
            self._score = self._variance = None
            return None
        if not np.isfinite(gap).all():
            self._score = self._variance = None
            return float('nan')
        pushes = _by_command(effect.pushes, context)
        score = np.einsum('ij,i->j', _by_command(effect.reach, context),
                          effect.unexpected(gap, context))
        variance = np.einsum('ij,ij->j', pushes, pushes)
        if self._score is not None and self._variance is not None:
            score, variance = score + KEEP * self._score, variance + KEEP**2 * self._variance
        self._score, self._variance = score, variance
        return float(np.max(np.abs(score) / np.sqrt(variance + 1.0)))


def context_of(made: CycleRecord) -> Floats | None:
    """
    Return what errors are regressed on: latent, command, and the command in force before it.

    :returns: shape (D + 2 A,), finite; None where there is none
    """
    if made.latent is None or not made.action:
        return None
    before = made.executed or (0.0,) * len(made.action)
    if len(before) != len(made.action):
        return None
    context = np.concatenate([made.latent.astype(np.float64), made.action, before])
    return context if np.isfinite(context).all() else None


class Driven:
    """Errors of driven slots of nominal runs, and what they are regressed on."""

    def __init__(self) -> None:
        #: latent less the one foreseen a slot earlier, contexts, latent foreseen less that before
        self.rows: list[tuple[Floats, Floats, Floats]] = []

    def add(self, gap: Singles, made: CycleRecord) -> None:
        """Take a slot in: its error, and the record that foresaw it; one that is no number not."""
        context = context_of(made)
        if context is None or made.latent is None or made.rollout is None:
            return
        change = made.rollout[0].astype(np.float64) - made.latent
        if np.isfinite(gap).all() and np.isfinite(change).all():
            self.rows.append((gap.astype(np.float64), context, change))


def fit_effect(driven: Sequence[Driven]) -> Effect | None:
    """
    Fit what commands do in nominal runs, and the errors to be expected.

    Ridge regressions of the one-step error, and of the change foreseen, on the context.

    :returns: None where there are fewer than two slots, or commands of several sizes
    """
    rows = [row for each in driven for row in each.rows]
    if len(rows) < 2 or len({len(context) for _, context, _ in rows}) > 1:
        return None
    errors, contexts, changes = (np.array([row[i] for row in rows]) for i in range(3))
    weights, offset = _ridge(contexts, errors)
    rest = errors - offset - product(contexts, weights.T)
    usual = np.median(np.abs(rest), axis=0) / _HALF
    limit = MOST * np.maximum(usual, _STILL)
    rest = np.clip(rest, -limit, limit)
    # an entry that is always as foreseen, as a command carried along, tells nothing here
    spread = rest.std(axis=0)
    scale = np.where(spread > _STILL, spread, np.inf)
    _, covariance, _ = shrunk_covariance(rest / scale)
    whiten = whitening(covariance) / scale
    moves, _ = _ridge(contexts, changes)
    # behind the latent come the commands: how they move it
    pushes = product(whiten, moves[:, errors.shape[1]:])
    return Effect(offset, weights, limit, pushes, product(whiten.T, pushes))


def _ridge(given: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Return weights (D, P) and offset (D,) of a ridge regression, entries on one scale."""
    mean, spread = given.mean(axis=0), given.std(axis=0)
    spread = np.where(spread > _STILL, spread, np.inf)
    scaled = (given - mean) / spread
    gram = product(scaled.T, scaled) + _PRIOR * np.eye(given.shape[1])
    root = whitening(gram)
    found = product(product(product(root.T, root), scaled.T), wanted - wanted.mean(axis=0))
    weights = found.T / spread
    return weights, wanted.mean(axis=0) - product(weights, mean[:, None])[:, 0]
