"""
What each node of a run may say and hear, as an SROS 2 policy; made of the topic list, no ROS.

One enclave a node, and no more in it than the node's own endpoints: the planner cannot reach the
actuators but through the supervisor, and nobody else can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from xml.etree import ElementTree

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.nodes.topic_list import (
    ACTUATOR,
    ALL_NODES,
    COMMAND_RELAY,
    PLAYER,
    readers,
    run_topics,
    SENSOR_RELAY,
    writers,
)
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import topics

#: version of the policy schema of SROS 2
POLICY_VERSION = '0.2.0'
#: every enclave's path begins with it
ROOT = '/wm_eval_ros'
#: enclave of who calls the services, and takes a planner through its states
OPERATOR = 'operator'
#: topics and services that rclpy gives every node
_NODE_TOPICS = ('/parameter_events', '/rosout')
_NODE_SERVICES = ('describe_parameters', 'get_parameter_types', 'get_parameters',
                  'get_type_description', 'list_parameters', 'set_parameters',
                  'set_parameters_atomically')
_LIFECYCLE = ('change_state', 'get_state', 'get_available_states', 'get_available_transitions',
              'get_transition_graph')
_TELLS_EVENTS = ('plant', 'supervisor', 'recorder', SENSOR_RELAY, COMMAND_RELAY)
_HEARS_EVENTS = ('planner', 'supervisor', 'monitor', SENSOR_RELAY, COMMAND_RELAY)


@dataclass(frozen=True, slots=True)
class Rights:
    """Absolute names, sorted."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    #: services it offers, and those it calls
    reply: tuple[str, ...]
    request: tuple[str, ...] = ()


def enclave(node: str) -> str:
    """Return the path of a node's enclave."""
    return f'{ROOT}/{node}'


def rights(scenario: Scenario, nodes: Collection[str] = ALL_NODES) -> dict[str, Rights]:
    """
    Return what each node of a run is allowed, by node, and the operator besides.

    :param nodes: the nodes that take part: with a relay topics have other ends
    """
    publish, subscribe, reply = _topics(scenario, nodes), _heard(scenario, nodes), _replies(
        scenario)
    found = {node: Rights(
        _absolute({*publish[node], *_NODE_TOPICS}), _absolute(subscribe[node]),
        _absolute({*reply[node], *(f'{node}/{name}' for name in _NODE_SERVICES)}),
        _absolute({topics.CLOCK_PROBE} if node == 'plant' and scenario.plant.link else ()))
        for node in nodes}
    asked = {name for node in nodes for name in reply[node]}
    every = {*run_topics(scenario, (), nodes), topics.RECORDER_STATUS}
    operator = {topics.OPERATOR_JOY} if scenario.supervisor.joy_axes else set()
    found[OPERATOR] = Rights(_absolute({*operator, *_NODE_TOPICS}),
                             _absolute({*every, *_NODE_TOPICS, 'planner/transition_event'}), (),
                             _absolute(asked))
    return found


def policy_xml(scenario: Scenario, nodes: Collection[str] = ALL_NODES) -> str:
    """Return the policy of a run, as `ros2 security create_enclave` and `generate_policy` use."""
    root = ElementTree.Element('policy', version=POLICY_VERSION)
    enclaves = ElementTree.SubElement(root, 'enclaves')
    for node, allowed in rights(scenario, nodes).items():
        at = ElementTree.SubElement(enclaves, 'enclave', path=enclave(node))
        profiles = ElementTree.SubElement(at, 'profiles')
        profile = ElementTree.SubElement(profiles, 'profile', ns='/', node=node)
        for kind, access, names in (
                ('service', 'reply', allowed.reply), ('service', 'request', allowed.request),
                ('topic', 'subscribe', allowed.subscribe), ('topic', 'publish', allowed.publish)):
            if names:
                listed = ElementTree.SubElement(profile, f'{kind}s', {access: 'ALLOW'})
                for name in names:
                    ElementTree.SubElement(listed, kind).text = name
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(
        root, encoding='unicode') + '\n'


def _absolute(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(f'/{name.lstrip("/")}' for name in names))


def _topics(scenario: Scenario, nodes: Collection[str]) -> dict[str, set[str]]:
    """Return the topics each node publishes."""
    found: dict[str, set[str]] = defaultdict(set)
    simulated = scenario.plant.kind != 'hardware'
    for topic, node in writers(scenario, nodes).items():
        if node != 'plant' or simulated:
            found[node].add(topic)
    for node in nodes:
        if node != 'plant':
            found[node].add(topics.NODE_READY)
        if node in _TELLS_EVENTS:
            found[node].add(topics.EPISODE_EVENT)
    found['planner'] |= {topics.RUN_INFO, 'planner/transition_event'}
    found['recorder'].add(topics.RECORDER_STATUS)
    found[ACTUATOR] |= {topics.LINK_EVENT, topics.CLOCK_EXCHANGE}
    interface = scenario.interface
    found[PLAYER] |= {s.topic for s in (*interface.seen, *interface.unseen, *interface.goals)}
    if scenario.detector.calibration:
        # the monitor watches it, and says when it no longer holds
        found['monitor'].add(topics.EPISODE_EVENT)
    if simulated and interface.goal is not None:
        found['plant'].add(interface.goal.topic)
    if scenario.plant.camera_hz > 0:
        found['plant'].add(topics.camera(scenario.plant.camera_encoding))
    if scenario.clock is not ClockMode.REALTIME:
        found['plant'].add(topics.CLOCK)
    return found


def _heard(scenario: Scenario, nodes: Collection[str]) -> dict[str, set[str]]:
    """Return the topics each node subscribes to."""
    found: dict[str, set[str]] = defaultdict(set)
    for topic, names in readers(scenario, nodes).items():
        for node in names:
            found[node].add(topic)
    found['recorder'] |= set(run_topics(scenario, scenario.recorder.exclude, nodes))
    found['plant'].add(topics.NODE_READY)
    found['monitor'].add(topics.RUN_INFO)
    for node in _HEARS_EVENTS:
        found[node].add(topics.EPISODE_EVENT)
    found['planner'] |= {s.topic for s in scenario.interface.goals}
    settings = scenario.supervisor
    if scenario.clock is ClockMode.REALTIME:
        found['supervisor'] |= {settings.controller_topic} - {''}
        found['supervisor'] |= {topics.OPERATOR_JOY} if settings.joy_axes else set()
    return found


def _replies(scenario: Scenario) -> dict[str, set[str]]:
    """Return the services each node offers, besides those of every node."""
    found: dict[str, set[str]] = defaultdict(set)
    found['plant'].add(topics.RESET_EPISODE)
    if scenario.plant.kind != 'hardware':
        found['plant'].add(topics.INJECT_PERTURBATION)
    found['planner'] = {f'planner/{name}' for name in _LIFECYCLE}
    if scenario.plant.link:
        found['planner'].add(topics.CLOCK_PROBE)
    found['supervisor'] = {topics.TAKE_OVER, topics.CLEAR_STOP}
    found[SENSOR_RELAY].add(topics.INJECT_PERTURBATION)
    found[COMMAND_RELAY].add(topics.INJECT_COMMAND_PERTURBATION)
    return found
