"""The streams a map names, as recorded: log times, header stamps and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.decode import header_stamp_ns
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import Agreement, RobotMap
from wm_eval_ros.errors import BagError
from wm_eval_ros.wire.fields import StreamReader

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

#: fewer messages than this show no rate
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stream of one topic."""

    stream: Stream
    names: tuple[str, ...]
    #: arrival at the recorder [ns, system], ascending, shape (N,)
    log_ns: Times
    #: header stamps [ns]; None for a type without a header, shape (N,)
    stamps_ns: Times | None
    #: shape (N, F)
    values: Floats


Recording = dict[Stream, Recorded]


def held_against(bag: Bag, robot: RobotMap) -> tuple[Agreement, ...]:
    """Return the agreements of the map for which the bag has both topics, with their types."""
    return tuple(pair for pair in robot.agreement if all(
        bag.topics.get(s.topic) == s.type for s in (pair.estimate, pair.reference)))


def read_streams(bag: Bag, streams: Iterable[Stream]) -> Recording:
    """
    Read streams in one pass over the bag.

    :raises BagError: a topic is missing, not readable, or has fewer than two messages
    :raises FieldPathError: a field is not in the messages
    """
    parts = {stream: _Part(StreamReader(stream)) for stream in streams}
    by_topic: dict[str, list[_Part]] = {}
    for stream, part in parts.items():
        by_topic.setdefault(stream.topic, []).append(part)
    stamp_of = {c.topic: header_stamp_ns if bag.decoder.is_stamped(c.type) else None
                for c in bag.connections if c.topic in by_topic}
    times: dict[str, list[int]] = {topic: [] for topic in by_topic}
    stamps: dict[str, list[int]] = {topic: [] for topic in by_topic}
    for message, decoded in bag.decoded(tuple(by_topic)):
        topic = message.topic
        times[topic].append(message.log_ns)
        if (stamp := stamp_of[topic]) is not None:
            stamps[topic].append(stamp(message))
        for part in by_topic[topic]:
            part.add(decoded)
    for topic, found in times.items():
        if len(found) < _LEAST:
            raise BagError(f'{bag.path}: {topic}: {len(found)} messages; nothing to score')
    return {stream: part.done(times[stream.topic], stamps[stream.topic])
            for stream, part in parts.items()}


class _Part:
    """One stream while it is read."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._rows: list[Floats] = []
        self.add: Callable[[object], None] = lambda msg: self._rows.append(reader.read(msg))

    def done(self, log_ns: list[int], stamps_ns: list[int]) -> Recorded:
        stamped = np.array(stamps_ns, dtype=np.int64) if stamps_ns else None
        return Recorded(self._reader.stream, self._reader.names,
                        np.array(log_ns, dtype=np.int64), stamped, np.stack(self._rows))
