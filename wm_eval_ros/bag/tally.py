"""What became of the messages of a recording, counted by topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import re

from wm_eval_ros.bag.findings import named
from wm_eval_ros.records import NO_SEQUENCE, RecorderStatus
from wm_eval_ros.wire.topics import EPISODE_EVENT, PLANNER_CYCLE, RUN_INFO

#: keys of the custom data of metadata.yaml: of the recording, and with a topic behind it
KEY = 'wm_eval_ros.recorder'
#: topics without which the figures of a run are unknown, by the last part of their names
VITAL = frozenset({RUN_INFO, EPISODE_EVENT, PLANNER_CYCLE})
_COUNTS = re.compile(r'received=(\d{1,19}) written=(\d{1,19}) dropped=(\d{1,19})')


def is_vital(topic: str) -> bool:
    """Say whether figures rest on each single message of a topic."""
    return topic.rpartition('/')[2] in VITAL


@dataclass(slots=True)
class _Topic:
    received: int = 0
    written: int = 0
    durable: int = 0
    dropped: int = 0
    #: whether each number between two that came is one that was sent to us
    gapless: bool = False
    #: publication sequence number of the last message that came
    last_sequence: int = NO_SEQUENCE
    #: messages that were sent to us and overwritten before they could be taken
    missed: int = 0
    #: numbers that are missing since the publishers were last counted: whose they are is not known
    gaps: int = 0
    #: why the first one was refused that no bag can hold; empty: none was
    refusal: str = ''
    #: publication sequence number of the last message written, and of the last durable one
    written_sequence: int = NO_SEQUENCE
    durable_sequence: int = NO_SEQUENCE


@dataclass
class Tally:
    """
    Counts of one recording.

    The receiving thread counts what is received and dropped, the writing one the rest: no number
    has two writers.
    """

    _topics: dict[str, _Topic] = field(default_factory=dict)

    def declare(self, topic: str, *, gapless: bool) -> None:
        """
        Begin to count a topic.

        :param gapless: it has one publisher, which sends everything to us: what is missing in its
            sequence was overwritten in the queue of the middleware, and counts as dropped once
            :meth:`publishers` has shown that it still was alone
        """
        self._topics.setdefault(topic, _Topic(gapless=gapless))

    def received(self, topic: str, sequence: int) -> None:
        """
        Count a message that came, and those before it that did not.

        A message does not say which publisher it is of. So a topic whose numbers fall, by a
        second publisher or one that began anew, is gapless no more.
        """
        entry = self._topics[topic]
        entry.received += 1
        if not entry.gapless or sequence == NO_SEQUENCE:
            return
        last, entry.last_sequence = entry.last_sequence, sequence
        if last == NO_SEQUENCE:
            return
        if sequence > last:
            entry.gaps += sequence - last - 1
        else:
            entry.gapless, entry.gaps = False, 0

    def publishers(self, topic: str, count: int) -> None:
        """
        Learn how many publishers a topic has.

        With more than one nothing that is missing since the last time can be told from the
        numbers of another.
        """
        entry = self._topics[topic]
        if count > 1:
            entry.gapless, entry.gaps = False, 0
        entry.missed += entry.gaps
        entry.gaps = 0

    def dropped(self, topic: str) -> None:
        """Count a message for which there was no room."""
        self._topics[topic].dropped += 1

    def refused(self, topic: str, sequence: int, why: str) -> None:
        """Count a message as dropped that no bag can hold, of a topic that may be unknown."""
        self.declare(topic, gapless=False)
        self.received(topic, sequence)
        self.dropped(topic)
        entry = self._topics[topic]
        entry.refusal = entry.refusal or why

    def written(self, topic: str, sequence: int) -> None:
        """Count a message that was handed to the bag."""
        entry = self._topics[topic]
        entry.written += 1
        entry.written_sequence = sequence

    def synced(self) -> None:
        """Note that everything written is on the disk."""
        for entry in self._topics.values():
            entry.durable, entry.durable_sequence = entry.written, entry.written_sequence

    def status(
        self, stamp_ns: int, failure: str, queued_bytes: int, free_bytes: int,
    ) -> RecorderStatus:
        """
        Return the counts as they stand; after a failure, all that is not on the disk is dropped.

        Its reason is that of the failure, else why messages were refused.

        :param stamp_ns: [ns, ROS]
        :param failure: why nothing more is written, empty: it is
        """
        # the receiving thread may declare a topic meanwhile
        topics = tuple(self._topics)
        entries = [self._topics[name] for name in topics]
        received = tuple(e.received for e in entries)
        durable = tuple(e.durable for e in entries)
        written = durable if failure else tuple(e.written for e in entries)
        dropped = tuple((came - kept if failure else e.dropped) + e.missed
                        for came, kept, e in zip(received, durable, entries, strict=True))
        refusals = [f'{name}: {e.refusal}' for name, e in zip(topics, entries, strict=True)
                    if e.refusal]
        return RecorderStatus(
            stamp_ns, bool(failure), failure or named(refusals), topics, received, written,
            durable, dropped, tuple(e.durable_sequence for e in entries), queued_bytes, free_bytes)


def summary(status: RecorderStatus) -> dict[str, str]:
    """
    Return a status as text by key: what begins with a word does not come back as a number.

    >>> found = summary(RecorderStatus(0, False, '', ('/a',), (3,), (2,), (2,), (1,), (7,)))
    >>> found['wm_eval_ros.recorder'], found['wm_eval_ros.recorder./a']
    ('state=ok', 'received=3 written=2 dropped=1')
    """
    state = f'state=failed: {status.reason}' if status.failed else 'state=ok'
    counts = zip(status.topics, status.received, status.written, status.dropped, strict=True)
    return {KEY: state} | {
        f'{KEY}.{topic}': f'received={received} written={written} dropped={dropped}'
        for topic, received, written, dropped in counts}


def from_summary(custom: Mapping[str, str]) -> RecorderStatus | None:
    """Return the status a summary was made of; None where there is none, or it was changed."""
    state = custom.get(KEY)
    if state is None:
        return None
    found = {key[len(KEY) + 1:]: match for key, text in custom.items()
             if key.startswith(f'{KEY}.') and (match := _COUNTS.fullmatch(text))}
    received, written, dropped = (
        tuple(int(match[group]) for match in found.values()) for group in (1, 2, 3))
    failed = state.startswith('state=failed')
    return RecorderStatus(
        0, failed, state.partition(': ')[2] if failed else '', tuple(found), received, written,
        written, dropped, (NO_SEQUENCE,) * len(found))
