"""The stand-in of a micro-controller as a process: its terminal, its pace, its log, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import time
import tty

import pytest

from wm_eval_ros.cli.firmware import main, standing_in
from wm_eval_ros.errors import EXIT_BAD_INPUT
from wm_eval_ros.wire.serial_frames import (
    Answer,
    Applied,
    Command,
    Decoder,
    encode,
    Frame,
    line_ns,
    Question,
    Status,
)


class Peer:
    """The host's end, by hand."""

    def __init__(self, path: str) -> None:
        self.port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.port)
        self._decoder = Decoder()
        #: frames, and when each had come [ns, steady]
        self.heard: list[tuple[Frame, int]] = []

    def say(self, *frames: Frame) -> int:
        now_ns = time.monotonic_ns()
        os.write(self.port, b''.join(encode(f) for f in frames))
        return now_ns

    def until(self, done: Callable[[], object], within_s: float = 10.0) -> None:
        end = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < end, 'it never came'
            if select.select([self.port], [], [], 0.1)[0]:
                data, now_ns = os.read(self.port, 4096), time.monotonic_ns()
                self.heard += [(f, now_ns) for f in self._decoder.feed(data)]

    def of(self, kind: type[Frame]) -> list[Frame]:
        return [f for f, _ in self.heard if isinstance(f, kind)]


@contextmanager
def peer(*words: str) -> Iterator[Peer]:
    with standing_in(*words) as path:
        made = Peer(path)
        try:
            yield made
        finally:
            os.close(made.port)


def test_a_command_acts_and_the_log_says_when(tmp_path: Path) -> None:
    log = tmp_path / 'truth.jsonl'
    with peer('--clock-s', '4321', '--clock-ppm', '50', '--log', str(log)) as host:
        sent_ns = host.say(Command(3, 17, (0.5, -0.5)))
        host.until(lambda: host.of(Applied))
        (frame, heard_ns), = ((f, at) for f, at in host.heard if isinstance(f, Applied))
    assert isinstance(frame, Applied)
    assert (frame.sequence, frame.stamp_ns) == (3, 17)
    assert 4_321_000_000 < frame.received_us <= frame.applied_us < 4_331_000_000
    (told,) = map(json.loads, log.read_text().splitlines())
    assert (told['sequence'], told['stamp_ns']) == (3, 17)
    command, answer = (line_ns(len(encode(f)), 115200) for f in (
        Command(3, 17, (0.5, -0.5)), frame))
    assert sent_ns + command <= told['steady_ns'] <= heard_ns - answer


@pytest.mark.parametrize('baud', [9600, 115200])
def test_nothing_comes_out_before_the_rate_of_the_line_allows(baud: int) -> None:
    with peer('--baud', str(baud)) as host:
        count = 20
        sent_ns = host.say(*(Question(k) for k in range(count)))
        host.until(lambda: len(host.of(Answer)) == count)
        at = [at for f, at in host.heard if isinstance(f, Answer)]
    one_ns = line_ns(29, baud)
    for k, heard_ns in enumerate(at):
        assert heard_ns - sent_ns >= (k + 2) * one_ns - 1000, 'k + 1 questions there, one back'
    assert at[-1] - sent_ns < (count + 2) * one_ns + 500_000_000


def test_it_says_that_no_command_came(tmp_path: Path) -> None:
    with peer('--driver-timeout-ms', '50') as host:
        host.say(Command(0, 0, (1.0,)))
        host.until(lambda: any(f.tripped for f in host.of(Status) if isinstance(f, Status)))
        assert [f.trips for f in host.of(Status) if isinstance(f, Status)][-1] == 1


def test_a_host_that_does_not_read_does_not_stop_it() -> None:
    with peer('--baud', '4000000') as host:
        for k in range(100):
            host.say(*(Question(k) for _ in range(20)))
            time.sleep(0.002)
        host.say(Question(-7))
        # what no buffer held is lost, and the next question is answered
        host.until(lambda: host.heard)
        host.say(Question(-8))
        host.until(lambda: any(isinstance(f, Answer) and f.host_ns == -8 for f, _ in host.heard))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_path_and_ends_when_told_to(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, '-m', 'wm_eval_ros.cli.firmware'],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    path = process.stdout.readline().strip()
    assert Path(path).is_char_device()
    process.send_signal(number)
    process.communicate(timeout=10.0)
    assert process.returncode == 0
    assert not Path(path).exists()


def test_it_ends_with_whoever_started_it() -> None:
    script = ('import subprocess, sys\n'
              'subprocess.Popen([sys.executable, "-m", "wm_eval_ros.cli.firmware"])\n'
              'sys.stdin.readline()\n')
    starter = subprocess.Popen([sys.executable, '-c', script], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    path = starter.stdout.readline().strip()
    assert Path(path).is_char_device()
    starter.communicate('\n', timeout=10.0)
    end = time.monotonic() + 10.0
    while Path(path).exists():
        assert time.monotonic() < end, 'it lives on'
        time.sleep(0.05)


@pytest.mark.parametrize(('words', 'says'), [
    (['--baud', '1'], '--baud 1'), (['--tick-hz', '0'], '--tick-hz 0'),
    (['--tick-hz', 'nan'], '--tick-hz nan'), (['--clock-ppm', '1e9'], '--clock-ppm 1e+09'),
    (['--driver-timeout-ms', '-1'], '--driver-timeout-ms -1'),
    (['--log', '/nowhere/at/all'], 'cannot be written'),
])
def test_bad_input_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == EXIT_BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ''
    assert len(told.err.splitlines()) == 1
    assert says in told.err
