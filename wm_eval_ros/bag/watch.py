"""What one topic's messages tell while they pass by, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.columns import Columns
from wm_eval_ros.bag.findings import (
    duration,
    Finding,
    info,
    into_bag,
    NS_PER_MS,
    NS_PER_S,
    warning,
)
from wm_eval_ros.bag.histogram import LogHistogram, Rates
from wm_eval_ros.bag.steps import Step, Steps
from wm_eval_ros.bag.timing import GAP_FACTOR, GAP_MIN_NS, increments
from wm_eval_ros.records import NO_SEQUENCE

Ints = NDArray[np.int64]

#: header and log clock further apart than this are worth a word [ns]
OFFSET_NS = 100_000_000
#: silences up to this share of a topic's time are only told
GAP_SHARE = 0.05
#: a rate may be off by this share
RATE_SHARE = 0.10
#: intervals a topic needs before it is said to have a rate
_LEAST_INTERVALS = 20
#: 90 % over 10 % quantile of the intervals of a topic with a rate
_REGULAR = 2.5
#: log times before 2000 are of no clock that was ever set, those after 2100 of none yet [ns]
DOMAIN_NS = (946_684_800 * 10**9, 4_102_444_800 * 10**9)


class Pace:
    """Log times of one topic: its rate, its silences, the clock they are of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.count = 0
        self.first_ns, self.last_ns = 0, 0
        #: messages logged before 1970, before 2000, until 2100, and later
        self.domains = np.zeros(4, np.int64)
        self._intervals = LogHistogram()
        self._rates = Rates()
        self._longest = (0, 0)

    def add(self, log_ns: Ints) -> None:
        """Take log times in, ascending [ns], shape (N,), N > 0."""
        if self.count == 0:
            self.first_ns = self.last_ns = int(log_ns[0])
        steps = increments(log_ns, self.last_ns)
        self.count += len(log_ns)
        self.last_ns = int(log_ns[-1])
        edges = [0, *np.searchsorted(log_ns, (0, *DOMAIN_NS)).tolist(), len(log_ns)]
        self.domains += np.diff(edges)
        longest = int(steps.argmax())
        if steps[longest] > self._longest[0]:
            self._longest = (int(steps[longest]), int(log_ns[longest] - steps[longest]))
        ahead = steps > 0
        steps = steps[ahead]
        octaves = np.log2(steps)
        self._intervals.add(steps, octaves)
        self._rates.add(log_ns[ahead], steps, octaves)

    @property
    def interval_ns(self) -> float | None:
        """Median interval [ns]; None for fewer than two messages, or all at once."""
        return self._intervals.quantile(0.5)

    def findings(self, topic: str, start_ns: int) -> Iterator[Finding]:
        """Yield what is odd; a topic that keeps no rate has no silences either."""
        median, tail = self.interval_ns, self._intervals.quantile(0.9)
        if median is None or tail is None or tail > GAP_FACTOR * median:
            return
        yield from self._gaps(topic, start_ns, median)
        if len(self._intervals) >= _LEAST_INTERVALS:
            yield from self._drift(topic, start_ns)

    def _gaps(self, topic: str, start_ns: int, median: float) -> Iterator[Finding]:
        count, total = self._intervals.above(max(GAP_FACTOR * median, GAP_MIN_NS))
        if not count:
            return
        longest, at_ns = self._longest
        share = (total - count * median) / max(1, self.last_ns - self.first_ns)
        tell = warning if share > GAP_SHARE else info
        yield tell('gap', topic, f'{count} gaps, {share:.1%} of its time, the longest '
                   f'{duration(longest)} from {into_bag(at_ns, start_ns)} where '
                   f'{median / NS_PER_MS:.1f} ms is the median interval',
                   longest / NS_PER_MS, at_ns)

    def _drift(self, topic: str, start_ns: int) -> Iterator[Finding]:
        found = self._rates.medians(_LEAST_INTERVALS, _REGULAR)
        if len(found) < 2:
            return
        fast, slow = min(found), max(found)
        if slow[0] > (1 + RATE_SHARE) * fast[0]:
            high, low = NS_PER_S / fast[0], NS_PER_S / slow[0]
            yield warning('rate', topic, f'the rate is not constant: {high:.1f} Hz from '
                          f'{into_bag(fast[1], start_ns)}, {low:.1f} Hz from '
                          f'{into_bag(slow[1], start_ns)}', high / low - 1, slow[1])


