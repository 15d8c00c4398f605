"""
A recording in progress: one thread hands messages in, another writes them and waits for the disk.

Without ROS: the recorder node gives it bytes. What it promises is in docs/recording.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import contextlib
from pathlib import Path
from threading import Event, Thread
import time
from typing import NamedTuple

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.limits import GIB, Limits
from wm_eval_ros.bag.queue import ByteQueue
from wm_eval_ros.bag.seal import Seal
from wm_eval_ros.bag.silence import Silence
from wm_eval_ros.bag.tally import is_vital, summary, Tally
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.errors import RecordingError, WmEvalError
from wm_eval_ros.records import NO_SEQUENCE, RecorderStatus
from wm_eval_ros.wire.codec import MessageTypes, status_to_msg, STATUS_TYPE
from wm_eval_ros.wire.topics import Qos, TELEMETRY

#: pause of the writing thread when it has written all that came [s]
PAUSE_S = 0.01
#: what a disk that did not answer is given when the bag is closed [s]
GRACE_S = 1.0
#: taken out of the queue at once: what memory may hold beside it [bytes]
PORTION_BYTES = 4 << 20
#: share of the queue that only what is vital may take
RESERVED_SHARE = 0.25
#: what a message costs in memory beside its payload [bytes]
_OVERHEAD_BYTES = 256
_TYPES = MessageTypes(lambda name: known_types().types[name])


class _Message(NamedTuple):
    topic: str
    data: bytes
    log_ns: int
    publish_ns: int
    sequence: int


class _Declaration(NamedTuple):
    topic: str
    type: str
    qos: Qos


class Recording:
    """
    A bag that is being recorded.

    Everything is called by one thread, and nothing but `close` waits for the disk. The first
    failure ends it for good: :attr:`failure` says why, what comes then is counted as dropped, and
    the file is sealed.
    """

    def __init__(
        self, folder: Path, limits: Limits, status_topic: str, *, seal: Seal | None = None,
        stamp_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """
        Create the bag and start writing.

        :param status_topic: topic of the bag in which it says what is on the disk
        :param stamp_ns: clock of the stamps of those messages [ns, ROS]
        :raises RecordingError: the folder is in use, or cannot be written
        """
        self._silence = Silence()
        self._writer = BagWriter(folder, seal=seal, answered=self._silence.answered)
        self._limits = limits
        self._status_topic = status_topic
        self._stamp_ns = stamp_ns
        self._queue: ByteQueue[_Message | _Declaration] = ByteQueue(
            limits.queue_bytes, RESERVED_SHARE)
        self._tally = Tally()
        self._declared: set[str] = set()
        self._failure = self._stall = ''
        self._statuses: deque[tuple[RecorderStatus, bytes]] = deque(maxlen=16)
        #: when it had last waited for the disk [ns, steady]
        self._waited_ns = time.monotonic_ns()
        self._writer.add_topic(status_topic, STATUS_TYPE, qos=TELEMETRY)
        # the first one loads definitions: not while messages come
        _encoded(self._tally.status(0, '', 0, 0))
        self._stop = Event()
        self._thread = Thread(target=self._run, name='recording', daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """Why nothing more is recorded; empty while all is well."""
        return self._failure or self._stall

    def watch(self) -> bool:
        """
        Fail where the disk has not answered for too long, and say whether it has not.

        To be called ten times a second: the thread that waits for the disk cannot say so itself.
        """
        silent_ns = self._silence.look()
        silent = silent_ns > self._limits.stall_ns
        if silent and not self.failure:
            self._stall = (f'{self._writer.path}: the disk has not answered for '
                           f'{silent_ns / 1e9:.1f} s: the recording has ended; use a quicker '
                           'disk, or raise stall_s')
            self._post(self._tally.status(self._stamp_ns(), self._stall, self._queue.bytes, 0))
        return silent

    def add_topic(
        self, topic: str, type_name: str, qos: Qos, *, gapless: bool = False,
    ) -> None:
        """
        Declare a topic; its messages may come now.

        :param gapless: a gap in its sequence numbers counts as dropped: one publisher, which
            sends us everything, as long as :meth:`publishers` is told so
        """
        self._declared.add(topic)
        self._tally.declare(topic, gapless=gapless)
        self._queue.put(_Declaration(topic, type_name, qos), 0, vital=True)

    def put(self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        """
        Take a message, or count it as dropped: there is no room, or no bag can hold it.

        :param data: CDR with its encapsulation header
        :param log_ns: when it was received [ns, system]
        :param publish_ns: when it was published [ns, system]
        :param sequence: publication sequence number, NO_SEQUENCE where there is none
        """
        if why := self._refusal(topic, log_ns):
            self._tally.refused(topic, sequence, why)
            return
        self._tally.received(topic, sequence)
        if self.failure or not self._queue.put(
                _Message(topic, data, log_ns, publish_ns, sequence), len(data) + _OVERHEAD_BYTES,
                vital=is_vital(topic)):
            self._tally.dropped(topic)

    def publishers(self, topic: str, count: int) -> None:
        """
        Learn how many publishers a topic has; to be called about as often as there are statuses.

        Only of one that was alone all the time gaps are known to be drops.
        """
        self._tally.publishers(topic, count)

    def statuses(self) -> list[tuple[RecorderStatus, bytes]]:
        """Return what to publish: each status since the last call, and the same as CDR."""
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._statuses.popleft())
        return found

    def close(self) -> RecorderStatus:
        """
        Write what waits, close the bag, and return the final counts; they are in the bag too.

        A disk that does not answer is not waited for: the bag is left as it is.

        :raises RecordingError: the recording failed, now or before
        """
        self._stop.set()
        while self._thread.is_alive() and not self.watch():
            self._thread.join(PAUSE_S)
        self._thread.join(GRACE_S)
        if not self._thread.is_alive() and not self._failure:
            self._take_back_stall()
        if self.failure:
            raise RecordingError(self.failure)
        return self._tally.status(self._stamp_ns(), '', 0, 0)

    def _take_back_stall(self) -> None:
        """Take back that the disk was given up: it answered, and the bag is whole and says so."""
        self._stall = ''
        self._statuses = deque(each for each in self._statuses if not each[0].failed)

    def _refusal(self, topic: str, log_ns: int) -> str:
        if topic not in self._declared:
            return 'was not declared'
        return '' if 0 <= log_ns < 2**63 else f'log time {log_ns} ns is no time'

    def _run(self) -> None:
        try:
            # what is handed in before `close` is called is written by the last pass
            while not self._stop.wait(PAUSE_S):
                self._pass()
            self._pass()
            self._end()
        except Exception as error:  # noqa: BLE001 - a thread that ends in silence loses all
            self._fail(str(error) if isinstance(error, WmEvalError) else repr(error))

    def _pass(self) -> None:
        """Write what has come, and wait for the disk when it is time."""
        while items := self._queue.take(PORTION_BYTES):
            for item in items:
                self._write(item)
        self._writer.tick()
        self._sync_when_due()

    def _write(self, item: _Message | _Declaration) -> None:
        if isinstance(item, _Declaration):
            self._writer.add_topic(item.topic, item.type, qos=item.qos)
            return
        self._writer.write(*item)
        self._tally.written(item.topic, item.sequence)
        self._sync_when_due()

    def _sync_when_due(self) -> None:
        if time.monotonic_ns() - self._waited_ns >= self._limits.sync_ns:
            self._sync()

    def _sync(self) -> None:
        """Make durable what is written, and say so."""
        free, least = self._wait()
        # not before: a disk slower than the interval would be asked again after every message
        self._waited_ns = time.monotonic_ns()
        if free < least:
            reason = f'{free / GIB:.2f} GiB free, less than {least / GIB:.2f} GiB'
            self._tell(reason, free)
            self._writer.flush()
            self._writer.fail(reason, whole=True)
            raise RecordingError(f'{self._writer.path}: {reason}: the recording has ended; make '
                                 'room, or lower min_free_gib and min_free_share')
        self._tell('', free)

    def _wait(self) -> tuple[int, int]:
        """Wait for the disk, and return how much of it is free and must be [bytes]."""
        self._writer.sync()
        self._tally.synced()
        space = self._limits.space(self._writer.folder)
        self._silence.answered()
        if self._stall:
            # it was given up; now that the disk answers, the file gets its end
            raise RecordingError(self._stall)
        return space

    def _tell(self, reason: str, free: int) -> None:
        """Put a status into the bag and into the post; it is on the disk at the next one."""
        status = self._tally.status(self._stamp_ns(), reason, self._queue.bytes, free)
        self._writer.write(self._status_topic, self._post(status), time.time_ns(), None,
                           NO_SEQUENCE)

    def _end(self) -> None:
        """Close the bag with the counts of everything in it."""
        free, _ = self._wait()
        self._tell('', free)
        self._writer.close(summary(self._tally.status(self._stamp_ns(), '', 0, 0)))

    def _fail(self, reason: str) -> None:
        # first the word, then the failure: who sees that looks for its word
        self._post(self._tally.status(self._stamp_ns(), reason, 0, 0))
        self._failure = reason
        self._writer.fail(reason, whole=False)
        # the reason is known already; what sealing adds to it helps nobody
        with contextlib.suppress(RecordingError):
            self._writer.close(summary(self._tally.status(0, reason, 0, 0)))

    def _post(self, status: RecorderStatus) -> bytes:
        """Lay a status down to be published, and return it as CDR."""
        data = _encoded(status)
        self._statuses.append((status, data))
        return data


def _encoded(status: RecorderStatus) -> bytes:
    return bytes(known_types().serialize_cdr(status_to_msg(status, _TYPES), STATUS_TYPE))
