"""One run of the graph: five processes, from ready to the closed bag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
import signal
import time
from typing import Any

import yaml

from wm_eval_ros.cli.overrides import require_new
from wm_eval_ros.cli.processes import (
    end,
    failure,
    node_environment,
    NodeProcess,
    reserved_domain,
    robot_domain,
    watch,
)
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError

#: nodes of every run beside the plant, in the order of their start
NODES = ('supervisor', 'planner', 'monitor', 'recorder')
#: nodes that only listen
LISTENERS = ('monitor', 'recorder')


class GraphRun:
    """The files of one run, all below one folder."""

    def __init__(self, folder: Path) -> None:
        """
        Make the folder.

        :raises ConfigError: it exists and is not empty, or cannot be made
        """
        require_new(folder)
        try:
            (folder / 'log').mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f'{folder}: cannot be made ({error.strerror})') from None
        self.folder = folder
        self.bag = folder / 'bag'
        self.live = folder / 'live.json'
        self.scenario = folder / 'scenario.yaml'

    def execute(
        self, scenario: Scenario, tell: Callable[[dict[str, Any]], None], domain: int | None = None
    ) -> None:
        """
        Run the scenario until its last episode has ended and everything is in the bag.

        :param tell: called with every episode event
        :param domain: DDS domain; None: a free one, or for a robot that of the environment
        :raises RunError: a node died; the bag holds what was recorded until then
        """
        self.scenario.write_text(yaml.safe_dump(to_plain(scenario), sort_keys=False),
                                 encoding='utf-8')
        robot = scenario.plant.kind == 'hardware'
        with robot_domain(domain) if robot else reserved_domain(domain) as number:
            self._execute(node_environment(number, robot=robot), tell)

    def _execute(
        self, environment: dict[str, str], tell: Callable[[dict[str, Any]], None]
    ) -> None:
        common = {'scenario': str(self.scenario),
                  'run_id': f'{self.folder.name}-{time.strftime("%Y%m%dT%H%M%S")}'}
        own: dict[str, dict[str, Any]] = {
            'planner': {'autostart': True}, 'monitor': {'scorecard': str(self.live)},
            'recorder': {'bag': str(self.bag)}}
        started: list[NodeProcess] = []
        try:
            for name in (*NODES, 'plant'):
                log = self.folder / 'log' / f'{name}.log'
                started += [NodeProcess(name, {**common, **own.get(name, {})}, log, environment,
                                        follow=name == 'plant')]
            watch(started[-1], started[:-1], tell)
        except KeyboardInterrupt:
            # the plant first: its ABORT belongs into the bag
            end([started[-1]])
            raise
        finally:
            end_in_order(started)
        for process in (p for p in started if p.name in LISTENERS):
            if not process.finished:
                raise failure(process)


def end_in_order(started: Sequence[NodeProcess]) -> None:
    """End who drives first and who listens last; a second Ctrl-C does not cut the bag."""
    handlers = {number: signal.signal(number, signal.SIG_IGN)
                for number in (signal.SIGINT, signal.SIGTERM)}
    named = {process.name: process for process in started}
    for names in (('planner',), ('supervisor',), ('plant',), LISTENERS):
        end([named[name] for name in names if name in named])
    for number, handler in handlers.items():
        signal.signal(number, handler)
