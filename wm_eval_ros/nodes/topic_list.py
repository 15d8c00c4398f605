"""Which topics a scenario's run consists of, and which nodes read and write them."""

from __future__ import annotations

from collections.abc import Collection

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import topics


def run_topics(scenario: Scenario, exclude: Collection[str] = ()) -> dict[str, str]:
    """Return topic -> type of everything that belongs into the bag of a run."""
    interface = scenario.interface
    listed = {s.topic: s.type for s in interface.observations}
    if interface.goal is not None:
        listed[interface.goal.topic] = interface.goal.type
    command = interface.command
    listed[command.topic] = listed[topics.proposed(command.topic)] = command.type
    ours = [topics.RUN_INFO, topics.EPISODE_EVENT, topics.PLANNER_CYCLE, topics.METRICS]
    if scenario.clock is not ClockMode.REALTIME:
        ours.append(topics.CLOCK)
    if scenario.plant.camera_hz > 0:
        ours.append(topics.camera(scenario.plant.camera_encoding))
    listed.update({name: topics.TYPES[name] for name in ours})
    return {name: kind for name, kind in listed.items() if name not in exclude}


#: every node of a run in a simulator
ALL_NODES = ('plant', 'planner', 'supervisor', 'monitor', 'recorder')


def readers(scenario: Scenario) -> dict[str, set[str]]:
    """Return topic -> nodes that read it; latched topics reach late readers and are left out."""
    command = scenario.interface.command.topic
    read: dict[str, set[str]] = {s.topic: {'planner', 'monitor'}
                                 for s in scenario.interface.observations}
    read |= {topics.PLANNER_CYCLE: {'monitor', 'supervisor'}, topics.METRICS: set(),
             command: {'plant'}, topics.proposed(command): {'supervisor'}}
    if scenario.clock is ClockMode.REALTIME and (
            scenario.supervisor.state_limits or scenario.supervisor.brake):
        for stream in scenario.interface.observations:
            read[stream.topic].add('supervisor')
    for topic in run_topics(scenario, scenario.recorder.exclude):
        if topic not in _LATCHED:
            read.setdefault(topic, set()).add('recorder')
    return read


def writers(scenario: Scenario) -> dict[str, str]:
    """Return topic -> the one node that writes it, for the topics of `readers`."""
    command = scenario.interface.command.topic
    written = {s.topic: 'plant' for s in scenario.interface.observations}
    if not scenario.supervisor.shadow:
        written[command] = 'supervisor'
    return written | {topics.PLANNER_CYCLE: 'planner', topics.METRICS: 'monitor',
                      topics.proposed(command): 'planner'}


_LATCHED = (topics.RUN_INFO, topics.EPISODE_EVENT)
