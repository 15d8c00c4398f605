"""Windows of consecutive slots, cut from trajectories: what one training example is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.training.trajectory import Trajectory

#: numbers of windows that are looked at together, 200 MB: those of images are large
_MOST_NUMBERS = 50_000_000


@dataclass(frozen=True)
class Windows:
    """All windows of one length, as starts into the joined trajectories."""

    #: joined features of all slots, (S, F), float32
    features: torch.Tensor
    #: command in force at the beginning of each slot, (S, A)
    before: torch.Tensor
    #: command executed from within each slot on, (S, A)
    actions: torch.Tensor
    #: first slot of each window, (N,)
    starts: torch.Tensor
    #: transitions U of each window
    length: int

    def __len__(self) -> int:
        """Return the number N of windows."""
        return len(self.starts)

    def at_most(self, windows: int) -> int:
        """Return how many windows are looked at together: so many, fewer where they are large."""
        # without a window there are no features either
        numbers = (self.length + 1) * max(1, self.features.shape[1])
        return max(1, min(windows, _MOST_NUMBERS // numbers))

    def spread_over(self, windows: int) -> torch.Tensor:
        """Return an index of at most so many windows, as of :meth:`at_most`, evenly spread."""
        count = min(len(self), self.at_most(windows))
        return torch.from_numpy(np.linspace(0, len(self) - 1, count).astype(np.int64))

    def gather(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Return the windows of an index of any shape (...).

        :returns: features (..., U + 1, F), command before (..., A), commands (..., U, A)
        """
        start = self.starts[index]
        slots = start[..., None] + torch.arange(self.length + 1)
        return self.features[slots], self.before[start], self.actions[slots[..., :-1]]


def cut(trajectories: Sequence[Trajectory], length: int) -> Windows:
    """
    Cut all windows of so many transitions.

    :param length: transitions U, >= 1
    """
    usable = [t for t in trajectories if len(t.features) > length]
    starts, offset = [], 0
    for t in usable:
        starts.append(offset + np.arange(len(t.features) - length))
        offset += len(t.features)
    if not usable:
        empty = torch.zeros(0, 0)
        return Windows(empty, empty, empty, torch.zeros(0, dtype=torch.long), length)
    before = [np.concatenate([t.before[None], t.actions[:-1]]) for t in usable]
    return Windows(_tensor([t.features for t in usable]), _tensor(before),
                   _tensor([t.actions for t in usable]),
                   torch.from_numpy(np.concatenate(starts)), length)


def _tensor(parts: Sequence[NDArray[np.float64]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))
