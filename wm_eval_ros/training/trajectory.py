"""What models are trained on: episodes at the control period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import hashlib

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Interface


@dataclass(frozen=True)
class Trajectory:
    """
    Consecutive slots of one episode.

    The command of slot t takes effect some latency after the slot begins, and until then the
    command of slot t - 1 is still in force: the features of slot t + 1 follow from all three.
    """

    #: state at the beginning of each slot, in physical units, (T, F)
    features: NDArray[np.float64]
    #: command executed from within each slot on, in [-1, 1], (T, A)
    actions: NDArray[np.float64]
    #: command in force when the first slot began, in [-1, 1], (A,)
    before: NDArray[np.float64]
    #: episode it is a part of, unique within a data set
    episode: int
    #: begin of each slot [ns, ROS], (T,); None where it was not recorded
    stamps: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit."""
        if len(self.features) != len(self.actions) or self.features.ndim != 2:
            msg = f'features {self.features.shape} and actions {self.actions.shape} do not fit'
            raise ValueError(msg)


@dataclass(frozen=True)
class Dataset:
    """Trajectories of one interface and period."""

    interface: Interface
    #: names of the features, in order, (F,)
    feature_names: tuple[str, ...]
    #: control period [s]
    dt_s: float
    trajectories: tuple[Trajectory, ...]
    #: where it came from, for the card: one line each
    sources: tuple[str, ...] = field(default=())

    @property
    def transitions(self) -> int:
        """Number of (slot, next slot) pairs."""
        return sum(max(0, len(t.features) - 1) for t in self.trajectories)

    @property
    def episodes(self) -> int:
        """Number of distinct episodes."""
        return len({t.episode for t in self.trajectories})

    @property
    def sha256(self) -> str:
        """Hash of all that is learnt from: the same bags, in the same order, give it again."""
        found = hashlib.sha256(repr((self.feature_names, self.dt_s)).encode())
        for t in self.trajectories:
            found.update(f'{t.episode} {t.features.shape} {t.actions.shape}\n'.encode())
            for values in (t.features, t.actions, t.before):
                found.update(np.ascontiguousarray(values, np.float64).tobytes())
        return found.hexdigest()


def merge(parts: Sequence[Dataset]) -> Dataset:
    """
    Join data sets of one interface; episodes are numbered anew.

    :raises ValueError: none given, or their features or periods differ
    """
    if not parts:
        raise ValueError('no data set to merge')
    first = parts[0]
    out: list[Trajectory] = []
    for part in parts:
        if (part.feature_names, part.dt_s) != (first.feature_names, first.dt_s):
            raise ValueError('data sets of different features or periods cannot be merged')
        offset = 1 + max((t.episode for t in out), default=-1)
        out += [replace(t, episode=t.episode + offset) for t in part.trajectories]
    return Dataset(first.interface, first.feature_names, first.dt_s, tuple(out),
                   tuple(s for part in parts for s in part.sources))
