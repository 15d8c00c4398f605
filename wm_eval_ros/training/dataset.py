"""Bags to trajectories: one state and one executed command per slot of the planner's schedule."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.config.interface import ImageStream, Interface, Stream
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import BagError, ConfigError, FieldPathError
from wm_eval_ros.planning.scaling import to_unit
from wm_eval_ros.records import CycleRecord, CycleStatus, RunInfo
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.distinct import require_different_contents, require_different_places
from wm_eval_ros.training.mined import is_mined, read_mined
from wm_eval_ros.training.trajectory import Dataset, merge, Trajectory
from wm_eval_ros.wire.codec import cycle_from_msg, CYCLE_TYPE, run_info_from_json, stamp_ns
from wm_eval_ros.wire.fields import StreamReader
from wm_eval_ros.wire.pixels import PixelReader
from wm_eval_ros.wire.topics import perturbed, proposed, RUN_INFO, unperturbed

#: two slots are consecutive when their distance is the period within this share of it
PERIOD_TOLERANCE = 0.2


@dataclass
class Series:
    """Vectors of one topic by header stamp, in order of stamp."""

    stamps: list[int] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)

    def add(self, stamp: int, value: NDArray[Any]) -> None:
        """Insert a vector; of two with one stamp the later stays."""
        if not self.stamps or stamp > self.stamps[-1]:
            self.stamps.append(stamp)
            self.values.append(value)
            return
        at = bisect_left(self.stamps, stamp)
        if self.stamps[at] == stamp:
            self.values[at] = value
        else:
            self.stamps.insert(at, stamp)
            self.values.insert(at, value)

    def until(self, stamp: int, after: int) -> NDArray[Any] | None:
        """Return the newest vector with ``after < its stamp <= stamp``."""
        at = bisect_right(self.stamps, stamp) - 1
        return self.values[at] if at >= 0 and self.stamps[at] > after else None


@dataclass
class Recording:
    """What a bag says about its slots."""

    interface: Interface
    period_ns: int
    cycles: list[CycleRecord]
    #: by topic of the interface
    observations: dict[str, Series]
    #: what reached the plant; None where the command type carries no stamp
    commands: Series | None
    #: goal vectors; None where the goal is fixed or was not recorded with stamps
    goals: Series | None = None


def load_dataset(paths: Sequence[Path]) -> Dataset:
    """
    Read the training data of one or more bags of runs, or folders that `wm-eval mine` wrote.

    :raises BagError: no bag of a run, no usable slot, bags of different interfaces, or one of them
        twice
    """
    if not paths:
        raise BagError('no bag given; `wm-eval collect` records some')
    require_different_places(paths)
    parts = [read_mined(path) if is_mined(path) else _of_bag(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.interface != parts[0].interface or part.dt_s != parts[0].dt_s:
            raise BagError(f'{path}: another interface or period than {paths[0]}; '
                           'train on bags of one scenario')
    require_different_contents(paths, [part.sha256 for part in parts])
    return merge(parts)


def _of_bag(path: Path) -> Dataset:
    with open_bag(path) as bag:
        return dataset_of(read_recording(bag), path)


def dataset_of(recording: Recording, path: Path) -> Dataset:
    """
    Return the data set of one bag.

    :param path: of the bag, for its name and for errors
    :raises BagError: no two consecutive slots with state and command
    """
    interface = recording.interface
    found = Dataset(
        interface, Columns.of(interface).names, recording.period_ns * 1e-9,
        tuple(trajectories(recording)), (path.name,))
    if not found.transitions:
        raise BagError(f'{path}: {len(recording.cycles)} slots, no two consecutive ones with '
                       'state and command; `wm-eval score` says what is missing')
    return found


def read_recording(bag: Bag) -> Recording:
    """
    Read slots, observations and commands of a run.

    :raises BagError: the bag holds no run info or no planner cycles, or a topic is missing or
        holds no message that can be read
    """
    info = run_info_of(bag)
    interface = _interface(bag, info)
    readers: dict[str, StreamReader | PixelReader] = {
        _heard(bag, s): StreamReader(s) for s in interface.observations}
    readers |= {_heard(bag, s): PixelReader(s) for s in interface.images}
    readers |= {_topic(bag, s): StreamReader(s) for s in interface.unseen}
    command_topic = _topic(bag, interface.command)
    command = StreamReader(interface.command)
    observations = {r.stream.topic: Series() for r in readers.values()}
    commands = Series() if bag.decoder.is_stamped(bag.topics[command_topic]) else None
    goals = _goal_readers(bag, interface)
    cycles: list[CycleRecord] = []
    unread: dict[str, FieldPathError] = {}
    for raw, msg in bag.decoded([*readers, command_topic, *goals, *_of_type(bag, CYCLE_TYPE)]):
        if raw.topic in goals:
            goal, series = goals[raw.topic]
            series.add(_stamp(msg, raw.topic, bag), goal.read(msg))
        elif raw.topic in readers:
            reader = readers[raw.topic]
            try:
                value = reader.read(msg)
            except FieldPathError as error:
                # a truncated image, a shortened list: the planner could not read it either
                unread.setdefault(reader.stream.topic, error)
                continue
            observations[reader.stream.topic].add(_stamp(msg, raw.topic, bag), value)
        elif raw.topic == command_topic:
            if commands is not None:
                commands.add(stamp_ns(msg.header.stamp),
                             to_unit(command.read(msg), interface.command))
        else:
            cycles.append(cycle_from_msg(msg))
    for topic, why in unread.items():
        if not observations[topic].stamps:
            raise BagError(f'{bag.path}: {why}')
    return Recording(interface, info.period_ns, cycles, observations, commands,
                     next((series for _, series in goals.values()), None))


def require_states(recording: Recording, path: Path) -> None:
    """
    Refuse a recording of which a model is to be asked by features and not by images.

    :raises BagError: its model sees images
    """
    if recording.interface.images:
        raise BagError(f'{path}: the model of this run sees images; only models of states are '
                       'asked again or mined for')


def trajectories(recording: Recording) -> Iterator[Trajectory]:
    """
    Cut the slots of a recording into gapless pieces of episodes.

    The state of a slot is made of the inputs its cycle names; of the newest samples before it
    where the cycle names none (a skipped slot). Its command is the last one stamped within the
    slot; without one the command before stays in force, as it did in the world.
    """
    for episode in sorted({c.episode for c in recording.cycles}):
        cycles = sorted((c for c in recording.cycles
                         if c.episode == episode and c.status != CycleStatus.WARMUP),
                        key=lambda c: c.slot)
        yield from _pieces(recording, cycles)


def _pieces(recording: Recording, cycles: Sequence[CycleRecord]) -> Iterator[Trajectory]:
    command = recording.interface.command
    force = to_unit(np.zeros(len(command.fields)), command)
    piece = _Piece(force)
    last_ns: int | None = None
    for cycle in cycles:
        state = _state(recording, cycle)
        period = recording.period_ns
        gap = last_ns is not None and (
            abs(cycle.stamp_ns - last_ns - period) > PERIOD_TOLERANCE * period)
        if piece.rows and (gap or state is None):
            yield piece.trajectory(cycle.episode)
            piece = _Piece(force)
        sent = _command(recording, cycle)
        if not piece.rows:
            piece.before = force
        force = force if sent is None or not np.isfinite(sent).all() else sent
        if state is not None:
            piece.rows.append(state)
            piece.actions.append(force)
            piece.stamps.append(cycle.stamp_ns)
        last_ns = cycle.stamp_ns
    if piece.rows:
        yield piece.trajectory(cycles[0].episode)


class _Piece:
    """Slots without a gap, while they are gathered."""

    def __init__(self, before: NDArray[np.float64]) -> None:
        self.before = before
        self.rows: list[NDArray[np.float64]] = []
        self.actions: list[NDArray[np.float64]] = []
        self.stamps: list[int] = []

    def trajectory(self, episode: int) -> Trajectory:
        return Trajectory(np.stack(self.rows), np.stack(self.actions), self.before, episode,
                          np.array(self.stamps, np.int64))


def _state(recording: Recording, cycle: CycleRecord) -> NDArray[Any] | None:
    """Return the features at the slot's begin, None where one is missing or not finite."""
    used = {ref.topic.lstrip('/'): ref.stamp_ns for ref in cycle.inputs}
    parts = []
    for topic, series in recording.observations.items():
        stamp = _match(used, topic)
        value = (series.until(cycle.stamp_ns, cycle.stamp_ns - recording.period_ns)
                 if stamp is None else series.until(stamp, stamp - 1))
        if value is None or not np.isfinite(value).all():
            return None
        parts.append(value)
    # an image takes 12288 numbers a slot: half the memory is half the data set
    images = bool(recording.interface.images)
    return np.concatenate(parts, dtype=np.float32 if images else np.float64)


