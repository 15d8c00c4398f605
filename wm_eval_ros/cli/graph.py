"""One run of the graph: its processes, from ready to the closed bag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
import signal
import time
from typing import Any

import yaml

from wm_eval_ros.cli.faults import process_fault, ProcessFaults
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
from wm_eval_ros.nodes.topic_list import ACTUATOR, PLAYER
from wm_eval_ros.perturb.protocol import ProcessFault

#: nodes of every run beside the plant, in the order of their start
NODES = ('supervisor', 'planner', 'monitor', 'recorder')
#: those that run on the device under test
DEVICE = ('supervisor', 'planner')
#: those in one process
COMPOSED = 'device'
#: what an echo takes the place of, and its module
ECHOES = {'planner': 'echo', COMPOSED: 'echo_device'}
#: node of the perturbation command.second_publisher
SECOND_PUBLISHER = 'second_publisher'
#: node that perturbs the messages of a robot
RELAY = 'perturb_relay'
#: nodes that only listen
LISTENERS = ('monitor', 'recorder')
#: most waits for the disk while a recorder ends, each of which may take stall_s: for bag and
#: sidecar the one it is in, and those after the last messages, before the last status, and at
#: the end of the file
LAST_WAITS = 8


@dataclass(frozen=True)
class Device:
    """The device under test."""

    #: its nodes are started there, by somebody else
    elsewhere: bool = False
    #: an echo of this topic takes the planner's place, '': of the first observation; None: none
    echo: str | None = None
    #: serial port of an actuator of this host, and the rate of its line; '': there is none
    port: str = ''
    baud: int = 115200


HERE = Device()


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
        self, scenario: Scenario, tell: Callable[[dict[str, Any]], None],
        domain: int | None = None, device: Device = HERE,
    ) -> None:
        """
        Run the scenario until its last episode has ended and everything is in the bag.

        :param tell: called with every episode event
        :param domain: DDS domain; None: a free one, or with a robot or a device elsewhere that of
            the environment
        :param device: where planner and supervisor run, and what takes the planner's place
        :raises RunError: a node died; the bag holds what was recorded until then
        """
        self.scenario.write_text(yaml.safe_dump(to_plain(scenario), sort_keys=False),
                                 encoding='utf-8')
        # a replay is on its own: no command of it may reach a robot, and no sample a robot's nodes
        robot = device.elsewhere or (
            scenario.plant.kind == 'hardware' and not scenario.replay.bag)
        with robot_domain(domain) if robot else reserved_domain(domain) as number:
            self._execute(scenario, node_environment(number, robot=robot), tell, device)

    def _execute(
        self, scenario: Scenario, environment: dict[str, str],
        tell: Callable[[dict[str, Any]], None], device: Device,
    ) -> None:
        further = (*further_nodes(scenario), *((ACTUATOR,) if device.port else ()))
        common: dict[str, Any] = {
            'scenario': str(self.scenario),
            'nodes': [*NODES, 'plant', *(name for name in further if name in (RELAY, ACTUATOR))],
            'run_id': f'{self.folder.name}-{time.strftime("%Y%m%dT%H%M%S")}'}
        own: dict[str, dict[str, Any]] = {
            'plant': {'process_faults': True},
            'planner': {'autostart': True, 'slot_mark': str(self.folder / 'log' / 'planner.slot')},
            'monitor': {'scorecard': str(self.live)},
            'recorder': {'bag': str(self.bag)},
            ACTUATOR: {'port': device.port, 'baud': device.baud}}
        if device.echo is not None:
            own['planner'] = {'topic': device.echo}
        own[COMPOSED] = {f'planner:{key}': value for key, value in own['planner'].items()}
        here = [name for name in processes(scenario)
                if not (device.elsewhere and name in (*DEVICE, COMPOSED))]

        def start(name: str, count: int = 0) -> NodeProcess:
            log = self.folder / 'log' / (f'{name}.{count}.log' if count else f'{name}.log')
            module = name if device.echo is None else ECHOES.get(name, name)
            made = NodeProcess(module, {**common, **own.get(name, {})}, log, environment,
                               follow=name == 'plant')
            if name == 'recorder':
                made.more_s = LAST_WAITS * scenario.recorder.stall_s
            return made

        running: dict[str, NodeProcess] = {}
        faults = ProcessFaults(running, lambda count: start('planner', count), self.bag)

        def planned(process: NodeProcess) -> bool:
            # a player ends with its bag, and has told the plant
            return faults.planned(process) or (process.name == PLAYER and process.finished)

        def heed(said: dict[str, Any]) -> None:
            faults.heed(said)
            tell(said)

        try:
            for name in (*here, *further, 'plant'):
                running[name] = start(name)
            watch(running['plant'], running.values(), heed, planned)
        except KeyboardInterrupt:
            # the plant first: its ABORT belongs into the bag
            end([p for name, p in running.items() if name == 'plant'])
            raise
        finally:
            faults.clear()
            end_in_order(running)
        for process in (running[name] for name in LISTENERS):
            if not process.finished:
                raise failure(process)


def processes(scenario: Scenario) -> tuple[str, ...]:
    """Return the processes of a run beside the plant, in the order of their start."""
    return (COMPOSED, *LISTENERS) if scenario.composed else NODES


def further_nodes(scenario: Scenario) -> tuple[str, ...]:
    """Return the nodes that only the perturbations or the replay of a scenario need."""
    if scenario.plant.kind == 'hardware':
        # between a robot and the planner; nothing else is done to a robot
        relay = (RELAY,) if scenario.perturbations else ()
        return (*relay, PLAYER) if scenario.replay.bag else relay
    faults = [process_fault(each.name) for each in scenario.perturbations]
    return (SECOND_PUBLISHER,) if ProcessFault.SECOND_PUBLISHER in faults else ()


def end_in_order(running: Mapping[str, NodeProcess]) -> None:
    """End who drives first and who listens last; a second Ctrl-C does not cut the bag."""
    handlers = {number: signal.signal(number, signal.SIG_IGN)
                for number in (signal.SIGINT, signal.SIGTERM)}
    for names in ((SECOND_PUBLISHER, 'planner'), ('supervisor', COMPOSED),
                  (RELAY, 'plant', PLAYER, ACTUATOR), LISTENERS):
        end([running[name] for name in names if name in running])
    for number, handler in handlers.items():
        signal.signal(number, handler)
