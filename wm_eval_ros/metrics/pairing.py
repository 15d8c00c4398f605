"""Imagined latents met with the encoded ones, slot by slot, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Bools, Floats, Ints
from wm_eval_ros.metrics.error_table import ErrorTable
from wm_eval_ros.records import CycleRecord

#: most slots kept for pairing; records further out of order than this are not paired
WINDOW = 4096
#: large latents shorten the ring to about this size [bytes]
BUDGET = 64 * 2**20
#: but never below this many slots
_LEAST = 256
Singles = NDArray[np.float32]
_EMPTY = -1


class Errors(NamedTuple):
    """Errors at one number of steps; infinite where an imagined latent was no number."""

    #: slots in which the forecasts were made, ascending, shape (N,)
    slots: Ints
    #: mean squared error a dimension, shape (N,)
    model: Floats
    #: of the forecast that nothing changes, shape (N,)
    persistence: Floats

    def where(self, keep: Bools) -> Errors:
        """Return some of them."""
        return Errors(self.slots[keep], self.model[keep], self.persistence[keep])


class _Encoded(NamedTuple):
    """What one cycle offers: its own latent (D,) and what it imagined (H, D)."""

    slot: int
    episode: int
    latent: Singles
    rollout: Singles


def squared_error(predicted: Singles, seen: Singles) -> Floats:
    """
    Mean squared error over the latent's dimensions.

    :param predicted: shape (H, D)
    :param seen: shape (D,) or (H, D)
    :returns: ||z - zhat||^2 / d, shape (H,); not finite where an entry is not

    >>> squared_error(np.array([[1, 2]], np.float32), np.array([1, 4], np.float32)).tolist()
    [2.0]
    """
    with np.errstate(over='ignore', invalid='ignore'):
        gap = predicted.astype(np.float64) - seen
        return np.asarray(np.mean(gap * gap, axis=-1))


class Pairing:
    """
    Each latent looks for who foresaw it, and each plan for the one before, whatever their order.

    A slot that is recorded twice, and differently, is no evidence: its pairs are left out.
    """

    def __init__(self) -> None:
        self._rings: dict[int, _Ring] = {}

    def update(self, cycle: CycleRecord) -> None:
        """Take one cycle in; one without a latent adds none."""
        offer = _encoded(cycle)
        if offer is None:
            return
        ring = self._rings.get(len(offer.latent))
        if ring is None:
            ring = self._rings[len(offer.latent)] = _Ring(*offer.rollout.shape)
        ring.take(offer)

    @property
    def steps(self) -> int:
        """Return the most steps any plan was met at."""
        return max((ring.errors.steps for ring in self._rings.values()), default=0)

    def errors(self, steps: int) -> Errors:
        """Return the errors of all forecasts of that many steps."""
        return self._merged([ring.errors.at(steps) for ring in self._rings.values()])

    def replans(self) -> Errors:
        """
        Return how far successive plans lie apart.

        :returns: slots of the earlier plans; as `model` the mean squared distance of the later
            plan from the rest of the earlier one, as `persistence` over how many steps
        """
        return self._merged([ring.replans.at(1) for ring in self._rings.values()])

    @staticmethod
    def _merged(parts: list[tuple[Ints, Floats]]) -> Errors:
        if not parts:
            return Errors(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        slots = np.concatenate([part[0] for part in parts])
        model, persistence = np.concatenate([part[1] for part in parts], axis=1)
        ranks = np.lexsort((persistence, model, slots))
        return Errors(slots[ranks], model[ranks], persistence[ranks])


class _Ring:
    """The newest slots with latents of one size."""

    def __init__(self, horizon: int, size: int) -> None:
        window = max(_LEAST, min(WINDOW, BUDGET // (4 * max(size * horizon, 1))))
        self.errors, self.replans = ErrorTable(), ErrorTable()
        self._window = window
        self._slots, self._episodes = np.full((2, window), _EMPTY, np.int64)
        self._horizons = np.zeros(window, np.int64)
        self._doubtful = np.zeros(window, bool)
        self._latents = np.zeros((window, size), np.float32)
        self._rollouts = np.zeros((window, horizon, size), np.float32)

    def take(self, offer: _Encoded) -> None:
        """Store what a cycle offers, and pair it with what is there."""
        at = offer.slot % self._window
        if self._slots[at] == offer.slot:
            if not self._same(at, offer):
                self._doubtful[at] = True
                self.errors.clear(offer.slot)
                self.replans.clear(offer.slot)
        elif self._slots[at] < offer.slot:
            self._store(at, offer)
            self._look_back(offer)
            self._look_ahead(offer)

    def _same(self, at: int, offer: _Encoded) -> bool:
        horizon = int(self._horizons[at])
        mine = (self._latents[at].tobytes(), self._rollouts[at, :horizon].tobytes())
        return int(self._episodes[at]) == offer.episode and mine == (
            np.asarray(offer.latent, np.float32).tobytes(),
            np.asarray(offer.rollout, np.float32).tobytes())

    def _store(self, at: int, offer: _Encoded) -> None:
        horizon = len(offer.rollout)
        if horizon > self._rollouts.shape[1]:
            wider = np.zeros((self._window, horizon, self._latents.shape[1]), np.float32)
            wider[:, :self._rollouts.shape[1]] = self._rollouts
            self._rollouts = wider
        self._slots[at], self._episodes[at] = offer.slot, offer.episode
        self._latents[at], self._horizons[at] = offer.latent, horizon
        self._rollouts[at, :horizon] = offer.rollout
        self._doubtful[at] = False

    def _look_back(self, offer: _Encoded) -> None:
        """Pair this latent, and this plan, with the rollouts of earlier slots."""
        ahead = np.arange(1, self._rollouts.shape[1] + 1)
        at = (offer.slot - ahead) % self._window
        known = self._known(offer.slot - ahead, at, offer.episode) & (ahead <= self._horizons[at])
        if not known.any():
            return
        at, columns = at[known], ahead[known] - 1
        self.errors.put(offer.slot, columns,
                        squared_error(self._rollouts[at, columns], offer.latent),
                        squared_error(self._latents[at], offer.latent))
        if columns[0] == 0:
            before = self._rollouts[at[0], :self._horizons[at[0]]]
            self._replan(offer.slot, before, offer.rollout)

    def _look_ahead(self, offer: _Encoded) -> None:
        """Pair this rollout with latents of later slots that came before it."""
        if offer.slot >= self._slots.max():
            return
        ahead = np.arange(1, len(offer.rollout) + 1)
        at = (offer.slot + ahead) % self._window
        known = self._known(offer.slot + ahead, at, offer.episode)
        for step, place in zip(ahead[known].tolist(), at[known].tolist(), strict=True):
            seen = self._latents[place]
            self.errors.put(offer.slot + step, np.array([step - 1]),
                            squared_error(offer.rollout[step - 1:step], seen),
                            squared_error(offer.latent[None], seen))
            if step == 1:
                after = self._rollouts[place, :self._horizons[place]]
                self._replan(offer.slot + 1, offer.rollout, after)

    def _replan(self, slot: int, earlier: Singles, later: Singles) -> None:
        shared = min(len(earlier) - 1, len(later))
        if shared > 0:
            apart = np.mean(squared_error(earlier[1:shared + 1], later[:shared]))
            self.replans.put(slot, np.zeros(1, np.int64), np.array([apart]), np.array([shared]))

    def _known(self, slots: Ints, at: Ints, episode: int) -> Bools:
        return np.asarray((self._slots[at] == slots) & (self._episodes[at] == episode)
                          & ~self._doubtful[at])


def _encoded(cycle: CycleRecord) -> _Encoded | None:
    latent, rollout = cycle.latent, cycle.rollout
    if latent is None or latent.ndim != 1 or not latent.size:
        return None
    if rollout is None or rollout.ndim != 2 or rollout.shape[1] != len(latent):
        rollout = np.zeros((0, len(latent)), np.float32)
    return _Encoded(cycle.slot, cycle.episode, latent, rollout)
