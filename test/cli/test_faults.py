"""What the plant says is done to the planner's process."""

from __future__ import annotations

import errno
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
import time

import pytest

from wm_eval_ros.cli.faults import process_fault, ProcessFaults
from wm_eval_ros.cli.processes import failure, NodeProcess
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.perturb.protocol import ProcessFault

#: grows a file by 64 KiB whenever a byte comes; ends with the number of the error
WRITER = """import sys
with open(sys.argv[1], 'ab', buffering=0) as file:
    while sys.stdin.read(1):
        try:
            file.write(bytes(65536))
        except OSError as error:
            sys.exit(error.errno)
        print('written', flush=True)
"""


class Sleeper(NodeProcess):
    """A process that does nothing, in a planner's place."""

    def __init__(self, log: Path) -> None:
        self.name, self.log, self.killed_by = 'planner', log, ''
        self._process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])

    @property
    def state(self) -> str:
        """The kernel's letter: T is stopped."""
        return Path(f'/proc/{self._process.pid}/stat').read_text().rpartition(') ')[2][0]

    def reaches(self, letters: str) -> bool:
        end = time.monotonic() + 5.0
        while self.state not in letters and time.monotonic() < end:
            time.sleep(0.01)
        return self.state in letters


class Writer(NodeProcess):
    """A process that writes, in a recorder's place."""

    def __init__(self, log: Path, file: Path) -> None:
        self.name, self.log, self.killed_by = 'recorder', log, ''
        self._process = subprocess.Popen([sys.executable, '-c', WRITER, str(file)], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(self) -> bool:
        """Write once more; say whether it could."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write('x')
        self._process.stdin.flush()
        return self._process.stdout.readline() == 'written\n'


@pytest.fixture
def recording(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / 'bag').mkdir()
    writer = Writer(tmp_path / 'log', tmp_path / 'bag' / 'bag_0.mcap')
    faults = ProcessFaults({'recorder': writer}, lambda count: writer, tmp_path / 'bag')
    yield writer, faults
    if writer.code is None:
        writer._process.kill()
    writer._process.communicate()


@pytest.fixture
def running(tmp_path: Path):  # type: ignore[no-untyped-def]
    processes = {'planner': Sleeper(tmp_path / 'planner.log')}
    made = [processes['planner']]

    def restart(count: int) -> Sleeper:
        made.append(Sleeper(tmp_path / f'planner.{count}.log'))
        return made[-1]

    yield processes, ProcessFaults(processes, restart, tmp_path), made
    for process in made:
        if process.code is None:
            os.kill(process._process.pid, signal.SIGKILL)
            process._process.wait()


def on(name: str, kind: str = 'PERTURB_ON') -> dict[str, str]:
    return {'kind': kind, 'label': name}


def test_a_killed_planner_is_dead_as_planned_and_is_started_again_at_the_end(running) -> None:  # type: ignore[no-untyped-def]
    processes, faults, made = running
    faults.heed(on('timing.planner_kill'))
    assert made[0].code == -signal.SIGKILL
    assert faults.planned(made[0])
    faults.heed(on('timing.planner_kill', 'PERTURB_OFF'))
    assert processes['planner'] is made[1]
    assert made[1].code is None
    assert made[1].log.name == 'planner.1.log'
    assert not faults.planned(made[1])


def test_the_next_kill_hits_the_one_that_was_started_again(running) -> None:  # type: ignore[no-untyped-def]
    _, faults, made = running
    for kind in ('PERTURB_ON', 'PERTURB_OFF') * 2:
        faults.heed(on('timing.planner_kill', kind))
    assert [p.code for p in made] == [-signal.SIGKILL, -signal.SIGKILL, None]


def test_a_stopped_planner_stands_and_goes_on(running) -> None:  # type: ignore[no-untyped-def]
    _, faults, made = running
    faults.heed(on('timing.planner_stop'))
    assert made[0].reaches('T')
    faults.heed(on('timing.planner_stop', 'PERTURB_OFF'))
    assert made[0].reaches('SR')


def test_a_run_that_breaks_off_leaves_no_planner_stopped(running) -> None:  # type: ignore[no-untyped-def]
    _, faults, made = running
    faults.heed(on('timing.planner_stop'))
    assert made[0].reaches('T')
    faults.clear()
    assert made[0].reaches('SR')


def test_other_lines_of_the_plant_do_nothing(running) -> None:  # type: ignore[no-untyped-def]
    _, faults, made = running
    for said in ({}, {'done': 3}, on('sensor.bias'), on('of.somebody'),
                 on('timing.planner_kill', 'PERTURB_SKIPPED')):
        faults.heed(said)
    assert made[0].reaches('SR')


def test_only_faults_of_processes_are_for_the_launcher() -> None:
    assert process_fault('timing.planner_kill') is ProcessFault.KILL
    assert process_fault('command.second_publisher') is ProcessFault.SECOND_PUBLISHER
    assert process_fault('sensor.bias') is None
    assert process_fault('of.somebody') is None


def test_a_full_disk_refuses_what_goes_beyond_its_room(recording) -> None:  # type: ignore[no-untyped-def]
    writer, faults = recording
    assert all(writer.write() for _ in range(3))
    faults.heed({**on('timing.disk_full'), 'value': 1.0})
    # a sixteenth of a MiB: one block of 64 KiB
    assert [writer.write() for _ in range(2)] == [True, False]
    assert writer._process.wait(5.0) == errno.EFBIG


def test_a_disk_that_is_not_full_any_more_takes_everything(recording) -> None:  # type: ignore[no-untyped-def]
    writer, faults = recording
    faults.heed({**on('timing.disk_full'), 'value': 1.0})
    faults.heed({**on('timing.disk_full', 'PERTURB_OFF'), 'value': 1.0})
    assert all(writer.write() for _ in range(20))


def test_limits_of_the_shell_hold_before_during_and_after_a_full_disk(recording) -> None:  # type: ignore[no-untyped-def]
    writer, faults = recording
    pid, given = writer._process.pid, (4 << 20, 8 << 20)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, given)
    for _ in range(2):
        faults.heed({**on('timing.disk_full'), 'value': 1.0})
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (1 << 16, given[1])
        faults.heed({**on('timing.disk_full', 'PERTURB_OFF'), 'value': 1.0})
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == given
    writer.limit_files(5 << 20)
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == given, 'it never gives more room'


def test_a_killed_recorder_lives_until_the_onset_is_in_the_bag_and_its_end_is_told(recording) -> None:  # type: ignore[no-untyped-def]  # noqa: E501
    writer, faults = recording
    begin = time.monotonic()
    faults.heed({**on('timing.recorder_kill'), 'value': 1.0})
    assert writer.write()
    assert writer._process.wait(5.0) == -signal.SIGKILL
    assert time.monotonic() - begin >= 0.5
    error = failure(writer)
    assert isinstance(error, RecordingError)
    assert 'recorder node was killed by timing.recorder_kill, as scheduled' in str(error)


def test_a_run_that_ends_before_it_kills_no_recorder(recording) -> None:  # type: ignore[no-untyped-def]
    writer, faults = recording
    faults.heed({**on('timing.recorder_kill'), 'value': 1.0})
    faults.clear()
    time.sleep(0.7)
    assert writer.write()
