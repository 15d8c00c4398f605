"""
How far a dream strays from the world: the same start and commands, in a bag and in the simulator.

The bag of a dream holds what was imagined and every command with its stamp. The simulator begins
at the recorded seed, is given the very commands at the very times, as in `lockstep`, and what it
shows stands beside what was imagined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import BagError, ConfigError, WmEvalError
from wm_eval_ros.metrics.base import missing, Values
from wm_eval_ros.planning.scaling import to_command
from wm_eval_ros.plants.dream import DREAM, world_model
from wm_eval_ros.plants.mujoco_plant import MujocoPlant
from wm_eval_ros.plants.recovery import StateMap
from wm_eval_ros.records import ClockMode, EpisodeEvent, EventKind, MetricValue, TERMINAL
from wm_eval_ros.training.dataset import read_recording, Recording, run_info_of
from wm_eval_ros.training.fidelity_figures import reported, rms

Floats = NDArray[np.float64]

#: figures of a depth, in standard deviations of each feature over the states of the simulator
NAMES = ('imagination_error', 'imagination_persistence')
#: below this many episodes no depth is reported
LEAST_EPISODES = 5


@dataclass(frozen=True)
class Dreamed:
    """One episode at the control period, beside the simulator's under the same commands."""

    #: steps of the model since the start or the last key frame, (T,)
    depth: NDArray[np.int64]
    #: shown by the dream and by the simulator after each slot, in physical units, (T, F) each
    imagined: Floats
    real: Floats
    #: where it began, or the last key frame, (T, F)
    anchor: Floats


def followed(paths: Sequence[Path]) -> tuple[list[Dreamed], list[str]]:
    """Return the episodes of all bags that can be followed, and why the other bags cannot."""
    found: list[Dreamed] = []
    left_out = []
    for path in paths:
        try:
            own = dreamed_episodes(path)
        except WmEvalError as error:
            left_out.append(str(error))
            continue
        found += own
        if not own:
            left_out.append(f'{path}: no episode with a state after its start, and an end')
    return found, left_out


def dreamed_episodes(path: Path) -> list[Dreamed]:
    """
    Put the simulator beside every episode of a bag.

    :raises BagError: no bag of a run of this version, or its times do not say when a command
        took effect: not `lockstep` or `free`, or perturbed; or the model of the dream, which
        knows how long its step takes, is not there
    """
    with open_bag(path) as bag:
        info = run_info_of(bag)
        recording = read_recording(bag)
        events = [r for r in bag.records() if isinstance(r, EpisodeEvent)]
    try:
        scenario = build(Scenario, info.settings, f'{path}: run_info.settings')
    except ConfigError as error:
        raise BagError(str(error)) from None
    if info.clock is ClockMode.REALTIME:
        raise BagError(f'{path}: clock realtime; when a command took effect is exact in lockstep '
                       'and free only')
    if any(e.kind is EventKind.PERTURB_ON for e in events) or recording.commands is None:
        raise BagError(f'{path}: perturbed, or its commands bear no stamps: the simulator cannot '
                       'be given the same')
    step_ns = _step_ns(scenario, recording, path)
    return [found for start, end_ns in _spans(events)
            if (found := _beside(recording, scenario, start, end_ns, step_ns)) is not None]


def _step_ns(scenario: Scenario, recording: Recording, path: Path) -> int:
    """Return the time that one imagined step takes [ns]: of it the period is a multiple."""
    if scenario.plant.kind != DREAM:
        return recording.period_ns
    try:
        return round(world_model(scenario).spec.dt_s * 1e9)
    except WmEvalError as error:
        raise BagError(f'{path}: how long a step of its dream takes is not known: {error}'
                       ) from None


def _spans(events: Sequence[EpisodeEvent]) -> Iterator[tuple[EpisodeEvent, int]]:
    """Yield START and the time of the end [ns, ROS] of every episode that has both."""
    ends = {e.episode: e.stamp_ns for e in events if e.kind in TERMINAL}
    for event in events:
        if event.kind is EventKind.START and event.episode in ends:
            yield event, ends[event.episode]


