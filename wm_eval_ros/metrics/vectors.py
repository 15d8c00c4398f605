"""Vectors of a sample of the slots, in bounded memory and by a rule that no order can change."""

from __future__ import annotations

from functools import lru_cache
import hashlib
import heapq
import struct

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Ints
from wm_eval_ros.metrics.rows import one_a_slot, Rows
from wm_eval_ros.records import CycleRecord

Layout = np.dtype[np.void]
Singles = NDArray[np.float32]

#: most memory the vectors of either sample take [bytes]
STATE_BUDGET = 8 * 2**20
PLAN_BUDGET = 16 * 2**20
#: most slots of either sample: more would not change a fit
STATE_SLOTS = PLAN_SLOTS = 4096
#: larger latents are not sampled: a linear map from more is not fitted
MOST_LATENTS = 1024
#: entries of a latent, evenly spread, and imagined steps that are kept of a plan at most
PLAN_ENTRIES, PLAN_STEPS = 64, 64
#: a number this large is none: its square is beyond what a double holds, or nearly
HUGE = 1e100
#: slots next to each other that are kept or left out together
BLOCK = 64


class BlockSample:
    """
    Slots kept by blocks: those whose number has the smallest hash, as many as the budget allows.

    Whether a block is kept depends on what the whole run holds and on nothing else: a block once
    left out stays out, since what has a smaller hash only grows. A run within the budget is kept
    whole.

    :param block: slots of a block
    :param budget: of all kept slots together [bytes]
    :param least: what a slot counts for at least [bytes], which bounds their number
    """

    def __init__(self, block: int, budget: int, least: int = 1) -> None:
        self._block, self._budget, self._least = block, budget, least
        self._parts: dict[int, dict[Layout, bytearray]] = {}
        self._spent: dict[int, int] = {}
        self._total = 0
        #: (-rank, block): the largest first
        self._heap: list[tuple[int, int]] = []
        self._limit = 2**64

    def takes(self, slot: int) -> bool:
        """Say whether a slot is kept, as far as is known yet; nothing is stored by asking."""
        number = slot // self._block
        return number in self._parts or _rank(number) < self._limit

    @property
    def blocks(self) -> int:
        """Return how many blocks are held."""
        return len(self._parts)

    def add(self, slot: int, layout: Layout, packed: bytes) -> None:
        """Keep one slot that it takes; slots of different layouts are kept apart."""
        number = slot // self._block
        if number not in self._parts:
            self._open(number)
        self._parts[number].setdefault(layout, bytearray()).extend(packed)
        cost = max(len(packed), self._least)
        self._spent[number] += cost
        self._total += cost
        while self._total > self._budget:
            self._leave_out()

    def _open(self, number: int) -> None:
        self._parts[number], self._spent[number] = {}, 0
        heapq.heappush(self._heap, (-_rank(number), number))

    def _leave_out(self) -> None:
        rank, number = heapq.heappop(self._heap)
        self._limit = -rank
        del self._parts[number]
        self._total -= self._spent.pop(number)

    def rows(self) -> Rows:
        """
        Return what is kept of the layout most slots have, one row a slot, sorted by slot.

        :returns: with the slot as the only field where nothing is kept
        """
        sizes: dict[Layout, int] = {}
        for part in self._parts.values():
            for layout, packed in part.items():
                sizes[layout] = sizes.get(layout, 0) + len(packed) // layout.itemsize
        if not sizes:
            return np.zeros(0, np.dtype([('slot', '<i8')]))
        most = min(sizes, key=lambda layout: (-sizes[layout], str(layout)))
        held = [self._parts[number][most] for number in sorted(self._parts)
                if most in self._parts[number]]
        return one_a_slot(np.frombuffer(b''.join(held), most))[0]


def _rank(number: int) -> int:
    """Return the hash of a block's number."""
    return int.from_bytes(hashlib.blake2b(str(number).encode(), digest_size=8).digest(), 'big')


class StateSample:
    """Latent, first imagined latent, observation and command of a sample of the slots."""

    def __init__(self) -> None:
        self._sample = BlockSample(BLOCK, STATE_BUDGET, STATE_BUDGET // STATE_SLOTS)

    def update(self, cycle: CycleRecord) -> None:
        """Take a cycle with a latent in."""
        latent = cycle.latent
        if latent is None or latent.ndim != 1 or len(latent) > MOST_LATENTS:
            return
        if not self._sample.takes(cycle.slot):
            return
        numbers = (*cycle.observation, *cycle.action)
        self._sample.add(
            cycle.slot, _states(len(latent), len(cycle.observation), len(cycle.action)),
            struct.pack(f'<qq{len(numbers)}d', cycle.slot, cycle.episode, *numbers)
            + _bytes(latent) + _bytes(_first(cycle, len(latent))))

    def rows(self) -> Rows:
        """Return slot, episode, observation (F,), action (A,), latent, imagined (D,); or none."""
        return self._sample.rows()


class PlanSample:
    """Latent, rollout and its predicted spread of a sample of the slots that have all three."""

    def __init__(self) -> None:
        self._sample = BlockSample(BLOCK, PLAN_BUDGET, PLAN_BUDGET // PLAN_SLOTS)

    def update(self, cycle: CycleRecord) -> None:
        """Take a cycle in; one without a predicted spread adds none."""
        latent, rollout, std = cycle.latent, cycle.rollout, cycle.rollout_std
        if latent is None or rollout is None or std is None or latent.ndim != 1:
            return
        if rollout.ndim != 2 or rollout.shape != std.shape or rollout.shape[1] != len(latent):
            return
        if not self._sample.takes(cycle.slot):
            return
        kept = _entries(len(latent))
        near, reach = rollout[:PLAN_STEPS, kept], std[:PLAN_STEPS, kept]
        self._sample.add(cycle.slot, _plans(*near.shape),
                         struct.pack('<qq', cycle.slot, cycle.episode)
                         + _bytes(latent[kept]) + _bytes(near) + _bytes(reach))

    def rows(self) -> Rows:
        """Return slot, episode, latent (D,), rollout (H, D) and std (H, D); or none."""
        return self._sample.rows()


@lru_cache(maxsize=64)
def _states(latent: int, observation: int, action: int) -> Layout:
    return np.dtype([('slot', '<i8'), ('episode', '<i8'), ('observation', '<f8', (observation,)),
                     ('action', '<f8', (action,)), ('latent', '<f4', (latent,)),
                     ('imagined', '<f4', (latent,))])


@lru_cache(maxsize=64)
def _plans(steps: int, latent: int) -> Layout:
    return np.dtype([('slot', '<i8'), ('episode', '<i8'), ('latent', '<f4', (latent,)),
                     ('rollout', '<f4', (steps, latent)), ('std', '<f4', (steps, latent))])


@lru_cache(maxsize=64)
def _entries(size: int) -> slice | Ints:
    if size <= PLAN_ENTRIES:
        return slice(None)
    return np.linspace(0, size - 1, PLAN_ENTRIES).astype(np.int64)


def _bytes(numbers: Singles) -> bytes:
    return np.asarray(numbers, '<f4').tobytes()


def _first(cycle: CycleRecord, size: int) -> Singles:
    """Return the first imagined latent, NaN where there is none."""
    rollout = cycle.rollout
    if rollout is None or rollout.ndim != 2 or not len(rollout) or rollout.shape[1] != size:
        return np.full(size, np.nan, np.float32)
    first: Singles = rollout[0]
    return first
