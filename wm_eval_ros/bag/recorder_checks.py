"""What the recorder says of itself: messages it dropped, and whether it went on to the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
import contextlib

from wm_eval_ros.bag.findings import error, Finding, warning
from wm_eval_ros.bag.metadata import embedded_metadata
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.bag.tally import from_summary
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import RecorderStatus
from wm_eval_ros.wire.topics import EPISODE_EVENT, RUN_INFO

#: without one of these messages it is not known what happened: figures would be of another run
_DECISIVE = frozenset({EPISODE_EVENT, RUN_INFO})


def last_word(bag: Bag) -> RecorderStatus | None:
    """
    Return the status in the custom data of metadata.yaml, None where there is none.

    A storage file without it has the same at its end. What a recording that failed came to is
    nowhere else: no message could tell it.
    """
    return from_summary(bag.metadata.custom if bag.metadata is not None else _embedded(bag))


def _embedded(bag: Bag) -> dict[str, str]:
    # of other tools, and older ones, it may have another form, which says nothing of our recorder
    with contextlib.suppress(BagError):
        for _, record in bag.metadata_records('rosbag2'):
            return embedded_metadata(record.get('serialized_metadata', ''), str(bag.path)).custom
    return {}


class RecorderChecks:
    """Fold of the recorder's statuses, whatever their order."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._received: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._failure = self._refusal = ''

    def add(self, status: RecorderStatus) -> None:
        """Take a status in; its counts only grow from one to the next."""
        for topic, received, dropped in zip(
                status.topics, status.received, status.dropped, strict=False):
            self._received[topic] = max(self._received[topic], received)
            self._dropped[topic] = max(self._dropped[topic], dropped)
        if status.failed:
            self._failure = self._failure or status.reason
        else:
            self._refusal = max(self._refusal, status.reason, key=len)

    def findings(self) -> Iterator[Finding]:
        """Yield what is unknown for it."""
        for topic, count in sorted((+self._dropped).items()):
            tell = error if topic.rpartition('/')[2] in _DECISIVE else warning
            why = f' and gave up ({self._failure})' if self._failure else ''
            yield tell('dropped', topic, f'the recorder dropped {count} of '
                       f'{self._received[topic]} messages{why}; what they said is unknown', count)
        if self._refusal:
            yield warning('recorder', '', 'messages came to the recorder that no bag can hold, '
                          f'and were dropped ({self._refusal})')
        if self._failure:
            yield warning('recorder', '', f'the recorder gave up ({self._failure}); what came '
                          'after is unknown')
