"""The host's end of a serial line: commands out, what the micro-controller says in; no ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import os
import select
import termios
import threading
import time
import tty

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    Decoder,
    encode,
    END,
    Frame,
    line_ns,
    Question,
)

#: time between two questions to the clock [ns]
ASK_NS = 100_000_000
#: a command not heard of for this long, and what an answer takes on the line, no longer keeps a
#: question back [ns]
_FORGET_NS = 50_000_000
_ANSWER_BYTES = len(encode(Applied(0, 0, 0, 0)))
#: longest the thread sleeps [s]
POLL_S = 0.05
CHUNK = 4096
_SEQUENCES = 2**32
#: commands, and questions, whose answers are known again
_REMEMBERED = 64
_GONE = 'hung up'


def speed_of(baud: int) -> int:
    """
    Return what the system calls a rate.

    :raises ConfigError: it has no such rate
    """
    speed = getattr(termios, f'B{baud}', None)
    if speed is None:
        known = sorted(int(n[1:]) for n in dir(termios) if n[0] == 'B' and n[1:].isdigit())
        raise ConfigError(f'baud: {baud} is no rate of a serial port; one of '
                          f'{", ".join(str(rate) for rate in known if rate >= 1200)}')
    return int(speed)


def open_port(path: str, baud: int) -> int:
    """
    Open a serial port for raw bytes, eight bits, no parity, one stop bit, no flow control.

    :returns: its file descriptor
    :raises ConfigError: there is none, it cannot be opened, or it has no such rate
    """
    speed = speed_of(baud)
    try:
        port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f'port: {path}: cannot be opened ({error.strerror})') from None
    try:
        tty.setraw(port)
        mode = termios.tcgetattr(port)
        mode[2] = (mode[2] & ~(termios.CSTOPB | termios.CRTSCTS)) | termios.CLOCAL | termios.CREAD
        mode[4] = mode[5] = speed
        termios.tcsetattr(port, termios.TCSANOW, mode)
        termios.tcflush(port, termios.TCIOFLUSH)
    except termios.error:
        os.close(port)
        raise ConfigError(f'port: {path}: is no serial port, or has no rate of {baud}') from None
    return port


class SerialPort:
    """
    Sends the newest command as soon as the line is free, and asks for the clock in between.

    On a line too slow for the commands the older ones are left out: a queue before an actuator
    would be a delay. Questions are asked as the last command has been answered, so that they
    seldom stand in the way of the next.

    :param heard: called with each frame and when its last byte had come [ns, steady], in a thread
        of this port's own; not with answers to what was never sent from here
    :raises ConfigError: see :func:`open_port`
    """

    def __init__(self, path: str, baud: int, heard: Callable[[Frame, int], None]) -> None:
        self.path, self.baud = path, baud
        self._port = open_port(path, baud)
        self._heard, self._decoder = heard, Decoder()
        #: why the port is of no use any more; empty: it is
        self.lost = ''
        #: commands that a newer one took the place of before the line was free
        self.superseded = 0
        self._lock = threading.Lock()
        self._waiting: Command | None = None
        self._sequence = self._free_ns = self._asked_ns = self._forget_ns = 0
        self._outstanding = self._torn = self._closing = False
        self._commands: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._questions: deque[int] = deque(maxlen=_REMEMBERED)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._serve, name='serial', daemon=True)
        self._thread.start()

    def send(self, stamp_ns: int, values: tuple[float, ...]) -> None:
        """
        Send a command now, or as soon as the line is free; it never waits.

        :raises ValueError: more values than a command has, or one that is no single precision
        """
        with self._lock:
            command = Command(self._sequence, stamp_ns, values)
            data = encode(command)
            self._sequence = (self._sequence + 1) % _SEQUENCES
            if time.monotonic_ns() >= self._free_ns and self._waiting is None:
                self._command(command, data)
                return
            self.superseded += self._waiting is not None
            self._waiting = command
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Hang up; what is on its way in is lost."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._port)
        os.close(self._wake)

    def _serve(self) -> None:
        try:
            while not self._closing and not self.lost:
                ready = select.select([self._port, self._wake], [], [], self._sleep_s())[0]
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                if self._port in ready:
                    self._read()
                self._send_due(time.monotonic_ns())
        finally:
            # whatever ended this thread, nobody listens any more
            self.lost = self.lost or _GONE

    def _sleep_s(self) -> float:
        with self._lock:
            due_ns = self._free_ns
            if self._waiting is None:
                due_ns = max(due_ns, self._asked_ns + ASK_NS,
                             self._forget_ns if self._outstanding else 0)
        return max(0.0, min((due_ns - time.monotonic_ns()) / 1e9, POLL_S))

    def _read(self) -> None:
        try:
            data = os.read(self._port, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost = error.strerror or _GONE
            return
        if not data:
            self.lost = _GONE
            return
        now_ns = time.monotonic_ns()
        for frame in self._decoder.feed(data):
            if isinstance(frame, Applied):
                self._outstanding = False
            if self._asked_for(frame):
                self._heard(frame, now_ns)

    def _asked_for(self, frame: Frame) -> bool:
        """Say whether a frame answers what was sent from here, or is no answer at all."""
        with self._lock:
            if isinstance(frame, Applied):
                return (frame.sequence, frame.stamp_ns) in self._commands
            return not isinstance(frame, Answer) or frame.host_ns in self._questions

    def _send_due(self, now_ns: int) -> None:
        with self._lock:
            if now_ns < self._free_ns or self.lost:
                return
            if self._waiting is not None:
                command, self._waiting = self._waiting, None
                self._command(command, encode(command))
            elif now_ns - self._asked_ns >= ASK_NS and not (
                    self._outstanding and now_ns < self._forget_ns):
                self._asked_ns = time.monotonic_ns()
                self._questions.append(self._asked_ns)
                self._write(encode(Question(self._asked_ns)))

    def _command(self, command: Command, data: bytes) -> None:
        self._commands.append((command.sequence, command.stamp_ns))
        self._write(data)
        self._outstanding = True
        self._forget_ns = self._free_ns + _FORGET_NS + line_ns(_ANSWER_BYTES, self.baud)

    def _write(self, data: bytes) -> None:
        """Write a frame; the rest of one that was torn is ended first."""
        data = END + data if self._torn else data
        try:
            written = os.write(self._port, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self.lost = error.strerror or _GONE
            return
        self._torn = written < len(data)
        self._free_ns = time.monotonic_ns() + line_ns(written, self.baud)


def came_ns(answer: Answer, baud: int) -> int:
    """Return the earliest that the question can have come, by the line [ns, steady]."""
    return answer.host_ns + line_ns(len(encode(Question(answer.host_ns))), baud)


def set_out_ns(answer: Answer, heard_ns: int, baud: int) -> int:
    """Return the latest that an answer heard at a time can have set out [ns, steady]."""
    return heard_ns - line_ns(len(encode(answer)), baud)
