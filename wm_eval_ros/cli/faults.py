"""Perturbations of the planner's process: killed, started again, stopped; told by the plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from wm_eval_ros.cli.processes import NodeProcess
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.protocol import ChangesProcesses, ProcessFault
from wm_eval_ros.records import EventKind


class ProcessFaults:
    """Does to the planner's process what the plant's events say."""

    def __init__(
        self, running: MutableMapping[str, NodeProcess], restart: Callable[[int], NodeProcess],
    ) -> None:
        """
        Do nothing yet.

        :param running: processes by node; the planner's is replaced when it is started again
        :param restart: starts a planner, given how many there were before it
        """
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

    def planned(self, process: NodeProcess) -> bool:
        """Say whether a process died because it was to."""
        return self._down and process is self._running['planner']

    def clear(self) -> None:
        """Let a stopped planner go on, so that it can end."""
        self._stop(False)

    def _kill(self) -> None:
        self._down = True
        self._running['planner'].kill()

    def _revive(self) -> None:
        if self._down:
            self._running['planner'] = self._restart(self._count)
            self._down, self._stopped = False, False
            self._count += 1

    def _stop(self, on: bool) -> None:
        if on != self._stopped and not self._down:
            self._running['planner'].suspend(on)
            self._stopped = on


def process_fault(name: str) -> ProcessFault | None:
    """Return what a perturbation does to a process; None: nothing, or it is not known here."""
    if name not in catalogue.names():
        return None
    kind = catalogue.load(name)
    return kind.process_fault() if issubclass(kind, ChangesProcesses) else None
