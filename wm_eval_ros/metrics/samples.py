"""Payload messages that passed by, kept as bare numbers per topic."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Ints
from wm_eval_ros.records import NO_SEQUENCE, SampleRecord

Sequences = NDArray[np.uint64]


@dataclass(slots=True)
class Stream:
    """What is kept of one topic: 24 bytes a message."""

    count: int = 0
    #: header stamps [ns, ROS] and the arrivals that go with them [ns, system]
    stamps: array[int] = field(default_factory=lambda: array('q'))
    logs: array[int] = field(default_factory=lambda: array('q'))
    sequences: array[int] = field(default_factory=lambda: array('Q'))

    def add(self, record: SampleRecord) -> None:
        """Take one message in."""
        self.count += 1
        if record.stamp_ns is not None:
            self.stamps.append(record.stamp_ns)
            self.logs.append(record.log_ns)
        if record.sequence != NO_SEQUENCE:
            self.sequences.append(record.sequence)

    def extend(self, stamps: Ints | None, logs: Ints, sequences: Sequences | None) -> None:
        """Take many messages in, with the result of taking them one by one."""
        self.count += len(logs)
        if stamps is not None:
            self.stamps.frombytes(np.ascontiguousarray(stamps, np.int64).tobytes())
            self.logs.frombytes(np.ascontiguousarray(logs, np.int64).tobytes())
        if sequences is not None:
            known = np.asarray(sequences, np.uint64)
            self.sequences.frombytes(known[known != np.uint64(NO_SEQUENCE)].tobytes())

    def arrivals(self) -> tuple[Ints, Ints]:
        """Return logs and stamps in order of arrival, both [ns], shape (N,)."""
        logs, stamps = np.array(self.logs, np.int64), np.array(self.stamps, np.int64)
        ranks = np.lexsort((stamps, logs))
        return logs[ranks], stamps[ranks]

    def known(self) -> Sequences:
        """Return the sequence numbers that were seen, ascending, each once."""
        return np.unique(np.array(self.sequences, np.uint64))


class SampleLog:
    """A stream per topic."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def stream(self, topic: str) -> Stream:
        """Return the topic's stream, made at its first message."""
        found = self.streams.get(topic)
        if found is None:
            found = self.streams[topic] = Stream()
        return found
