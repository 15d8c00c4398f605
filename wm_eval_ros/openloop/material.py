"""What an evaluation works on: the streams of a bag on one clock, as tracks and grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import Agreement, RobotMap
from wm_eval_ros.openloop.clocks import Clock, clocks_of, times_of
from wm_eval_ros.openloop.grid import Grid, make_grid
from wm_eval_ros.openloop.outcome import Masks, Stretch
from wm_eval_ros.openloop.reasons import among, counts
from wm_eval_ros.openloop.recording import held_against, read_streams, Recording, Times
from wm_eval_ros.openloop.streams import Loss, losses
from wm_eval_ros.openloop.tracks import command_tracks, state_tracks, Track


@dataclass(frozen=True, slots=True)
class Material:
    """What was read of a bag."""

    robot: RobotMap
    recording: Recording
    clocks: dict[str, Clock]
    state: tuple[Track, ...]
    command: tuple[Track, ...]
    #: agreements of the map for which the bag has both topics
    pairs: tuple[Agreement, ...]
    #: first and last log time of all topics read [ns]
    start_ns: int
    end_ns: int

    def tracks(self, stream: Stream) -> list[Track]:
        """Return the features of a state stream or of one that is held against it."""
        return _tracks(self.recording, self.clocks, stream, self.robot)

    def log_times(self) -> dict[str, Times]:
        """Return the log times of every topic read [ns]."""
        return {stream.topic: found.log_ns for stream, found in self.recording.items()}


def read_material(bag: Bag, robot: RobotMap) -> Material:
    """
    Read the streams of a map and put them on one clock.

    :raises BagError: a topic is missing, not readable or empty
    :raises FieldPathError: a field of the map is not in the messages
    """
    pairs = held_against(bag, robot)
    recording = read_streams(bag, dict.fromkeys([
        *robot.interface.observations, robot.interface.command,
        *(stream for pair in pairs for stream in (pair.estimate, pair.reference))]))
    clocks = clocks_of(recording, robot)
    command = recording[robot.interface.command]
    sent = command_tracks(command, times_of(command, clocks[command.stream.topic]), robot)
    logs = [found.log_ns for found in recording.values()]
    return Material(
        robot, recording, clocks,
        tuple(track for stream in robot.interface.observations
              for track in _tracks(recording, clocks, stream, robot)), tuple(sent), pairs,
        min(int(log[0]) for log in logs), max(int(log[-1]) for log in logs))


def _tracks(
    recording: Recording, clocks: dict[str, Clock], stream: Stream, robot: RobotMap,
) -> list[Track]:
    found = recording[stream]
    return list(state_tracks(found, times_of(found, clocks[stream.topic]), robot))


def grids_of(material: Material) -> list[Grid]:
    """
    Put features that are new equally often on one grid; repeats are no samples.

    :raises BagError: state and command do not overlap in time
    """
    period_ns = round(material.robot.period_ms * 1e6)
    groups: dict[int, list[Track]] = {}
    for track in material.state:
        steps = max(1, round(track.fresh_ns / period_ns))
        groups.setdefault(steps * period_ns, []).append(track)
    return [make_grid(group, material.command, material.robot, period)
            for period, group in sorted(groups.items())]


def losses_of(material: Material) -> tuple[Loss, ...]:
    """Return the sensor losses of all state topics, by onset."""
    logs = material.log_times()
    topics = dict.fromkeys(stream.topic for stream in material.robot.interface.observations)
    found = [loss for topic in topics
             for loss in losses(topic, logs[topic], material.end_ns, material.robot.loss_s)]
    return tuple(sorted(found, key=lambda loss: loss.onset_ns))


def masks_of(material: Material) -> Iterator[Masks]:
    """Count what is odd, feature by feature of the state and for the command as a whole."""
    for track in material.state:
        yield Masks(track.topic, track.name, len(track.values), counts(track.codes),
                    material.clocks[track.topic].zero)
    first = material.command[0]
    yield Masks(first.topic, '', len(first.values), counts(first.codes),
                material.clocks[first.topic].zero)


def stretches_of(grid: Grid) -> Iterator[Stretch]:
    """Yield where the state, the truth or the command is masked, by reason."""
    codes = grid.state_codes | grid.truth_codes | grid.command_codes
    times = grid.times_ns
    for reason in counts(codes):
        held = np.concatenate([[False], among(codes, reason) != 0, [False]])
        edges = np.flatnonzero(np.diff(held.astype(np.int8)))
        for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
            yield Stretch(reason, int(times[first]), int(times[last]) + grid.period_ns)
