"""Imagined latents met with the encoded ones, slot by slot, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import CycleRecord, CycleStatus

#: most slots kept for pairing; records further out of order than this are not paired
WINDOW = 4096
#: large latents shorten the ring to about this size [bytes]
BUDGET = 64 * 2**20
#: but never below this many slots
_LEAST = 256
PAIR = np.dtype([('slot', '<i8'), ('steps', '<i8'), ('episode', '<i8'),
                 ('model', '<f8'), ('persistence', '<f8')])
Pairs = NDArray[np.void]
Singles = NDArray[np.float32]
_EMPTY = -1


class _Encoded(NamedTuple):
    """What one cycle offers: its own latent (D,) and what it imagined (H, D)."""

    slot: int
    episode: int
    latent: NDArray[np.float32]
    rollout: NDArray[np.float32]


def squared_error(predicted: Singles, seen: Singles) -> NDArray[np.float64]:
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
    Ring of the newest slots in which each latent looks for who foresaw it.

    Works in either direction, so that the order of arrival does not matter within the ring.
    """

    def __init__(self) -> None:
        self._found = bytearray()
        self._window = 0
        self._slots = self._episodes = self._horizons = np.zeros(0, np.int64)
        self._latents = np.zeros((0, 0), np.float32)
        self._rollouts = np.zeros((0, 0, 0), np.float32)

    def update(self, cycle: CycleRecord) -> None:
        """Take one cycle in; without a latent, or with one of another size, it adds none."""
        offer = _encoded(cycle)
        if offer is None:
            return
        self._fit(*offer.rollout.shape)
        if offer.rollout.shape[1] == self._latents.shape[1] and self._store(offer):
            self._look_back(offer)
            self._look_ahead(offer)

    def pairs(self) -> Pairs:
        """Return all pairs found, by slot and step, fields as in PAIR."""
        found = np.frombuffer(bytes(self._found), PAIR)
        return found[np.lexsort((found['steps'], found['slot']))]

    def _fit(self, horizon: int, size: int) -> None:
        if len(self._slots) == 0:
            self._allocate(max(_LEAST, min(WINDOW, BUDGET // (4 * max(size * horizon, 1)))), size)
        if horizon > self._rollouts.shape[1]:
            wider = np.full((self._window, horizon, self._latents.shape[1]), np.nan, np.float32)
            wider[:, :self._rollouts.shape[1]] = self._rollouts
            self._rollouts = wider

    def _allocate(self, window: int, size: int) -> None:
        self._window = window
        self._slots, self._episodes = np.full((2, window), _EMPTY, np.int64)
        self._horizons = np.zeros(window, np.int64)
        self._latents = np.zeros((window, size), np.float32)
        self._rollouts = np.zeros((window, 0, size), np.float32)

    def _store(self, offer: _Encoded) -> bool:
        at = offer.slot % self._window
        if self._slots[at] >= offer.slot:
            return False
        self._slots[at], self._episodes[at] = offer.slot, offer.episode
        self._latents[at], self._horizons[at] = offer.latent, len(offer.rollout)
        self._rollouts[at] = np.nan
        self._rollouts[at, :len(offer.rollout)] = offer.rollout
        return True

    def _look_back(self, offer: _Encoded) -> None:
        """Pair this latent with the rollouts of earlier slots."""
        ahead = np.arange(1, self._rollouts.shape[1] + 1)
        at = (offer.slot - ahead) % self._window
        known = self._known(offer.slot - ahead, at, offer.episode)
        known &= ahead <= self._horizons[at]
        predicted = self._rollouts[at, ahead - 1]
        self._add(offer, offer.slot - ahead, ahead, known,
                  squared_error(predicted, offer.latent),
                  squared_error(self._latents[at], offer.latent))

    def _look_ahead(self, offer: _Encoded) -> None:
        """Pair this rollout with latents of later slots that came before it."""
        if offer.slot >= self._slots.max():
            return
        ahead = np.arange(1, len(offer.rollout) + 1)
        at = (offer.slot + ahead) % self._window
        known = self._known(offer.slot + ahead, at, offer.episode)
        seen = self._latents[at]
        self._add(offer, np.full(len(ahead), offer.slot), ahead, known,
                  squared_error(offer.rollout, seen), squared_error(seen, offer.latent))

    def _known(self, slots: NDArray[np.int64], at: NDArray[np.int64],
               episode: int) -> NDArray[np.bool_]:
        return np.asarray((self._slots[at] == slots) & (self._episodes[at] == episode))

    def _add(self, offer: _Encoded, slots: NDArray[np.int64], ahead: NDArray[np.int64],
             known: NDArray[np.bool_], model: NDArray[np.float64],
             persistence: NDArray[np.float64]) -> None:
        rows = np.empty(int(np.sum(known)), PAIR)
        rows['slot'], rows['steps'] = slots[known], ahead[known]
        rows['episode'] = offer.episode
        rows['model'], rows['persistence'] = model[known], persistence[known]
        self._found += rows.tobytes()


def _encoded(cycle: CycleRecord) -> _Encoded | None:
    latent, rollout = cycle.latent, cycle.rollout
    if cycle.status == CycleStatus.WARMUP or latent is None or latent.ndim != 1 or not latent.size:
        return None
    if rollout is None or rollout.ndim != 2 or rollout.shape[1] != len(latent):
        rollout = np.zeros((0, len(latent)), np.float32)
    return _Encoded(cycle.slot, cycle.episode, latent, rollout)
