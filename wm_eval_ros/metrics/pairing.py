"""Imagined latents met with the encoded ones, slot by slot, in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wm_eval_ros.metrics.base import Bools, Floats, Ints
from wm_eval_ros.metrics.error_table import ErrorTable
from wm_eval_ros.records import CycleRecord
from wm_eval_ros.stats.distance import Singles, squared_error

#: most slots kept for pairing; records further out of order than this are not paired
WINDOW = 4096
#: large latents shorten the ring to about this size [bytes]
BUDGET = 64 * 2**20
#: but never below this many slots
_LEAST = 256
#: cycles, and bytes of their vectors, that gather before they are paired
BATCH = 512
BATCH_BYTES = 4 * 2**20
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


class Pairing:
    """
    Each latent looks for who foresaw it, and each plan for the one before, whatever their order.

    A slot that is recorded twice, and differently, is no evidence: its pairs are left out.
    """

    def __init__(self) -> None:
        self._rings: dict[int, _Ring] = {}
        self._pending: list[_Encoded] = []
        self._bytes = 0

    def update(self, cycle: CycleRecord) -> None:
        """Take one cycle in; one without a latent adds none."""
        offer = _encoded(cycle)
        if offer is None:
            return
        self._pending.append(offer)
        self._bytes += offer.latent.nbytes + offer.rollout.nbytes
        if len(self._pending) >= BATCH or self._bytes > BATCH_BYTES:
            self._flush()

    @property
    def nbytes(self) -> int:
        """Return the size of the rollouts kept for pairing [bytes]."""
        self._flush()
        return sum(ring.nbytes for ring in self._rings.values())

    @property
    def steps(self) -> int:
        """Return the most steps any plan was met at."""
        self._flush()
        return max((ring.errors.steps for ring in self._rings.values()), default=0)

    def errors(self, steps: int) -> Errors:
        """Return the errors of all forecasts of that many steps."""
        self._flush()
        return _merged([ring.errors.at(steps) for ring in self._rings.values()])

    def replans(self) -> Errors:
        """
        Return how far successive plans lie apart.

        :returns: slots of the earlier plans; as `model` the mean squared distance of the later
            plan from the rest of the earlier one, as `persistence` over how many steps
        """
        self._flush()
        return _merged([ring.replans.at(1) for ring in self._rings.values()])

    def _flush(self) -> None:
        """Pair what has gathered: many at a time cost little more than one."""
        pending, self._pending, self._bytes = self._pending, [], 0
        sizes: dict[int, list[_Encoded]] = {}
        for offer in pending:
            sizes.setdefault(len(offer.latent), []).append(offer)
        for size, offers in sizes.items():
            if size not in self._rings:
                self._rings[size] = _Ring(max(len(o.rollout) for o in offers), size)
            self._rings[size].take(offers)


def _merged(parts: list[tuple[Ints, Floats]]) -> Errors:
    if not parts:
        return Errors(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    slots = np.concatenate([part[0] for part in parts])
    model, persistence = np.concatenate([part[1] for part in parts], axis=1)
    ranks = np.lexsort((persistence, model, slots))
    return Errors(slots[ranks], model[ranks], persistence[ranks])


def _window(horizon: int, size: int) -> int:
    """Return how many slots with rollouts of that length the budget holds."""
    return max(_LEAST, min(WINDOW, BUDGET // (4 * max(size * horizon, 1))))


class _Ring:
    """
    The newest slots with latents of one size.

    How many follows from the longest rollout so far, so that the budget holds whether a rollout
    comes with the first cycle or later.
    """

    def __init__(self, horizon: int, size: int) -> None:
        window = _window(horizon, size)
        self.errors, self.replans = ErrorTable(), ErrorTable()
        self._window = window
        self._slots, self._episodes = np.full((2, window), _EMPTY, np.int64)
        self._horizons = np.zeros(window, np.int64)
        self._doubtful, self._fresh = np.zeros((2, window), bool)
        self._latents = np.zeros((window, size), np.float32)
        self._rollouts = np.zeros((window, horizon, size), np.float32)

    def take(self, offers: list[_Encoded]) -> None:
        """Store what cycles offer, and pair it with each other and with what is there."""
        self._widen(max(len(o.rollout) for o in offers))
        offers = sorted(offers, key=lambda o: o.slot)
        while offers:
            # no two of one part share a place, unless they are of one slot
            near = offers[0].slot + self._window // 2
            count = next((k for k, o in enumerate(offers) if o.slot >= near), len(offers))
            self._take_near(offers[:count])
            offers = offers[count:]

    def _take_near(self, offers: list[_Encoded]) -> None:
        fresh = np.array([o.slot for o in offers if self._store(o)], np.int64)
        self._fresh[fresh % self._window] = True
        for steps in range(1, self._rollouts.shape[1] + 1):
            self._pair(fresh, steps)
            before = fresh - steps
            self._pair(before[~self._fresh[before % self._window]
                              | (self._slots[before % self._window] != before)], steps)
        self._fresh[fresh % self._window] = False

    @property
    def nbytes(self) -> int:
        """Return the size of the rollouts that are kept [bytes]."""
        return self._rollouts.nbytes

    def _widen(self, horizon: int) -> None:
        if horizon <= self._rollouts.shape[1]:
            return
        size = self._latents.shape[1]
        self._shrink(_window(horizon, size))
        wider = np.zeros((self._window, horizon, size), np.float32)
        wider[:, :self._rollouts.shape[1]] = self._rollouts
        self._rollouts = wider

    def _shrink(self, window: int) -> None:
        """Keep of the slots that now share a place the newest, as if the ring had been smaller."""
        if window == self._window:
            return
        held = np.argsort(self._slots, kind='stable')
        held = held[self._slots[held] != _EMPTY]
        places = self._slots[held] % window
        newest = np.full(window, -1)
        newest[places] = held
        known = newest >= 0
        for name in ('_slots', '_episodes', '_horizons', '_doubtful', '_fresh', '_latents',
                     '_rollouts'):
            old = getattr(self, name)
            new = np.full((window, *old.shape[1:]), _EMPTY if name == '_slots' else 0, old.dtype)
            new[known] = old[newest[known]]
            setattr(self, name, new)
        self._window = window

    def _store(self, offer: _Encoded) -> bool:
        """Store one cycle; say whether it is new."""
        at, horizon = offer.slot % self._window, len(offer.rollout)
        if self._slots[at] == offer.slot and not self._same(at, offer):
            self._doubtful[at] = True
            self.errors.clear(offer.slot)
            self.replans.clear(offer.slot)
        if self._slots[at] >= offer.slot:
            return False
        self._slots[at], self._episodes[at] = offer.slot, offer.episode
        self._latents[at], self._horizons[at] = offer.latent, horizon
        self._rollouts[at, :horizon] = offer.rollout
        self._doubtful[at] = False
        return True

    def _same(self, at: int, offer: _Encoded) -> bool:
        horizon = int(self._horizons[at])
        mine = (self._latents[at].tobytes(), self._rollouts[at, :horizon].tobytes())
        return int(self._episodes[at]) == offer.episode and mine == (
            np.asarray(offer.latent, np.float32).tobytes(),
            np.asarray(offer.rollout, np.float32).tobytes())

    def _pair(self, slots: Ints, steps: int) -> None:
        """Pair plans made in these slots with the latents so many slots later, where known."""
        first, last = slots % self._window, (slots + steps) % self._window
        known = (self._slots[first] == slots) & (self._slots[last] == slots + steps)
        known &= self._episodes[first] == self._episodes[last]
        known &= ~(self._doubtful[first] | self._doubtful[last])
        known &= self._horizons[first] >= steps
        if not known.any():
            return
        slots, first, last = slots[known], first[known], last[known]
        seen = self._latents[last]
        self.errors.put(slots + steps, steps,
                        squared_error(self._rollouts[first, steps - 1], seen),
                        squared_error(self._latents[first], seen))
        if steps == 1:
            self._replan(slots + 1, first, last)

    def _replan(self, slots: Ints, first: Ints, last: Ints) -> None:
        """Measure how far plans lie from what was left of the plan in the slot before."""
        shared = np.minimum(self._horizons[first] - 1, self._horizons[last])
        for count in np.unique(shared[shared > 0]).tolist():
            at = shared == count
            apart = squared_error(self._rollouts[first[at], 1:count + 1],
                                  self._rollouts[last[at], :count])
            self.replans.put(slots[at], 1, np.mean(apart, axis=1), np.full(len(apart), count))


def _encoded(cycle: CycleRecord) -> _Encoded | None:
    latent, rollout = cycle.latent, cycle.rollout
    if latent is None or latent.ndim != 1 or not latent.size:
        return None
    if rollout is None or rollout.ndim != 2 or rollout.shape[1] != len(latent):
        rollout = np.zeros((0, len(latent)), np.float32)
    return _Encoded(cycle.slot, cycle.episode, latent, rollout)
