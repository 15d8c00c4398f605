"""What the plant says is done to the planner's process."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from wm_eval_ros.cli.faults import process_fault, ProcessFaults
from wm_eval_ros.cli.processes import NodeProcess
from wm_eval_ros.perturb.protocol import ProcessFault


class Sleeper(NodeProcess):
    """A process that does nothing, in a planner's place."""

    def __init__(self, log: Path) -> None:
        self.name, self.log = 'planner', log
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


@pytest.fixture
def running(tmp_path: Path):  # type: ignore[no-untyped-def]
    processes = {'planner': Sleeper(tmp_path / 'planner.log')}
    made = [processes['planner']]

    def restart(count: int) -> Sleeper:
        made.append(Sleeper(tmp_path / f'planner.{count}.log'))
        return made[-1]

    yield processes, ProcessFaults(processes, restart), made
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