def _command(recording: Recording, cycle: CycleRecord) -> NDArray[np.float64] | None:
    """Return the last command that reached the plant within the slot, None without one."""
    if recording.commands is not None:
        return recording.commands.until(cycle.stamp_ns + recording.period_ns - 1,
                                        cycle.stamp_ns - 1)
    if cycle.command_stamp_ns is None or not cycle.action:
        return None
    return to_unit(cycle.action, recording.interface.command)


def _match(stamps: dict[str, int], topic: str) -> int | None:
    name = topic.lstrip('/')
    found = [s for t, s in stamps.items() if t == name or t.endswith(f'/{name}')]
    return found[0] if found else None


def run_info_of(bag: Bag) -> RunInfo:
    """
    Return the manifest of a run.

    :raises BagError: the bag holds none
    """
    topics = [t for t in bag.topics if t.rpartition('/')[2] == RUN_INFO]
    for _, msg in bag.decoded(topics):
        return run_info_from_json(msg.data)
    raise BagError(f'{bag.path}: no {RUN_INFO}, so it is not the bag of a run; `wm-eval openloop` '
                   'trains on recordings of robots')


def _interface(bag: Bag, info: RunInfo) -> Interface:
    try:
        return build(Interface, info.settings.get('interface'),
                     f'{bag.path}: {RUN_INFO}.interface')
    except ConfigError as error:
        raise BagError(str(error)) from None


