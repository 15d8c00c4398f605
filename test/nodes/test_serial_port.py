"""The host's end of a serial line, against terminals of the test's own and a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
import os
from pathlib import Path
import select
import termios
import time

import pytest

from wm_eval_ros.cli.firmware import standing_in
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.serial_port import came_ns, open_port, SerialPort, set_out_ns
from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    Decoder,
    encode,
    Frame,
    line_ns,
    Question,
)

BAUD = 115200


class Terminal:
    """The micro-controller's side by hand, and a port at the other."""

    def __init__(self, baud: int = BAUD) -> None:
        self.master, self._slave = os.openpty()
        self.heard: list[tuple[Frame, int]] = []
        self.port = SerialPort(os.ttyname(self._slave), baud,
                               lambda frame, at_ns: self.heard.append((frame, at_ns)))
        self._decoder = Decoder()
        self.came: list[tuple[Frame, int]] = []

    def commands(self) -> list[Command]:
        return [f for f, _ in self.came if isinstance(f, Command)]

    def take(self, within_s: float) -> None:
        end = time.monotonic() + within_s
        while (left_s := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left_s)[0]:
                data, now_ns = os.read(self.master, 4096), time.monotonic_ns()
                self.came += [(f, now_ns) for f in self._decoder.feed(data)]

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


@pytest.fixture
def make_terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(baud: int = BAUD) -> Terminal:
        made.append(Terminal(baud))
        return made[-1]

    yield make
    for terminal in made:
        terminal.port.close()
        terminal.hang_up()


def until(done: Callable[[], object], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end, 'it never happened'
        time.sleep(0.01)


def test_a_command_goes_out_at_once_and_carries_stamp_and_number(
    make_terminal: Callable[..., Terminal]
) -> None:
    terminal = make_terminal()
    for number in range(3):
        terminal.port.send(100 + number, (0.5, float(number)))
        terminal.take(0.05)
    assert terminal.commands() == [Command(n, 100 + n, (0.5, float(n))) for n in range(3)]


def test_on_a_slow_line_the_older_of_waiting_commands_are_left_out(
    make_terminal: Callable[..., Terminal]
) -> None:
    terminal = make_terminal(1200)
    for number in range(50):
        terminal.port.send(number, (1.0,))
        terminal.take(0.02)
    terminal.take(0.7)
    sent = terminal.commands()
    assert sent[-1].sequence == 49, 'the newest is never left out'
    one_s = line_ns(len(encode(sent[0])), 1200) / 1e9
    # the line is busy with questions, too
    assert 2 <= len(sent) <= 2 + 2.0 / one_s
    assert len(sent) + terminal.port.superseded == 50
    at = [at for f, at in terminal.came if isinstance(f, Command)]
    assert min(b - a for a, b in pairwise(at)) > 0.8e9 * one_s


def test_no_question_is_asked_while_a_command_is_not_answered(
    make_terminal: Callable[..., Terminal]
) -> None:
    terminal = make_terminal()
    terminal.take(0.25)
    assert [f for f, _ in terminal.came if isinstance(f, Question)]
    for number in range(20):
        terminal.port.send(number, (1.0,))
        terminal.take(0.02)
    kinds = [type(f) for f, _ in terminal.came]
    first = kinds.index(Command)
    # a question that was due as the first command came may follow it closely
    assert Question not in kinds[first + 2:]
    os.write(terminal.master, encode(Applied(19, 19, 1, 2)))
    terminal.take(0.03)
    assert isinstance(terminal.came[-1][0], Question), 'as soon as it is'


def test_what_is_heard_comes_with_its_time_and_damage_is_left_out(
    make_terminal: Callable[..., Terminal]
) -> None:
    terminal = make_terminal()
    terminal.port.send(2, (1.0,))
    terminal.take(0.2)
    assert terminal.commands()
    before_ns = time.monotonic_ns()
    # an earlier host's command and question are answered still
    os.write(terminal.master, b'half a frame\0' + b''.join(encode(f) for f in (
        Applied(0, 3, 3, 4), Answer(17, 3, 4), Applied(1, 2, 3, 4), Applied(0, 2, 3, 4))))
    until(lambda: terminal.heard)
    (frame, at_ns), = terminal.heard
    assert frame == Applied(0, 2, 3, 4)
    assert before_ns <= at_ns <= time.monotonic_ns()


def test_a_full_line_never_blocks_and_a_torn_frame_spoils_no_other(
    make_terminal: Callable[..., Terminal]
) -> None:
    terminal = make_terminal(4_000_000)
    begin = time.monotonic()
    # nobody reads: the system's buffer fills, and takes the last frame in part
    for number in range(2000):
        terminal.port.send(number, (1.0,) * 30)
        time.sleep(0.0004)
    assert time.monotonic() - begin < 10.0
    terminal.take(0.3)
    terminal.port.send(7777, (2.0,))
    terminal.take(0.3)
    assert terminal.commands()[-1].stamp_ns == 7777


def test_a_line_that_hangs_up_is_told_of(make_terminal: Callable[..., Terminal]) -> None:
    terminal = make_terminal()
    assert terminal.port.lost == ''
    terminal.hang_up()
    until(lambda: terminal.port.lost)
    terminal.port.send(1, (1.0,))


@pytest.mark.parametrize(('values', 'says'), [((), '0 values'), ((1e39,), 'too large')])
def test_what_no_command_holds_is_refused(
    make_terminal: Callable[..., Terminal], values: tuple[float, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        make_terminal().port.send(0, values)


def test_a_port_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.touch()
    for path, baud, says in ((tmp_path / 'nope', BAUD, 'No such file'), (file, BAUD, 'no serial'),
                             (tmp_path, BAUD, 'cannot be opened'), (file, 12345, 'baud: 12345')):
        with pytest.raises(ConfigError, match=says):
            open_port(str(path), baud)


@pytest.mark.parametrize(('baud', 'speed'), [(9600, termios.B9600), (115200, termios.B115200)])
def test_a_port_is_raw_and_of_the_rate_asked_for(baud: int, speed: int) -> None:
    master, slave = os.openpty()
    port = open_port(os.ttyname(slave), baud)
    iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(port)
    for other in (port, slave, master):
        os.close(other)
    assert ispeed == ospeed == speed
    assert cflag & termios.CSIZE == termios.CS8
    assert not cflag & (termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
    assert cflag & termios.CLOCAL and cflag & termios.CREAD
    assert not oflag & termios.OPOST
    assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert not iflag & (termios.IXON | termios.ICRNL)


def test_against_the_stand_in_every_command_acts_and_every_exchange_bounds_the_clock() -> None:
    heard: list[tuple[Frame, int]] = []
    with standing_in('--clock-s', '100') as path:
        begin_ns = time.monotonic_ns()
        port = SerialPort(path, BAUD, lambda frame, at_ns: heard.append((frame, at_ns)))
        for number in range(30):
            port.send(number, (1.0, 2.0))
            time.sleep(0.03)
        until(lambda: sum(isinstance(f, Applied) for f, _ in heard) == 30)
        port.close()
    asked = [(f, at) for f, at in heard if isinstance(f, Answer)]
    assert len(asked) >= 5
    low = max(f.sent_us * 1000 - set_out_ns(f, at, BAUD) for f, at in asked)
    high = min(f.received_us * 1000 + 1000 - came_ns(f, BAUD) for f, at in asked)
    # its clock showed 100 s as it was started, up to some seconds before
    assert low <= high
    assert 100 * 10**9 - begin_ns <= high <= 110 * 10**9 - begin_ns
