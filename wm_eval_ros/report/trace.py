"""Latents kept for plotting; no figure of the scorecard is made from them."""

from __future__ import annotations

from dataclasses import dataclass, field
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import CycleRecord, CycleStatus, Record

Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

#: slots kept; later ones are counted and not drawn
MAX_SLOTS = 400_000
#: entries kept of a latent: more panels than these nobody reads
MAX_ENTRIES = 16
#: rollouts are kept of every slot until they exceed this [bytes], then of every second, fourth ...
ROLLOUT_BYTES = 32 * 2**20

_META = np.dtype([('slot', '<i8'), ('episode', '<i8'), ('stamp', '<i8')])
_PACK = struct.Struct('<qqq')


@dataclass(frozen=True)
class EpisodeTrace:
    """Encoded and imagined latents of one episode, by slot."""

    #: [ns, ROS], shape (N,)
    stamps: Ints
    slots: Ints
    #: encoded in each slot, shape (N, K); K is D, or MAX_ENTRIES of them
    observed: Singles
    #: which of the slots the rollouts kept began in: indices, shape (R,)
    begins: Ints
    #: row h was imagined for h + 1 slots later; NaN beyond what was imagined, shape (R, H, K)
    imagined: Singles
    #: predicted standard deviation of each entry, NaN where the model gave none, shape (R, H, K)
    spread: Singles


class _Rollout(NamedTuple):
    slot: int
    episode: int
    steps: int
    imagined: bytes
    spread: bytes | None


@dataclass
class TraceCollector:
    """Fold that keeps each slot's latent, and the rollouts of as many slots as fit."""

    left_out: int = 0
    #: entries of a latent before they were cut to MAX_ENTRIES
    size: int = 0
    #: rollouts are kept of slots whose number this divides
    stride: int = 1
    _meta: bytearray = field(default_factory=bytearray)
    _latents: bytearray = field(default_factory=bytearray)
    _rollouts: list[_Rollout] = field(default_factory=list)
    _held: int = 0

    def update(self, record: Record) -> None:
        """Take one record in; only cycles with a latent are kept."""
        if not isinstance(record, CycleRecord) or record.latent is None \
                or record.status == CycleStatus.WARMUP:
            return
        size = len(record.latent)
        self.size = self.size or size
        if len(self._meta) >= MAX_SLOTS * _META.itemsize or size != self.size:
            self.left_out += 1
            return
        try:
            self._meta += _PACK.pack(record.slot, record.episode, record.stamp_ns)
        except struct.error:
            self.left_out += 1
            return
        self._latents += record.latent[:MAX_ENTRIES].astype('<f4', copy=False).tobytes()
        if record.rollout is not None and record.slot % self.stride == 0:
            self._add_rollout(record, record.rollout)

    def _add_rollout(self, record: CycleRecord, rollout: Singles) -> None:
        if rollout.ndim != 2 or len(rollout) == 0 or rollout.shape[1] != self.size:
            return
        std = record.rollout_std
        spread = _entries(std) if std is not None and std.shape == rollout.shape else None
        found = _Rollout(record.slot, record.episode, len(rollout), _entries(rollout), spread)
        self._rollouts.append(found)
        self._held += _bytes(found)
        while self._held > ROLLOUT_BYTES:
            self.stride *= 2
            self._rollouts = [r for r in self._rollouts if r.slot % self.stride == 0]
            self._held = sum(map(_bytes, self._rollouts))

    def numbers(self, least: int = 1) -> list[int]:
        """Return the numbers of the episodes of which at least so many slots were kept."""
        meta = np.frombuffer(bytes(self._meta), _META)
        found, counts = np.unique(meta['episode'], return_counts=True)
        return [int(n) for n in found[counts >= least]]

    def episode(self, number: int) -> EpisodeTrace:
        """Return what was kept of one episode, in slot order, one a slot."""
        meta = np.frombuffer(bytes(self._meta), _META)
        own = np.flatnonzero(meta['episode'] == number)
        slots, first = np.unique(meta['slot'][own], return_index=True)
        rows = own[first]
        width = min(self.size, MAX_ENTRIES)
        latents = np.frombuffer(bytes(self._latents), '<f4').reshape(-1, width)[rows]
        kept = {r.slot: r for r in self._rollouts if r.episode == number}
        begins = np.flatnonzero(np.isin(slots, list(kept)))
        rollouts = [kept[int(slot)] for slot in slots[begins]]
        return EpisodeTrace(meta['stamp'][rows], slots, latents.astype(np.float32), begins,
                            *_stacked(rollouts, width))


def _entries(values: Singles) -> bytes:
    return values[:, :MAX_ENTRIES].astype('<f4').tobytes()


def _bytes(rollout: _Rollout) -> int:
    return len(rollout.imagined) + len(rollout.spread or b'')


def _stacked(rollouts: list[_Rollout], width: int) -> tuple[Singles, Singles]:
    """Put rollouts of any length into one array each, NaN where there is nothing."""
    longest = max((r.steps for r in rollouts), default=0)
    imagined, spread = np.full((2, len(rollouts), longest, width), np.nan, np.float32)
    for at, rollout in enumerate(rollouts):
        imagined[at, :rollout.steps] = np.frombuffer(rollout.imagined, '<f4').reshape(-1, width)
        if rollout.spread is not None:
            spread[at, :rollout.steps] = np.frombuffer(rollout.spread, '<f4').reshape(-1, width)
    return imagined, spread