def _topic(bag: Bag, stream: Stream | ImageStream) -> str:
    """Return the bag's name of a stream's topic: itself, or within a namespace."""
    name = stream.topic.lstrip('/')
    found = [t for t in bag.topics if t.lstrip('/') == name] or [
        t for t in bag.topics if t.endswith(f'/{name}')
        and not t.endswith((proposed(name), perturbed(name), unperturbed(name)))]
    if not found:
        have = ', '.join(sorted(bag.topics)) or 'nothing'
        raise BagError(f'{bag.path}: no topic {stream.topic}; it holds {have}')
    return found[0]


def _heard(bag: Bag, stream: Stream | ImageStream) -> str:
    """Return the topic the planner heard an observation on: a relay's, if there was one."""
    relayed = perturbed(stream.topic)
    found = [t for t in bag.topics if t.lstrip('/') == relayed or t.endswith(f'/{relayed}')]
    return found[0] if found else _topic(bag, stream)


def _goal_readers(bag: Bag, interface: Interface) -> dict[str, tuple[StreamReader, Series]]:
    """Return what reads the goal, by its topic in the bag; nothing where it cannot be joined."""
    if interface.goal is None:
        return {}
    try:
        topic = _topic(bag, interface.goal)
    except BagError:
        return {}
    if topic in bag.unreadable or not bag.decoder.is_stamped(bag.topics[topic]):
        return {}
    return {topic: (StreamReader(interface.goal), Series())}


def _of_type(bag: Bag, type_name: str) -> Iterable[str]:
    found = [t for t, kind in bag.topics.items() if kind == type_name]
    if not found:
        raise BagError(f'{bag.path}: no {type_name}, so no slots to learn from; '
                       '`wm-eval collect` records them')
    return found


def _stamp(msg: Any, topic: str, bag: Bag) -> int:
    try:
        return stamp_ns(msg.header.stamp)
    except AttributeError:
        raise BagError(f'{bag.path}: {topic} carries no stamp; slots and states cannot be '
                       'joined') from None