class Stamps:
    """Header stamps of one topic against its log times."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.count, self.zero = 0, 0
        self.steps = Steps(OFFSET_NS)
        self._latest: int | None = None
        self._back, self._worst_ns = 0, 0
        self._ahead, self._behind, self._equal = LogHistogram(), LogHistogram(), 0

    def add(self, stamps_ns: Ints, log_ns: Ints) -> None:
        """Take stamps and the log times that go with them in [ns], shape (N,)."""
        self.count += len(stamps_ns)
        valid = stamps_ns != 0
        self.zero += int(len(valid) - np.count_nonzero(valid))
        stamps_ns, log_ns = stamps_ns[valid], log_ns[valid]
        if len(stamps_ns) == 0:
            return
        latest = stamps_ns[0] if self._latest is None else self._latest
        newest = np.maximum(np.maximum.accumulate(stamps_ns), latest)
        self._latest = int(newest[-1])
        self._back += int(np.count_nonzero(newest - stamps_ns))
        self._worst_ns = max(self._worst_ns, int(np.max(newest - stamps_ns)))
        # a time that no clock can show may be too far from another for 64 bits: what wraps there
        # does so by 2^64, which is plain from the difference in floating point
        far = stamps_ns.astype(float) - log_ns
        offsets = np.clip(np.where(np.abs(far) < 2.0**62, stamps_ns - log_ns,
                                   np.where(far > 0, 2**62, -2**62)), -2**62, 2**62)
        self._ahead.add(offsets[offsets > 0])
        self._behind.add(-offsets[offsets < 0])
        self._equal += int(np.count_nonzero(offsets == 0))
        self.steps.add(log_ns, offsets)

    @property
    def offset_ns(self) -> float | None:
        """Median of stamp less log time [ns]; None where no stamp says anything."""
        behind, ahead = len(self._behind), len(self._ahead)
        total = behind + self._equal + ahead
        rank = (total + 1) // 2
        if total == 0 or behind < rank <= behind + self._equal:
            return None if total == 0 else 0.0
        if rank <= behind:
            return -(self._behind.quantile((behind - rank + 1) / behind) or 0.0)
        return self._ahead.quantile((rank - behind - self._equal) / ahead)

    def findings(self, topic: str, *, simulated: bool, ordered: bool = True,
                 ) -> Iterator[Finding]:
        """
        Yield what is odd.

        :param ordered: one writer stamps them, in order
        :param simulated: stamps are simulated time, in which zero is a time like any other
        """
        if self.zero and (not simulated or self.zero == self.count > 1):
            yield warning('stamp', topic, f'{self.zero} of {self.count} header stamps are zero',
                          self.zero)
        if self._back and ordered:
            yield warning('order', topic, f'{self._back} header stamps are earlier than one '
                          f'before them, by up to {duration(self._worst_ns)}', self._back)


class Numbers:
    """Publication sequence numbers of one topic."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._last: int | None = None
        self._known, self._missing, self._holes, self._falls = 0, 0, 0, 0

    def add(self, sequences: NDArray[np.uint64]) -> None:
        """
        Take numbers in, shape (N,).

        A number below the one before it begins a new writer and misses nothing.
        """
        known = sequences[sequences != np.uint64(NO_SEQUENCE)].astype(np.int64)
        if len(known) == 0:
            return
        before = int(known[0]) if self._last is None else self._last
        steps = increments(known, before)
        self._last = int(known[-1])
        self._known += len(known)
        self._holes += int(np.count_nonzero(steps > 1))
        self._falls += int(np.count_nonzero(steps < 0))
        self._missing += int(np.sum(steps[steps > 1] - 1))

    def findings(self, topic: str) -> Iterator[Finding]:
        """Yield what is missing."""
        if self._missing:
            turns = (f'; or fewer: the numbers fall {self._falls} times, as those of publishers '
                     'by turns do') if self._falls > 1 else ''
            yield warning('lost', topic, f'{self._missing} of {self._missing + self._known} '
                          f'messages were published and not recorded, in {self._holes} places'
                          + turns, self._missing)


class Repeats:
    """Messages of one topic that equal the one before them to the bit."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.count, self._same = 0, 0
        self._last: bytes | None = None
        self._last_stamp: int | None = None

    def add(self, columns: Columns, stamps_ns: Ints | None) -> None:
        """
        Take messages in.

        :param stamps_ns: their stamps, None: their type has none. Messages that differ there
            differ, and need not be looked at
        """
        sizes = columns.rows['size']
        alike = np.empty(len(columns), bool)
        alike[0] = self._last is not None and len(self._last) == sizes[0] and (
            stamps_ns is None or self._last_stamp == stamps_ns[0])
        alike[1:] = sizes[1:] == sizes[:-1]
        if stamps_ns is not None:
            alike[1:] &= stamps_ns[1:] == stamps_ns[:-1]
            self._last_stamp = int(stamps_ns[-1])
        self.count += len(columns)
        wanted = alike.copy()
        wanted[:-1] |= alike[1:]
        wanted[-1] = True
        before = self._last
        for again, payload in zip(alike[wanted].tolist(), columns[wanted].payloads(),
                                  strict=True):
            self._same += again and payload == before
            before = payload
        self._last = before

    def findings(self, topic: str) -> Iterator[Finding]:
        """Yield how many there are."""
        if self._same:
            yield info('repeats', topic, f'{self._same} of {self.count} messages equal the one '
                       'before them to the bit', self._same)


class TopicWatch:
    """One topic as it passes by."""

    def __init__(self, topic: str) -> None:
        """Begin with nothing."""
        self.topic = topic
        self.pace, self.stamps = Pace(), Stamps()
        self._numbers, self._repeats = Numbers(), Repeats()

    def add(self, columns: Columns, stamps_ns: Ints | None) -> None:
        """
        Take messages in, in the order they are read.

        :param stamps_ns: header stamps [ns, ROS], shape (N,); None for a type without a header
        """
        log_ns = np.ascontiguousarray(columns.log_ns)
        self.pace.add(log_ns)
        if stamps_ns is not None:
            self.stamps.add(stamps_ns, log_ns)
        self._numbers.add(columns.rows['sequence'])
        self._repeats.add(columns, stamps_ns)

    def findings(
        self, start_ns: int, *, simulated: bool = False, paced: bool = True,
        numbered: bool = True,
    ) -> Iterator[Finding]:
        """
        Yield what is odd about the topic.

        :param start_ns: first log time of the bag [ns, system]
        :param simulated: its stamps are simulated time
        :param paced: it may be expected to keep a rate
        :param numbered: its sequence numbers, and its stamps, are those of one writer
        """
        if paced:
            yield from self.pace.findings(self.topic, start_ns)
        yield from self.stamps.findings(self.topic, simulated=simulated, ordered=numbered)
        if numbered:
            yield from self._numbers.findings(self.topic)
        yield from self._repeats.findings(self.topic)

    @property
    def steps(self) -> list[Step]:
        """Steps of its stamps against the recorder's clock."""
        return self.stamps.steps.found