def _beside(recording: Recording, scenario: Scenario, start: EpisodeEvent, end_ns: int,
            step_ns: int) -> Dreamed | None:
    plant = MujocoPlant(scenario.plant.task, scenario.interface)
    own = StateMap(scenario.plant.task, type(plant.task), plant.model, scenario.interface)
    plant.reset(int(start.value))
    # of each imagined step, not only of those that end a slot: a key frame may lie in between
    shown = [own.features_of(plant.data)[0]]
    imagined = [_recorded(recording, start.stamp_ns)]
    at_ns, per_slot = start.stamp_ns, recording.period_ns // step_ns
    while at_ns + recording.period_ns <= end_ns:
        if (state := _recorded(recording, at_ns + recording.period_ns)) is None:
            break  # nothing is published as an episode ends
        for _ in range(per_slot):
            _advance(plant, recording, scenario, start.stamp_ns, step_ns)
            shown.append(own.features_of(plant.data)[0])
        at_ns += recording.period_ns
        imagined.append(state)
    if len(imagined) < 2 or imagined[0] is None:
        return None
    every = scenario.plant.keyframe_steps
    steps = per_slot * np.arange(1, len(imagined))
    # a key frame itself is not imagined
    depth = steps % every if every else steps
    real = np.stack(shown)
    return Dreamed(depth, np.stack([s for s in imagined if s is not None])[1:], real[steps],
                   real[steps - depth])


def _advance(plant: MujocoPlant, recording: Recording, scenario: Scenario, origin_ns: int,
             duration_ns: int) -> None:
    """Let time pass; a command acts from the first step at or after its stamp on."""
    assert recording.commands is not None
    for _ in range(duration_ns // plant.step_ns):
        now_ns = origin_ns + plant.time_ns
        sent = recording.commands.until(now_ns, max(origin_ns - 1, now_ns - plant.step_ns))
        if sent is not None:
            plant.apply(to_command(sent, scenario.interface.command))
        plant.advance(plant.step_ns)


def _recorded(recording: Recording, stamp_ns: int) -> Floats | None:
    """Return the features published with this stamp; None where one is missing."""
    found = [recording.observations[stream.topic].until(stamp_ns, stamp_ns - 1)
             for stream in recording.interface.observations]
    known = [values for values in found if values is not None]
    return np.concatenate(known) if len(known) == len(found) else None


def error_by_depth(episodes: Sequence[Dreamed]) -> Values:
    """
    Return the error of imagination at depths that five episodes or more reach.

    Of these the first, second, fifth, tenth, ... and the last: where a slot takes several steps
    of the model, or key frames lie between slots, not every depth is seen.

    ``imagination_error``: root mean square, over features and episodes, of imagined less real, in
    standard deviations of the feature. ``imagination_persistence``: the same of the state at the
    start or key frame, as if nothing had moved.

    :raises ConfigError: episodes of different features
    """
    if len(episodes) < LEAST_EPISODES:
        return unknown(f'{len(episodes)} dreamed episodes can be followed; at least '
                       f'{LEAST_EPISODES} must')
    if len(widths := sorted({e.real.shape[1] for e in episodes})) > 1:
        raise ConfigError(f'dreams of {" and ".join(map(str, widths))} features; give those of '
                          'one model')
    depth = np.concatenate([e.depth for e in episodes])
    owner = np.repeat(np.arange(len(episodes)), [len(e.depth) for e in episodes])
    reached = _reached(depth, owner)
    if not reached:
        return unknown('every state that is shown is a key frame: none was imagined')
    real = np.concatenate([e.real for e in episodes])
    scale = np.std(real, axis=0)
    moving = scale > 1e-9
    if not moving.any():
        return unknown('nothing moves in the simulator')
    error, still = (
        np.mean(((np.concatenate(side) - real)[:, moving] / scale[moving]) ** 2, axis=1)
        for side in ([e.imagined for e in episodes], [e.anchor for e in episodes]))
    found: list[MetricValue] = []
    for h in (reached[i - 1] for i in reported(len(reached))):
        at = np.flatnonzero(depth == h)
        found += [rms(f'{NAMES[0]}[h={h}]', '1', error[at], owner[at]),
                  rms(f'{NAMES[1]}[h={h}]', '1', still[at], owner[at])]
    return tuple(found)


def _reached(depth: NDArray[np.int64], owner: NDArray[np.int64]) -> list[int]:
    """Return the depths above 0 that enough episodes reach, in order."""
    pairs = np.unique(np.stack([depth, owner])[:, depth > 0], axis=1)
    depths, counts = np.unique(pairs[0], return_counts=True)
    return [int(h) for h in depths[counts >= LEAST_EPISODES]]


def unknown(why: str) -> Values:
    """Return the figures without a value, and the reason."""
    return tuple(missing(f'{name}[h=1]', '1', why) for name in NAMES)
