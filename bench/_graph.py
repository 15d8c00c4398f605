"""A run of the whole graph in a folder of its own, optionally with a plant that notes arrivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any
from unittest import mock

from wm_eval_ros.cli import graph
from wm_eval_ros.cli.processes import NodeProcess
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario

#: file the noting plant writes to, by environment variable
ARRIVALS = 'WM_EVAL_BENCH_ARRIVALS'
CHECKPOINTS = Path(graph.__file__).parents[1] / 'checkpoints'


def scenario(name: str, planner: str = '', **overrides: object) -> Scenario:
    """
    Load a shipped scenario.

    :param planner: planner in place of the scenario's, without a model; empty: the scenario's own
    :param overrides: dotted keys with ``__`` for the dot
    """
    laid = {key.replace('__', '.'): value for key, value in overrides.items()}
    if planner:
        laid |= {'planner.planner': planner, 'planner.model': ''}
    return load_scenario(find_scenario(name), laid)


def has_checkpoint(task: str) -> bool:
    """Say whether a trained model of the task ships."""
    return (CHECKPOINTS / task / 'spec.json').is_file()


class Noting(NodeProcess):
    """Starts the noting plant in place of the plant; every other node as it is."""

    #: node -> script of this folder in its place, and its words
    scripts: Mapping[str, Sequence[str]] = {'plant': ('_noting_plant.py',)}

    def __init__(self, name: str, parameters: Mapping[str, Any], log: Path,
                 environment: Mapping[str, str], *, follow: bool = False) -> None:
        if name not in self.scripts:
            super().__init__(name, parameters, log, environment, follow=follow)
            return
        self.name, self.log = name, log
        script, *more = self.scripts[name]
        words = [sys.executable, str(Path(__file__).with_name(script)), *more, '--ros-args']
        for key, value in parameters.items():
            words += ['-p', f'{key}:={json.dumps(value)}']
        with log.open('wb') as sink:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if follow else sink, stderr=sink, env=dict(environment),
                start_new_session=True)


def run(chosen: Scenario, folder: Path, *, note_arrivals: bool = False,
        tell: Callable[[dict[str, Any]], None] = lambda said: None) -> Path:
    """
    Run a scenario and return its bag.

    :param note_arrivals: have the plant write down when each command reached its callback
    """
    made = graph.GraphRun(folder)
    kind = Noting if note_arrivals else NodeProcess
    with mock.patch.object(graph, 'NodeProcess', kind), mock.patch.dict(
            os.environ, {ARRIVALS: str(arrivals_file(folder))}):
        made.execute(chosen, tell)
    return made.bag


def arrivals_file(folder: Path) -> Path:
    """Return the file of a run's arrivals."""
    return folder / 'arrivals.json'


def arrivals(folder: Path) -> dict[int, int]:
    """Return command stamp [ns, ROS] -> arrival in the plant's callback [ns, steady]."""
    noted = json.loads(arrivals_file(folder).read_text(encoding='utf-8'))
    return {int(stamp): int(steady) for stamp, steady in noted['arrivals']}


def is_realtime(folder: Path) -> bool:
    """Say whether the plant of a run had real-time priority."""
    policy = json.loads(arrivals_file(folder).read_text(encoding='utf-8'))['policy']
    return policy in (os.SCHED_FIFO, os.SCHED_RR)
