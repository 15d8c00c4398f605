"""Perturbations of planner and recorder as processes: killed, stopped; told by the plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
import threading
from typing import Any

from wm_eval_ros.cli.processes import NodeProcess
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.processes import DiskFull, RecorderKill
from wm_eval_ros.perturb.protocol import ChangesProcesses, ProcessFault
from wm_eval_ros.records import EventKind


class ProcessFaults:
    """Does to the processes of planner and recorder what the plant's events say."""

    def __init__(
        self, running: MutableMapping[str, NodeProcess], restart: Callable[[int], NodeProcess],
        bag: Path,
    ) -> None:
        """
        Do nothing yet.

        :param running: processes by node; the planner's is replaced when it is started again
        :param restart: starts a planner, given how many there were before it
        :param bag: folder that the recorder writes
        """
        self._bag = bag
        self._timer: threading.Timer | None = None
        self._running, self._restart = running, restart
        self._count = 1
        #: it was killed, and is to be started again at the end of the perturbation
        self._down = False
        self._stopped = False

    def heed(self, said: Mapping[str, Any]) -> None:
        """Follow a line of the plant."""
        kind, name = said.get('kind'), str(said.get('label', ''))
        if kind not in (EventKind.PERTURB_ON.name, EventKind.PERTURB_OFF.name):
            return
        fault = process_fault(name)
        on = kind == EventKind.PERTURB_ON.name
        if fault is ProcessFault.KILL:
            self._kill() if on else self._revive()
        elif fault is ProcessFault.STOP:
            self._stop(on)
        elif fault is ProcessFault.RECORDER_KILL and on and self._timer is None:
            self._kill_recorder(name, float(said['value']))
        elif fault is ProcessFault.DISK_FULL:
            self._fill(float(said['value']) if on else None)

    def planned(self, process: NodeProcess) -> bool:
        """Say whether a process died because it was to."""
        return self._down and process is self._running['planner']

    def clear(self) -> None:
        """Let a stopped planner go on, so that it can end; kill nobody any more."""
        self._stop(False)
        if self._timer is not None:
            self._timer.cancel()

    def _kill(self) -> None:
        self._down = True
        self._running['planner'].kill('timing.planner_kill')

    def _kill_recorder(self, name: str, severity: float) -> None:
        self._timer = threading.Timer(RecorderKill.after_s(severity),
                                      self._running['recorder'].kill, (f'{name}, as scheduled',))
        self._timer.daemon = True
        self._timer.start()

    def _fill(self, severity: float | None) -> None:
        """Let the disk be full, or not any more: a limit on the size of the recorder's files."""
        recorder = self._running['recorder']
        if severity is None:
            recorder.limit_files()
            return
        written = max((file.stat().st_size for file in self._bag.iterdir()), default=0)
        recorder.limit_files(written + DiskFull.room(severity))

    def _revive(self) -> None:
        if self._down:
            self._running['planner'] = self._restart(self._count)
            self._down, self._stopped = False, False
            self._count += 1

    def _stop(self, on: bool) -> None:
        if on != self._stopped and not self._down:
            self._running['planner'].suspend(on)
            self._stopped = on


def require_processes(scenario: Scenario) -> None:
    """
    Refuse faults of processes where planner and supervisor are one.

    :raises ConfigError: naming the first
    """
    for each in scenario.perturbations if scenario.composed else ():
        if process_fault(each.name) is not None:
            raise ConfigError(f'perturbations: {each.name} is done to a process, and with '
                              'composed: true planner and supervisor are one; set it false')


def process_fault(name: str) -> ProcessFault | None:
    """Return what a perturbation does to a process; None: nothing, or it is not known here."""
    if name not in catalogue.names():
        return None
    kind = catalogue.load(name)
    return kind.process_fault() if issubclass(kind, ChangesProcesses) else None
