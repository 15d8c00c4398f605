"""Latents kept for plotting; no figure is made from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import CycleRecord, CycleStatus, Record

Singles = NDArray[np.float32]

#: slots kept; later ones are counted and not drawn
MAX_SLOTS = 40_000


@dataclass(frozen=True)
class EpisodeTrace:
    """Encoded and foreseen latents of one episode."""

    #: [ns, ROS], shape (N,)
    stamps: NDArray[np.int64]
    #: encoded in each slot, shape (N, D)
    observed: Singles
    #: foreseen one slot earlier, NaN where that slot imagined nothing, shape (N, D)
    predicted: Singles


@dataclass
class TraceCollector:
    """Fold that keeps each slot's latent and what the slot foresaw for the next."""

    left_out: int = 0
    _meta: list[tuple[int, int, int]] = field(default_factory=list)
    _latents: list[Singles] = field(default_factory=list)
    _foreseen: list[Singles] = field(default_factory=list)

    def update(self, record: Record) -> None:
        """Take one record in; only cycles with a latent are kept."""
        if not isinstance(record, CycleRecord) or record.latent is None \
                or record.status == CycleStatus.WARMUP:
            return
        if len(self._meta) >= MAX_SLOTS or (
                self._latents and len(self._latents[0]) != len(record.latent)):
            self.left_out += 1
            return
        self._meta.append((record.slot, record.episode, record.stamp_ns))
        self._latents.append(np.array(record.latent, np.float32))
        self._foreseen.append(_first_row(record, len(record.latent)))

    def episodes(self) -> dict[int, EpisodeTrace]:
        """Return what was kept by episode, in slot order."""
        ranks = sorted(range(len(self._meta)), key=self._meta.__getitem__)
        numbers = sorted({meta[1] for meta in self._meta})
        return {n: self._episode([r for r in ranks if self._meta[r][1] == n]) for n in numbers}

    def _episode(self, ranks: list[int]) -> EpisodeTrace:
        slots = [self._meta[r][0] for r in ranks]
        blank = np.full_like(self._latents[0], np.nan)
        predicted = [blank] + [
            self._foreseen[before] if slots[at + 1] - slots[at] == 1 else blank
            for at, before in enumerate(ranks[:-1])]
        return EpisodeTrace(np.array([self._meta[r][2] for r in ranks], np.int64),
                            np.stack([self._latents[r] for r in ranks]), np.stack(predicted))


def _first_row(cycle: CycleRecord, size: int) -> Singles:
    rollout = cycle.rollout
    if rollout is None or rollout.ndim != 2 or len(rollout) == 0 or rollout.shape[1] != size:
        return np.full(size, np.nan, np.float32)
    return np.array(rollout[0], np.float32)
