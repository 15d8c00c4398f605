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
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.metrics.base import missing, Values
from wm_eval_ros.planning.scaling import to_command
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

    #: number of imagined steps since the start or the last key frame, (T,)
    depth: NDArray[np.int64]
    #: shown by the dream and by the simulator after each step, in physical units, (T, F) each
    imagined: Floats
    real: Floats
    #: where it began, or the last key frame, (T, F)
    anchor: Floats


def dreamed_episodes(path: Path) -> list[Dreamed]:
    """
    Put the simulator beside every episode of a bag.

    :raises BagError: no bag of a run of this version, or its times do not say when a command
        took effect: not `lockstep` or `free`, or perturbed
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
    return [found for start, end_ns in _spans(events)
            if (found := _beside(recording, scenario, start, end_ns)) is not None]


def _spans(events: Sequence[EpisodeEvent]) -> Iterator[tuple[EpisodeEvent, int]]:
    """Yield START and the time of the end [ns, ROS] of every episode that has both."""
    ends = {e.episode: e.stamp_ns for e in events if e.kind in TERMINAL}
    for event in events:
        if event.kind is EventKind.START and event.episode in ends:
            yield event, ends[event.episode]


def _beside(recording: Recording, scenario: Scenario, start: EpisodeEvent, end_ns: int
            ) -> Dreamed | None:
    plant = MujocoPlant(scenario.plant.task, scenario.interface)
    own = StateMap(scenario.plant.task, type(plant.task), plant.model, scenario.interface)
    plant.reset(int(start.value))
    shown = [own.features_of(plant.data)[0]]
    imagined = [_recorded(recording, start.stamp_ns)]
    at_ns = start.stamp_ns
    while at_ns + recording.period_ns <= end_ns:
        if (state := _recorded(recording, at_ns + recording.period_ns)) is None:
            break  # nothing is published as an episode ends
        _slot(plant, recording, scenario, start.stamp_ns)
        at_ns += recording.period_ns
        shown.append(own.features_of(plant.data)[0])
        imagined.append(state)
    if len(shown) < 2 or imagined[0] is None:
        return None
    every = scenario.plant.keyframe_steps
    steps = np.arange(1, len(shown))
    # a key frame itself is not imagined
    depth = steps if not every else steps % every
    real = np.stack(shown)
    last = steps - depth if every else np.zeros_like(steps)
    return Dreamed(depth, np.stack([s for s in imagined if s is not None])[1:], real[1:],
                   real[last])


def _slot(plant: MujocoPlant, recording: Recording, scenario: Scenario, origin_ns: int) -> None:
    """Advance one period; a command acts from the first step at or after its stamp on."""
    assert recording.commands is not None
    for _ in range(recording.period_ns // plant.step_ns):
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
    Return the error of imagination at each reported depth that five episodes or more reach.

    ``imagination_error``: root mean square, over features and episodes, of imagined less real, in
    standard deviations of the feature. ``imagination_persistence``: the same of the state at the
    start or key frame, as if nothing had moved.
    """
    if len(episodes) < LEAST_EPISODES:
        why = f'{len(episodes)} dreamed episodes can be followed; at least {LEAST_EPISODES} must'
        return tuple(missing(f'{name}[h=1]', '1', why) for name in NAMES)
    real = np.concatenate([e.real for e in episodes])
    scale = np.std(real, axis=0)
    moving = scale > 1e-9
    depth = np.concatenate([e.depth for e in episodes])
    owner = np.repeat(np.arange(len(episodes)), [len(e.depth) for e in episodes])
    error, still = (
        np.mean(((np.concatenate(side) - real)[:, moving] / scale[moving]) ** 2, axis=1)
        for side in ([e.imagined for e in episodes], [e.anchor for e in episodes]))
    found: list[MetricValue] = []
    for h in reported(int(depth.max())):
        at = np.flatnonzero(depth == h)
        if len(np.unique(owner[at])) < LEAST_EPISODES:
            continue
        found += [rms(f'{NAMES[0]}[h={h}]', '1', error[at], owner[at]),
                  rms(f'{NAMES[1]}[h={h}]', '1', still[at], owner[at])]
    return tuple(found)
