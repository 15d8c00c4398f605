"""Which perturbations of a scenario a relay carries out, and on what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.relay_edit import Command, Edit, Numbers, Picture
from wm_eval_ros.nodes.topic_list import COMMAND_RELAY, relayed_images
from wm_eval_ros.perturb.catalogue import kind_of
from wm_eval_ros.perturb.host import Channel, Host, Role
from wm_eval_ros.perturb.protocol import (
    ChangesEndpoints,
    ChangesPlanning,
    ChangesProcesses,
    ChangesRate,
    ChangesWorld,
)


def edits(scenario: Scenario, name: str) -> tuple[dict[str, Edit], Host]:
    """
    Return what changes the messages of each topic of a relay, and what can be done there.

    :param name: of the relay: of the sensors, or of the commands
    :raises FieldPathError: a field of the interface that cannot be written
    :raises ConfigError: a perturbation of the goal, which the planner hears without a relay
    """
    lacks: dict[Any, str] = {
        ChangesWorld: 'a relay changes messages, not the body and the surroundings of a robot',
        ChangesRate: 'a relay passes on what comes; it takes no samples of its own',
        ChangesEndpoints: 'the driver of a robot chooses its own quality of service',
        ChangesProcesses: 'a relay changes messages; it starts and ends no process'}
    interface = scenario.interface
    if name == COMMAND_RELAY:
        lacks[ChangesPlanning] = 'that is told by the relay of the sensors'
        command = Command(interface.command)
        channel = Channel(interface.command.topic, Role.COMMAND, command.unit,
                          lists=_lists(interface.command.fields))
        return {interface.command.topic: command}, Host((channel,), lacks)
    _require_no_goal(scenario)
    numbers = {stream.topic: Numbers(stream) for stream in interface.observations}
    channels = [Channel(s.topic, Role.OBSERVATION, numbers[s.topic].unit, lists=_lists(s.fields))
                for s in interface.observations]
    images: Mapping[str, Edit] = {topic: Picture(topic) for topic in relayed_images(scenario)}
    channels += [Channel(topic, Role.CAMERA) for topic in images]
    return {**numbers, **images}, Host(tuple(channels), lacks)


def own(
    scenario: Scenario, name: str, nodes: Collection[str]
) -> tuple[PerturbationSettings, ...]:
    """
    Return the perturbations of a scenario, the other relay's with probability 0.

    None is left out: what each draws depends on its place in the list. Without a relay of
    commands that of the sensors says of theirs that they are not supported.
    """
    if COMMAND_RELAY not in nodes:
        return scenario.perturbations
    command = scenario.interface.command.topic

    def mine(each: PerturbationSettings) -> bool:
        of_commands = kind_of(each.name) == 'command' or command in each.topics
        return of_commands == (name == COMMAND_RELAY)

    return tuple(each if mine(each) else replace(each, probability=0.0)
                 for each in scenario.perturbations)


def _require_no_goal(scenario: Scenario) -> None:
    goals = {goal.topic for goal in scenario.interface.goals}
    for each in scenario.perturbations:
        for topic in goals.intersection(each.topics):
            raise ConfigError(f'perturbation {each.name}: topics: {topic} is the goal, which no '
                              'relay stands before; name observations of the interface, or '
                              'topics of camera images')


def _lists(fields: Collection[str]) -> bool:
    return any('[' in field for field in fields)
