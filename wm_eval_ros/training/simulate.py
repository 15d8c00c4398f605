"""
The closed loop in one process: a plant, a planner, and a latency drawn for each slot.

For collecting data fast, tuning and learning curves; a result that counts comes from a run of the
nodes. The command of a slot takes effect its latency after the slot begins, as on the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.models.in_force import command_at_rest
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.protocol import Planner
from wm_eval_ros.planning.scaling import to_command
from wm_eval_ros.plants.episode import EpisodeJudge
from wm_eval_ros.plants.protocol import Plant
from wm_eval_ros.records import EventKind, JointSample, PoseSample, Sample
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.wire.fields import StreamReader

#: a deadline that never comes: the search always runs all its iterations
NO_DEADLINE_NS = sys.maxsize


@dataclass(frozen=True)
class Timing:
    """When things happen in a slot."""

    #: control period [ns]
    period_ns: int = 50_000_000
    #: shortest and longest time from a slot's begin to its command's effect [ns], drawn uniformly
    latency_ns: tuple[int, int] = (5_000_000, 40_000_000)
    #: oldest observation a slot may begin with [ns]: its age is drawn from 0 to this
    age_ns: int = 0
    #: task time after which an episode ends [ns]
    limit_ns: int = 3_000_000_000


@dataclass(frozen=True)
class Outcome:
    """One simulated episode."""

    seed: int
    kind: EventKind
    trajectory: Trajectory
    #: duration of each planner call [ns, steady], (T,)
    plan_ns: tuple[int, ...]
    #: candidates whose rollout was not finite, over the episode
    nonfinite: int = 0


class Observer:
    """Reads features and goal out of a plant as the planner node reads them out of messages."""

    def __init__(self, interface: Interface) -> None:
        self._readers = [StreamReader(stream) for stream in interface.observations]
        self._unseen = [StreamReader(stream) for stream in interface.unseen]
        self._images = interface.images
        self._goal = None if interface.goal is None else StreamReader(interface.goal)
        self._seen = Columns.of(interface).seen

    def row(self, plant: Plant) -> NDArray[Any]:
        """Return everything that is recorded of a moment, (F,); see :class:`.Columns`."""
        samples = plant.observe()
        parts: list[NDArray[Any]] = [self._numbers(self._readers, samples)]
        for image in self._images:
            pixels = plant.render(image.width, image.height).pixels
            parts.append(pixels.reshape(-1) * np.float32(1 / 255))
        parts.append(self._numbers(self._unseen, samples))
        # an image takes 12288 numbers a slot: half the memory is half the data set
        return np.concatenate(parts, dtype=np.float32 if self._images else np.float64)

    def seen(self, row: NDArray[Any]) -> NDArray[Any]:
        """Return what a model sees of it."""
        return row[:self._seen]

    def _numbers(self, readers: Sequence[StreamReader],
                 samples: Mapping[str, Sample]) -> NDArray[np.float64]:
        return np.concatenate([np.zeros(0), *(r.read(_message(samples[r.stream.topic]))
                                              for r in readers)])

    def goal(self, sample: Sample | None) -> torch.Tensor:
        """Return the goal vector, (G,)."""
        if self._goal is None or sample is None:
            return torch.zeros(0)
        return torch.as_tensor(self._goal.read(_message(sample)), dtype=torch.float32)


def rollout_episodes(
    plant: Plant,
    planner: Planner,
    interface: Interface,
    seeds: Sequence[int],
    *,
    model: WorldModel | None = None,
    timing: Timing | None = None,
    stop_on_success: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Outcome]:
    """
    Run episodes closed loop.

    :param seeds: one episode each: of start, goal, planner and latencies
    :param model: encodes the state for the planner; None: it is given the observation
    :param stop_on_success: False goes on to the time limit, for data of the goal's surroundings
    """
    loop = _Loop(plant, planner, interface, model, timing or Timing(), stop_on_success)
    outcomes: list[Outcome] = []
    for i, seed in enumerate(seeds):
        outcomes.append(loop.episode(seed, i))
        if progress is not None:
            won = sum(o.kind is EventKind.SUCCESS for o in outcomes)
            progress(i + 1, len(seeds), f'{won} solved')
    return outcomes


def to_dataset(
    outcomes: Sequence[Outcome], interface: Interface, timing: Timing, source: str
) -> Dataset:
    """Make the data set that the bags of these episodes would give."""
    return Dataset(interface, Columns.of(interface).names, timing.period_ns * 1e-9,
                   tuple(o.trajectory for o in outcomes), (source,))


class _Loop:
    """Everything that stays the same from episode to episode."""

    def __init__(
        self, plant: Plant, planner: Planner, interface: Interface, model: WorldModel | None,
        timing: Timing, stop: bool,
    ) -> None:
        self._plant, self._planner, self._model = plant, planner, model
        self._timing, self._stop, self._command = timing, stop, interface.command
        self._observer = Observer(interface)
        self._rest = command_at_rest(interface.command)
        self._latent: torch.Tensor | None = None

    def episode(self, seed: int, number: int) -> Outcome:
        """Run one episode."""
        rng = np.random.default_rng([seed, 1])
        self._plant.reset(seed)
        self._planner.reset(seed)
        self._plant.apply(to_command(self._rest, self._command))
        self._judge = EpisodeJudge(self._plant, self._timing.limit_ns * 1e-9)
        self._judge.begin()
        self._kind: EventKind | None = None
        goal = self._observer.goal(self._plant.goal())
        rows: list[NDArray[np.float64]] = []
        actions: list[torch.Tensor] = []
        spent: list[int] = []
        nonfinite, action = 0, self._rest
        while not self._over():
            age, latency = self._draw(rng)
            features = self._observer.row(self._plant)
            self._advance(age)
            latent = self._encode(self._observer.seen(features), action, not rows)
            begun = time.perf_counter_ns()
            plan = self._planner.plan(latent, goal, NO_DEADLINE_NS)
            spent.append(time.perf_counter_ns() - begun)
            nonfinite += plan.nonfinite
            action = plan.actions[0]
            rows.append(features)
            actions.append(action)
            self._advance(latency)
            self._plant.apply(to_command(action, self._command))
            self._advance(self._timing.period_ns - age - latency)
        # The state after the last command belongs to it.
        rows.append(self._observer.row(self._plant))
        actions.append(action)
        return Outcome(seed, self._kind or EventKind.TIMEOUT, Trajectory(
            np.stack(rows), torch.stack(actions).double().numpy(),
            self._rest.double().numpy(), number), tuple(spent), nonfinite)

    def _encode(self, features: NDArray[np.float64], action: torch.Tensor, first: bool) -> Any:
        obs = torch.as_tensor(features, dtype=torch.float32)[None]
        if self._model is None:
            return obs[0]
        before = None if first else self._latent
        self._latent = self._model.encode(obs, before, action[None], torch.tensor([first]))
        return self._latent[0]

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return age and latency of a slot, on the plant's grid, within the period."""
        step, timing = self._plant.step_ns, self._timing
        age = int(rng.integers(0, timing.age_ns // step + 1)) * step
        low, high = (v // step for v in timing.latency_ns)
        latency = int(rng.integers(low, high + 1)) * step
        return age, min(latency, timing.period_ns - age)

    def _advance(self, duration_ns: int) -> None:
        """Let time pass and ask the judge after every step, until the episode is over."""
        for _ in range(duration_ns // self._plant.step_ns):
            if self._over():
                return
            self._plant.advance(self._plant.step_ns)
            verdict = self._judge.verdict()
            if verdict is not None and (self._kind is None):
                self._kind = verdict[0]

    def _over(self) -> bool:
        if self._kind is EventKind.SUCCESS and not self._stop:
            return bool(self._plant.time_ns >= self._timing.limit_ns)
        return self._kind is not None


def _message(sample: Sample) -> Any:
    """Return something with the fields of the standard message that holds this sample."""
    if isinstance(sample, JointSample):
        return SimpleNamespace(name=list(sample.names), position=sample.position,
                               velocity=sample.velocity, effort=sample.effort)
    if isinstance(sample, PoseSample):
        x, y, z = sample.position.tolist()
        qx, qy, qz, qw = sample.orientation.tolist()
        return SimpleNamespace(pose=SimpleNamespace(
            position=SimpleNamespace(x=x, y=y, z=z),
            orientation=SimpleNamespace(x=qx, y=qy, z=qz, w=qw)))
    raise TypeError(f'no features are read from {type(sample).__name__}')
