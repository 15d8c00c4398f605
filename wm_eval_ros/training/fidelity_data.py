"""What a recorded run offers for asking its model again: states, commands, goals, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.records import CycleRecord, RunInfo
from wm_eval_ros.training.dataset import (
    read_recording,
    Recording,
    require_states,
    run_info_of,
    trajectories,
)
from wm_eval_ros.training.trajectory import Trajectory
from wm_eval_ros.wire.fields import joined_names

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """A run as a model can be asked about it."""

    info: RunInfo
    scenario: Scenario
    #: names of the features, (F,)
    names: tuple[str, ...]
    trajectories: tuple[Trajectory, ...]
    #: goal in force at each slot, one array (T, G) a trajectory; None where it is not known
    goals: tuple[Floats | None, ...]
    #: median time from the begin of a slot to the stamp of the command that begins to act in it
    #: [ns, ROS]; None without commands
    latency_ns: int | None

    @property
    def episodes(self) -> int:
        """Number of episodes with usable slots."""
        return len({t.episode for t in self.trajectories})


def read_evidence(path: Path) -> Evidence:
    """
    Read what a bag offers.

    :raises BagError: no bag of a run, its manifest does not describe a scenario of this version,
        or no two consecutive slots with state and command
    """
    with open_bag(path) as bag:
        info = run_info_of(bag)
        recording = read_recording(bag)
    require_states(recording, path)
    try:
        scenario = build(Scenario, info.settings, f'{path}: run_info.settings')
    except ConfigError as error:
        raise BagError(f'{error}; the run was recorded by another version '
                       f'({info.package_version})') from None
    found = tuple(t for t in trajectories(recording) if len(t.features) > 1)
    if not found:
        raise BagError(f'{path}: {len(recording.cycles)} slots, no two consecutive ones with '
                       'state and command: nothing to ask a model about')
    names = joined_names(recording.interface.observations)
    return Evidence(info, scenario, names, found, tuple(_goals(recording, t) for t in found),
                    _latency_ns(recording.cycles))


def _goals(recording: Recording, trajectory: Trajectory) -> Floats | None:
    """Return the goal at each slot, (T, G); (T, 0) where it is fixed, None where it is unknown."""
    if recording.interface.goal is None:
        return np.zeros((len(trajectory.features), 0))
    if recording.goals is None or trajectory.stamps is None:
        return None
    found = [recording.goals.until(int(stamp), -1) for stamp in trajectory.stamps]
    known = [goal for goal in found if goal is not None]
    return np.stack(known) if len(known) == len(found) else None


def _latency_ns(cycles: Sequence[CycleRecord]) -> int | None:
    found = [(c.command_stamp_ns - c.stamp_ns) % c.period_ns for c in cycles
             if c.command_stamp_ns is not None and c.period_ns > 0]
    return round(float(np.median(found))) if found else None


@dataclass(frozen=True)
class Windows:
    """Recorded states, what was commanded from each on, and what came of it."""

    #: encoded state, (N, D), float32
    latents: torch.Tensor
    #: state and what followed, in physical units, (N, H + 1, F); NaN after the record's end
    features: Floats
    #: command in force at the state, in [-1, 1], (N, A)
    before: Floats
    #: commands executed, in [-1, 1], (N, H, A); the last one held after the record's end
    actions: Floats
    #: episode of each window, (N,)
    episodes: Ints
    #: goal in force at the state, (N, G); None where it is not known
    goals: Floats | None

    def __len__(self) -> int:
        """Return N."""
        return len(self.episodes)

    def take(self, index: Ints) -> Windows:
        """Return some of the windows."""
        return Windows(self.latents[torch.from_numpy(index)], self.features[index],
                       self.before[index], self.actions[index], self.episodes[index],
                       None if self.goals is None else self.goals[index])

    def spread_over(self, most: int) -> Windows:
        """Return at most so many windows, evenly spread over all."""
        if len(self) <= most:
            return self
        return self.take(np.unique(np.linspace(0, len(self) - 1, most).astype(np.int64)))


@torch.inference_mode()
def encode_all(model: WorldModel, trajectory: Trajectory) -> torch.Tensor:
    """
    Encode a trajectory step by step, as the planner did, (T, D).

    A trajectory that begins within an episode is encoded without what came before.
    """
    features = torch.as_tensor(trajectory.features, dtype=torch.float32)
    before = torch.as_tensor(np.vstack([trajectory.before[None], trajectory.actions[:-1]]),
                             dtype=torch.float32)
    found: list[torch.Tensor] = []
    never = torch.tensor([False])
    for obs, action in zip(features, before, strict=True):
        previous = found[-1] if found else None
        found.append(model.encode(obs[None], previous, action[None], never))
    return torch.cat(found)


def windows(evidence: Evidence, model: WorldModel, horizon: int) -> Windows:
    """
    Return a window from every slot that has a next one.

    :param horizon: steps H, >= 1; windows near the end of an episode are filled up
    """
    parts = [_windows_of(t, goal, encode_all(model, t), horizon)
             for t, goal in zip(evidence.trajectories, evidence.goals, strict=True)]
    goals = [p.goals for p in parts if p.goals is not None]
    return Windows(
        torch.cat([p.latents for p in parts]), np.concatenate([p.features for p in parts]),
        np.concatenate([p.before for p in parts]), np.concatenate([p.actions for p in parts]),
        np.concatenate([p.episodes for p in parts]),
        np.concatenate(goals) if len(goals) == len(parts) else None)


def _windows_of(
    t: Trajectory, goal: Floats | None, latents: torch.Tensor, horizon: int
) -> Windows:
    count = len(t.features) - 1
    slots = np.arange(count)[:, None] + np.arange(horizon + 1)
    features = t.features[np.minimum(slots, count)]
    features[slots > count] = np.nan
    before = np.vstack([t.before[None], t.actions[:-1]])[:count]
    return Windows(latents[:count], features, before, t.actions[np.minimum(slots[:, :-1], count)],
                   np.full(count, t.episode, np.int64), None if goal is None else goal[:count])
