"""A thread that reads ahead of who must not wait for a disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition, Thread

from wm_eval_ros.bag.playback import Timed
from wm_eval_ros.errors import WmEvalError

#: what is read and not yet taken has at most this size, beside one message [bytes]
LIMIT_BYTES = 64 << 20


class ReadAhead:
    """Keeps the next messages of a playback in memory."""

    def __init__(self, messages: Iterator[Timed], limit_bytes: int = LIMIT_BYTES) -> None:
        """Begin to read."""
        self._messages, self._limit = messages, limit_bytes
        self._changed = Condition()
        self._read: deque[Timed] = deque()
        self._bytes = 0
        self._ended = self._closed = False
        self._error: WmEvalError | None = None
        self._thread = Thread(target=self._run, name='read_ahead', daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether everything was read and taken."""
        return self._ended and not self._read

    def take(self, timeout_s: float) -> Timed | None:
        """
        Return the next message; None: none came within the time, or it has ended.

        :raises WmEvalError: what the reading ended with
        """
        with self._changed:
            self._changed.wait_for(lambda: self._read or self._ended, timeout_s)
            if self._read:
                timed = self._read.popleft()
                self._bytes -= len(timed.data)
                self._changed.notify()
                return timed
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            for timed in self._messages:
                with self._changed:
                    self._changed.wait_for(lambda: self._bytes <= self._limit or self._closed)
                    if self._closed:
                        return
                    self._read.append(timed)
                    self._bytes += len(timed.data)
                    self._changed.notify()
        except WmEvalError as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
