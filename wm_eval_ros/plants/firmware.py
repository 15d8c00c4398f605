"""An actuator's micro-controller as a state machine: bytes and its own time in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
import math

from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    Decoder,
    encode,
    Question,
    Status,
)

#: time between two status frames [us]
STATUS_US = 1_000_000


class Firmware:
    """
    Obeys the protocol of docs/serial.md.

    The newest command acts from the next control tick on. Without one for the driver's timeout
    zero acts, and the host is told. Nothing here waits: who owns it calls :meth:`advance` and
    :meth:`feed` in the order of time, with what its clock says.

    :param tick_us: time between two control ticks [us]; they lie on multiples of it
    :param timeout_us: without a command for this long zero acts [us]
    :param act: called with each command as it begins to act
    """

    def __init__(self, tick_us: int = 1000, timeout_us: int = 200_000,
                 act: Callable[[Command], object] = lambda command: None) -> None:
        self._tick_us, self._timeout_us, self._act = tick_us, timeout_us, act
        self._decoder = Decoder()
        self._waiting: tuple[Command, int] | None = None
        #: what acts, shape (A,); empty before the first command
        self.acting: tuple[float, ...] = ()
        #: zero acts since no command came
        self.tripped = False
        self._trips = self._dropped = 0
        self._heard_us: int | None = None
        self._ticked = -1
        self._status_us = 0

    def feed(self, data: bytes, now_us: int) -> bytes:
        """Take bytes that have come, and return those that are to be sent."""
        out = b''
        for frame in self._decoder.feed(data):
            if isinstance(frame, Question):
                out += encode(Answer(frame.host_ns, now_us, now_us))
            elif isinstance(frame, Command):
                self._take(frame, now_us)
        return out

    def advance(self, now_us: int) -> bytes:
        """Do what is due: a control tick where one has begun since, and the status."""
        out = b''
        if now_us // self._tick_us > self._ticked:
            self._ticked = now_us // self._tick_us
            out += self._tick(now_us)
        if now_us >= self._status_us:
            out += self._status(now_us)
        return out

    @property
    def due_us(self) -> int:
        """Return when :meth:`advance` next has something to do [us]."""
        due_us = self._status_us
        if self._waiting is not None:
            return min(due_us, (self._ticked + 1) * self._tick_us)
        if self._heard_us is not None and not self.tripped:
            return min(due_us, self._heard_us + self._timeout_us + self._tick_us)
        return due_us

    def _take(self, command: Command, now_us: int) -> None:
        if not all(map(math.isfinite, command.values)):
            self._dropped += 1
            return
        self._dropped += self._waiting is not None
        self._waiting, self._heard_us = (command, now_us), now_us

    def _tick(self, now_us: int) -> bytes:
        if self._waiting is not None:
            return self._apply(*self._waiting, now_us)
        silent = self._heard_us is not None and now_us - self._heard_us > self._timeout_us
        if not silent or self.tripped:
            return b''
        self.acting, self.tripped = (0.0,) * len(self.acting), True
        self._trips += 1
        return self._status(now_us)

    def _apply(self, command: Command, received_us: int, now_us: int) -> bytes:
        self._waiting, self.acting = None, command.values
        self._act(command)
        out = encode(Applied(command.sequence, command.stamp_ns, received_us, now_us))
        if self.tripped:
            self.tripped = False
            out += self._status(now_us)
        return out

    def _status(self, now_us: int) -> bytes:
        self._status_us = now_us + STATUS_US
        return encode(Status(self.tripped, self._trips, self._decoder.errors, self._dropped,
                             now_us))
