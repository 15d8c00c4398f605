"""`firmware_stand_in`: a micro-controller behind a pseudo-terminal, with the pace of a line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, ExitStack, suppress
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import time
import tty
from typing import IO

from wm_eval_ros.errors import ConfigError, WmEvalError
from wm_eval_ros.plants.firmware import Firmware
from wm_eval_ros.plants.serial_line import Crystal, Line
from wm_eval_ros.wire.serial_frames import Command

EXAMPLE = """example:
  firmware_stand_in --baud 115200 --log truth.jsonl

prints the path of its pseudo-terminal, then plays the micro-controller of docs/serial.md behind it
until it is told to stop or whoever started it ends. exit: 0 stopped, 2 bad input.
"""
#: longest sleep: how late a lost parent is noticed [s]
POLL_S = 0.1
#: most read at once [bytes]
CHUNK = 4096


class StandIn:
    """
    The micro-controller behind a pseudo-terminal.

    Whatever it does it does at the time that its clock says then, never at the time that was due:
    a late tick is late in what it answers and in its log alike.

    :param log: each command that acts, as JSON lines, with when by CLOCK_MONOTONIC; None: no log
    """

    def __init__(self, baud: int, tick_us: int, timeout_us: int, crystal: Crystal,
                 log: IO[str] | None) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        #: path that the host opens
        self.path = os.ttyname(self._slave)
        self._crystal, self._log = crystal, log
        self._in, self._out = Line(baud), Line(baud)
        self._firmware = Firmware(tick_us, timeout_us, self._note)
        self._now_ns = 0

    def step(self, longest_s: float) -> None:
        """Wait until something is due or comes, at most so long, and do it."""
        if select.select([self._master], [], [], self._sleep_s(longest_s))[0]:
            data = os.read(self._master, CHUNK)
            self._in.add(time.monotonic_ns(), data)
        self._now_ns = now_ns = time.monotonic_ns()
        now_us = self._crystal.us(now_ns)
        out = self._firmware.advance(now_us)
        out += self._firmware.feed(self._in.due(now_ns), now_us)
        self._out.add(now_ns, out)
        ready = self._out.due(now_ns)
        if ready:
            # a host that does not read loses them, as behind a real line
            with suppress(BlockingIOError):
                os.write(self._master, ready)

    def close(self) -> None:
        """Hang up."""
        os.close(self._slave)
        os.close(self._master)

    def _sleep_s(self, longest_s: float) -> float:
        due = [self._crystal.ns(self._firmware.due_us), self._in.due_ns, self._out.due_ns]
        wait_ns = min(d for d in due if d is not None) - time.monotonic_ns()
        return max(0.0, min(wait_ns / 1e9, longest_s))

    def _note(self, command: Command) -> None:
        if self._log is not None:
            print(json.dumps({'sequence': command.sequence, 'stamp_ns': command.stamp_ns,
                              'steady_ns': self._now_ns}), file=self._log)


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(prog='firmware_stand_in', description=__doc__, epilog=EXAMPLE,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('--baud', type=int, default=115200, help='bits a second of the line')
    made.add_argument('--tick-hz', type=float, default=1000.0, help='rate of the control ticks')
    made.add_argument('--driver-timeout-ms', type=float, default=200.0,
                      help='without a command for this long zero acts')
    made.add_argument('--clock-s', type=float, default=0.0, metavar='S',
                      help='what its clock shows at the start')
    made.add_argument('--clock-ppm', type=float, default=0.0, metavar='PPM',
                      help="how much faster its clock runs than the host's, in millionths")
    made.add_argument('--log', type=Path, metavar='FILE',
                      help='file of what acted when, by CLOCK_MONOTONIC, as JSON lines')
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command."""
    args = parser().parse_args(argv)
    try:
        return _main(args)
    except WmEvalError as error:
        print(f'firmware_stand_in: {error}', file=sys.stderr)
        return error.exit_code


def _main(args: argparse.Namespace) -> int:
    for name, low, high in (('baud', 300, 4_000_000), ('tick_hz', 1, 10_000),
                            ('driver_timeout_ms', 1, 60_000), ('clock_s', 0, 1e9),
                            ('clock_ppm', -1000, 1000)):
        if not low <= getattr(args, name) <= high:
            raise ConfigError(f'--{name.replace("_", "-")} {getattr(args, name):g}: give '
                              f'{low:g} to {high:g}')
    crystal = Crystal(time.monotonic_ns(), round(args.clock_s * 1e6), args.clock_ppm)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.append(number))
    parent = os.getppid()
    with ExitStack() as files:
        log = None if args.log is None else files.enter_context(_opened(args.log))
        made = StandIn(args.baud, round(1e6 / args.tick_hz), round(args.driver_timeout_ms * 1e3),
                       crystal, log)
        files.callback(made.close)
        print(made.path, flush=True)
        while not stop and os.getppid() == parent:
            made.step(POLL_S)
    return 0


def _opened(path: Path) -> IO[str]:
    try:
        return path.open('w', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--log {path}: cannot be written ({error.strerror})') from None


@contextmanager
def standing_in(*words: str) -> Iterator[str]:
    """Keep a stand-in running as a process of its own, and return the path to open."""
    process = subprocess.Popen([sys.executable, '-m', __name__, *words], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        path = process.stdout.readline().strip()
        if not path:
            raise ConfigError('the stand-in of the firmware did not start')
        yield path
    finally:
        process.terminate()
        process.communicate()


if __name__ == '__main__':
    sys.exit(main())
