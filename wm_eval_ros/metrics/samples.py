"""Payload messages that passed by, kept as what figures need of them."""

from __future__ import annotations

from array import array

import numpy as np

from wm_eval_ros.metrics.base import Ints
from wm_eval_ros.metrics.ranges import RangeSet, Sequences
from wm_eval_ros.records import SampleRecord

#: span over which the run of time is looked at [ns, system]
WINDOW_NS = 10 * 10**9
#: messages gathered before they are sorted in, at least
_BATCH = 4096


class Stream:
    """
    What is kept of one topic: its sequence numbers, and the first arrival of each window.

    The windows lie on a fixed grid of the system clock, so that nothing depends on the order in
    which messages are handed in; a topic of any rate costs 24 bytes a window and 16 a gap.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sequences = RangeSet()
        self._logs, self._stamps = array('q'), array('q')
        #: log and stamp of the first arrival of each window seen, in order, shape (2, W)
        self._firsts = np.zeros((2, 0), np.int64)
        self._last: tuple[int, int] | None = None

    def add(self, record: SampleRecord) -> None:
        """Take one message in."""
        self.count += 1
        self.sequences.add(record.sequence)
        if record.stamp_ns is not None:
            self._logs.append(record.log_ns)
            self._stamps.append(record.stamp_ns)
            self._spill()

    def extend(self, stamps: Ints | None, logs: Ints, sequences: Sequences | None) -> None:
        """Take many messages in, with the result of taking them one by one."""
        self.count += len(logs)
        if sequences is not None:
            self.sequences.extend(sequences)
        if stamps is not None:
            self._logs.frombytes(np.ascontiguousarray(logs, np.int64).tobytes())
            self._stamps.frombytes(np.ascontiguousarray(stamps, np.int64).tobytes())
            self._spill()

    def arrivals(self) -> tuple[Ints, Ints]:
        """
        Return logs and stamps of the first arrival of each window, then of the very last one.

        :returns: both [ns], ascending in the log, shape (W + 1,); (0,) where none had a stamp
        """
        self._merge()
        if self._last is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        logs, stamps = np.concatenate([self._firsts, np.array([self._last]).T], axis=1)
        return logs, stamps

    def _spill(self) -> None:
        if len(self._logs) >= max(_BATCH, self._firsts.shape[1]):
            self._merge()

    def _merge(self) -> None:
        if not self._logs:
            return
        fresh = np.array([self._logs, self._stamps], np.int64)
        self._logs, self._stamps = array('q'), array('q')
        every = np.concatenate([self._firsts, fresh], axis=1)
        every = every[:, np.lexsort(every[::-1])]
        last = (int(every[0, -1]), int(every[1, -1]))
        self._last = last if self._last is None else max(self._last, last)
        window = every[0] // WINDOW_NS
        self._firsts = every[:, np.concatenate([[True], window[1:] != window[:-1]])]


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
