"""Which topics a scenario's run consists of, and which nodes read and write them."""

from __future__ import annotations

from collections.abc import Collection

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import topics

#: nodes of a run that perturb messages between a robot and the others: its sensors, its commands
SENSOR_RELAY, COMMAND_RELAY = 'perturb_relay', 'command_relay'
#: node of a run that hands commands to an actuator behind a serial line
ACTUATOR = 'serial_actuator'
#: node that plays the sensors of a bag in the place of a robot
PLAYER = 'bag_player'


def sensed(topic: str, nodes: Collection[str]) -> str:
    """Return the topic on which the planner hears what it sees: that of the relay, if any."""
    return topics.perturbed(topic) if SENSOR_RELAY in nodes else topic


def gated(topic: str, nodes: Collection[str]) -> str:
    """Return the topic on which the supervisor publishes the command."""
    return topics.unperturbed(topic) if COMMAND_RELAY in nodes else topic


def relayed_images(scenario: Scenario) -> tuple[str, ...]:
    """
    Return the camera topics that a relay passes on.

    The planner's own, and others that perturbations name, of the types of which nobody tells.
    """
    interface = scenario.interface
    known = {s.topic.lstrip('/') for s in (*interface.seen, interface.command)}
    others = {topic for each in scenario.perturbations for topic in each.topics
              if topic.lstrip('/') not in known}
    return tuple(sorted({s.topic for s in interface.images} | others))


def run_topics(
    scenario: Scenario, exclude: Collection[str] = (), nodes: Collection[str] = ()
) -> dict[str, str]:
    """
    Return topic -> type of everything that belongs into the bag of a run of these nodes.

    An empty type is that which the topic is published with.
    """
    interface = scenario.interface
    listed = {topic: s.type for s in interface.seen
              for topic in (s.topic, sensed(s.topic, nodes))}
    listed |= {s.topic: s.type for s in interface.unseen}
    listed |= {s.topic: s.type for s in interface.goals}
    command = interface.command
    for topic in (command.topic, topics.proposed(command.topic), gated(command.topic, nodes)):
        listed[topic] = command.type
    if scenario.replay.bag and scenario.supervisor.shadow:
        # nobody drives a bag
        del listed[command.topic]
    ours = [topics.RUN_INFO, topics.EPISODE_EVENT, topics.PLANNER_CYCLE, topics.METRICS]
    if scenario.clock is not ClockMode.REALTIME:
        ours.append(topics.CLOCK)
    if scenario.plant.link:
        ours += [topics.LINK_EVENT, topics.CLOCK_EXCHANGE]
    if scenario.plant.camera_hz > 0:
        ours.append(topics.camera(scenario.plant.camera_encoding))
    listed.update({name: topics.TYPES[name] for name in ours})
    if SENSOR_RELAY in nodes:
        for image in relayed_images(scenario):
            for name in (image, sensed(image, nodes)):
                listed.setdefault(name, '')
    return {name: kind for name, kind in listed.items() if name not in exclude}


#: every node of a run in a simulator
ALL_NODES = ('plant', 'planner', 'supervisor', 'monitor', 'recorder')


def readers(scenario: Scenario, nodes: Collection[str] = ALL_NODES) -> dict[str, set[str]]:
    """Return topic -> nodes that read it; latched topics reach late readers and are left out."""
    command = scenario.interface.command.topic
    observations = [s.topic for s in scenario.interface.observations]
    read: dict[str, set[str]] = {t: {SENSOR_RELAY}
                                 for t in (*observations, *relayed_images(scenario))}
    read |= {sensed(t, nodes): {'planner', 'monitor'} for t in observations}
    read |= {sensed(s.topic, nodes): {'planner'} for s in scenario.interface.images}
    read |= {topics.PLANNER_CYCLE: {'monitor', 'supervisor'}, topics.METRICS: set(),
             gated(command, nodes): {COMMAND_RELAY}, topics.proposed(command): {'supervisor'}}
    read.setdefault(command, set()).update(('plant', ACTUATOR))
    if scenario.plant.link:
        read[topics.proposed(command)].add('plant')
        read |= {topic: {'monitor'} for topic in (topics.LINK_EVENT, topics.CLOCK_EXCHANGE)}
    if scenario.clock is ClockMode.REALTIME or 'supervisor' in nodes:
        read[command].add('planner')
    if scenario.clock is ClockMode.REALTIME and (
            scenario.supervisor.state_limits or scenario.supervisor.brake
            or scenario.supervisor.reflex):
        for topic in observations:
            read[topic].add('supervisor')
    for topic in run_topics(scenario, scenario.recorder.exclude, nodes):
        if topic not in _LATCHED:
            read.setdefault(topic, set()).add('recorder')
    return {topic: names & set(nodes) for topic, names in read.items()}


def writers(scenario: Scenario, nodes: Collection[str] = ALL_NODES) -> dict[str, str]:
    """Return topic -> the one node that writes it, for the topics of `readers`."""
    command = scenario.interface.command.topic
    observations = [s.topic for s in scenario.interface.observations]
    written = {sensed(t, nodes): SENSOR_RELAY
               for t in (*observations, *relayed_images(scenario))}
    written |= dict.fromkeys(observations, 'plant')
    written |= {s.topic: 'plant' for s in scenario.interface.images}
    written |= {s.topic: 'plant' for s in scenario.interface.unseen}
    if not scenario.supervisor.shadow:
        written |= {command: COMMAND_RELAY, gated(command, nodes): 'supervisor'}
    written |= {topics.PLANNER_CYCLE: 'planner', topics.METRICS: 'monitor',
                topics.proposed(command): 'planner'}
    if scenario.plant.link:
        written |= dict.fromkeys((topics.LINK_EVENT, topics.CLOCK_EXCHANGE), 'plant')
    return {topic: name for topic, name in written.items() if name in nodes}


_LATCHED = (topics.RUN_INFO, topics.EPISODE_EVENT)
