"""Play a bag: which topics of it, when each message is due, and under which stamp."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.bag.clocks import clock_finding, clock_groups, is_own
from wm_eval_ros.bag.columns import Ints
from wm_eval_ros.bag.decode import full_name
from wm_eval_ros.bag.findings import named
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.bag.timing import median_interval_ns
from wm_eval_ros.config.interface import ImageStream, Interface, Stream
from wm_eval_ros.config.replay import ReplaySettings
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.wire import topics as wire_topics
from wm_eval_ros.wire.header import with_stamp

#: share of the messages of a clock apart that are taken to have come in no time at all
_SOONEST = 0.01
#: a stamp further from its log time than this says nothing of when the message is due [ns]
_NEAR_NS = 1_000_000_000
#: a time after every other [ns]
_NEVER_NS = 2**62
#: the latest stamp that a header can hold [ns, ROS]
_LATEST_NS = (2**31 - 1) * 10**9


class Timed(NamedTuple):
    """One message that is to be sent."""

    #: since the begin of the replay [ns, steady]
    due_ns: int
    #: as the bag names it
    topic: str
    #: header stamp since the begin of the replay [ns]; None: as it was recorded, or none at all
    stamp_ns: int | None
    #: CDR with its encapsulation header, as recorded
    data: bytes

    def dated(self, origin_ns: int) -> bytes:
        """
        Return the message under its stamp.

        :param origin_ns: begin of the replay [ns, ROS]
        """
        if self.stamp_ns is None:
            return self.data
        return with_stamp(self.data, min(max(0, origin_ns + self.stamp_ns), _LATEST_NS))


def sensor_topics(
    interface: Interface, held: Mapping[str, str], resolve: Callable[[str], str],
) -> dict[str, Stream | ImageStream]:
    """
    Return what of an interface a bag plays, by the topic in the bag; commands never.

    What the model sees must be there; goals, and what it does not see, are played where they are.
    A topic is looked for under its resolved name, then under that of the scenario.

    :param held: types by topic of the bag
    :param resolve: gives the name under which a topic is published
    :raises ConfigError: a topic is published where commands are
    :raises BagError: the bag lacks one, or has it with another type
    """
    found: dict[str, Stream | ImageStream] = {}
    command = interface.command.topic
    closed = {name for topic in (command, wire_topics.proposed(command),
                                 wire_topics.unperturbed(command))
              for name in (absolute(topic), resolve(topic))}
    for stream in (*interface.seen, *interface.unseen, *interface.goals):
        names = (resolve(stream.topic), absolute(stream.topic))
        if closed.intersection(names):
            raise ConfigError(f'interface: {stream.topic} is played as {names[0]}, where commands '
                              'are: the commands of a bag must not reach a robot')
        name = next((name for name in names if name in held), None)
        if name is not None and full_name(held[name]) == stream.type:
            found[name] = stream
        elif name is not None:
            raise BagError(f'{name} is {held[name]} in the bag, the interface has {stream.type}')
        elif stream in interface.seen:
            have = ', '.join(sorted(held)) or 'nothing'
            raise BagError(f'no topic {names[0]} in the bag, it holds {have}')
    return found


def absolute(topic: str) -> str:
    """Return the name under which a topic of a scenario is recorded, where nothing renames it."""
    return f'/{topic.lstrip("/")}'


class Playback:
    """The messages of some topics of a bag in the order in which they are due."""

    def __init__(self, bag: Bag, topics: Collection[str], settings: ReplaySettings) -> None:
        """
        Read the times of all of them.

        :raises BagError: a topic cannot be read, the bag is damaged, or nothing is left to play
        """
        for topic in topics:
            if topic in bag.unreadable:
                raise BagError(f'{bag.path}: {topic}: {bag.unreadable[topic]}')
        self._bag, self._topics, self._settings = bag, tuple(topics), settings
        self._stamped = np.array([bag.decoder.is_stamped(bag.topics[t]) for t in topics], bool)
        #: what is done to the stamps, one sentence each
        self.notes: tuple[str, ...] = ()
        log_ns, stamps_ns, of = self._times()
        taken_ns = self._taken(log_ns, stamps_ns, of)
        when_ns = log_ns
        if settings.pace == 'stamps':
            when_ns = np.where(np.abs(taken_ns - log_ns) <= _NEAR_NS, taken_ns, log_ns)
        begin_ns = int(when_ns.min(initial=_NEVER_NS)) + round(settings.start_s * 1e9)
        if not np.any(when_ns >= begin_ns):
            length_s = np.ptp(when_ns) / 1e9 if len(when_ns) else 0.0
            raise BagError(f'{bag.path}: {named(sorted(topics))}: nothing to play from '
                           f'{settings.start_s:g} s on, of {length_s:.1f} s')
        self._due_ns = _slowed(when_ns - begin_ns, settings.rate)
        self._stamps_ns = _slowed(taken_ns - begin_ns, settings.rate)
        self._dated = self._stamped[of] & (not settings.keep_stamps)
        intervals = [median_interval_ns(np.sort(self._due_ns[of == n])) or 0
                     for n in range(len(topics))]
        #: from the begin of one pass to that of the next [ns, steady]
        self.pass_ns = int(self._due_ns.max()) + max(intervals)

    def __len__(self) -> int:
        """Return the number of messages of one pass."""
        return int(np.count_nonzero(self._due_ns >= 0))

    def messages(self) -> Iterator[Timed]:
        """
        Yield them; with ``loop`` for ever.

        :raises BagError: the bag is damaged
        """
        for number in count():
            yield from self._one_pass(number * self.pass_ns)
            if not self._settings.loop:
                return

    def _one_pass(self, base_ns: int) -> Iterator[Timed]:
        """Yield the messages by when they are due, holding back no more than must be."""
        # the earliest that is still to come after each message
        later_ns = np.append(np.minimum.accumulate(self._due_ns[::-1])[::-1][1:], _NEVER_NS)
        waiting: list[tuple[int, int, Timed]] = []
        rows = zip(self._due_ns.tolist(), self._stamps_ns.tolist(), self._dated.tolist(),
                   later_ns.tolist(), self._bag.messages(self._topics), strict=False)
        for place, (due_ns, stamp_ns, dated, next_ns, message) in enumerate(rows):
            if due_ns >= 0:
                heappush(waiting, (due_ns, place, Timed(
                    base_ns + due_ns, message.topic, base_ns + stamp_ns if dated else None,
                    message.data)))
            while waiting and waiting[0][0] <= next_ns:
                yield heappop(waiting)[2]

    def _times(self) -> tuple[Ints, Ints, Ints]:
        """Return log times, stamps (0: none) and places of the topics, in order of reading."""
        places = {topic: number for number, topic in enumerate(self._topics)}
        of_connection = np.array([places.get(c.topic, -1) for c in self._bag.connections])
        parts = [(np.zeros(0, np.int64),) * 3]
        for columns in self._bag.columns(self._topics):
            of = of_connection[columns.rows['connection']]
            stamps_ns = np.zeros(len(columns), np.int64)
            for number in np.unique(of[self._stamped[of]]).tolist():
                own: NDArray[np.bool_] = of == number
                stamps_ns[own] = columns[own].stamps(self._topics[number])
            parts.append((columns.log_ns.copy(), stamps_ns, of))
        log_ns, stamps_ns, of = (np.concatenate(part) for part in zip(*parts, strict=True))
        return log_ns, stamps_ns, of

    def _taken(self, log_ns: Ints, stamps_ns: Ints, of: Ints) -> Ints:
        """
        Return when each sample was taken, on the recorder's clock [ns], shape (N,).

        Stamps of the recorder's clock hold as they are. Of another clock the offset is taken off,
        one for all its topics: that of those which came the soonest. What has no stamp, or one of
        zero, was taken when it came.
        """
        taken_ns: Ints = log_ns.copy()
        own = {topic: (of == number) & (stamps_ns != 0)
               for number, topic in enumerate(self._topics)}
        apart_ns = {topic: stamps_ns[rows] - log_ns[rows] for topic, rows in own.items()}
        medians = {t: float(np.median(apart)) for t, apart in apart_ns.items() if len(apart)}
        for group in clock_groups(medians):
            offset_ns = 0 if is_own(medians[group[0]]) else max(
                int(np.quantile(apart_ns[topic], 1 - _SOONEST)) for topic in group)
            for topic in group:
                taken_ns[own[topic]] = stamps_ns[own[topic]] - offset_ns
                if offset_ns:
                    self._note(topic, f'{clock_finding(topic, offset_ns).what}: taken off')
        for number, topic in enumerate(self._topics):
            zero = int(np.count_nonzero((of == number) & (stamps_ns == 0)))
            if zero and self._stamped[number]:
                self._note(topic, f'{zero} of {np.count_nonzero(of == number)} header stamps are '
                           'zero: replaced by when they were logged')
        return taken_ns

    def _note(self, topic: str, what: str) -> None:
        if not self._settings.keep_stamps:
            self.notes += (f'{topic}: {what}',)


def _slowed(times_ns: Ints, rate: float) -> Ints:
    """Return times at another speed; at the bag's own they stay exact."""
    found: Ints = times_ns if rate == 1.0 else np.rint(times_ns / rate).astype(np.int64)
    return found
