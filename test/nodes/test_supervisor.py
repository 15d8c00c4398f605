"""The supervisor over DDS: forwards unchanged, refuses, falls back when nothing comes."""

from __future__ import annotations

import math
from pathlib import Path
import time
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.errors import ConfigError  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

JOINTS = 'sensor_msgs/msg/JointState'
MS = 1_000_000
#: as the planner offers it
PROPOSAL = topics.proposal(50 * MS, 300 * MS)
#: in one process DDS takes a planner between two proposals for dead; the probe is the planner
PATIENT = {'scenario': 'reacher', 'nodes': ['supervisor'], 'authorised': 'probe',
           'stale_periods': 1200.0, 'late_periods': 1200.0, 'stop_ms': 60000.0,
           'liveliness_ms': 60000.0, 'age_ms': 30000.0}


class Scene:
    """A supervisor, somebody who proposes, somebody who listens to what comes out."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.proposals = graph.publisher(JOINTS, 'proposed/joint_command', PROPOSAL)
        self.cycles = graph.publisher(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                                      topics.TELEMETRY)
        self.events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        self.out = graph.listen(JOINTS, 'joint_command', topics.TELEMETRY)
        self.told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)
        self.ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY,
                                  topics.LATCHED)
        self.supervisor = graph.add(SupervisorNode())
        graph.until(lambda: self.proposals.get_subscription_count() == 1)
        graph.until(lambda: self.events.get_subscription_count() >= 2)

    def start(self) -> None:
        event = EpisodeEvent(1, 0, EventKind.START, '', 0.0, 'probe')
        self.events.publish(codec.event_to_msg(event, TYPES))
        self.graph.until(lambda: 'supervisor 0' in [m.data for m in self.ready])

    def propose(self, *effort: float) -> None:
        message = message_type(JOINTS)()
        message.name = ['joint0', 'joint1']
        message.effort = list(effort)
        self.stamp_ns = time.time_ns()
        codec.set_stamp(message.header.stamp, self.stamp_ns)
        self.proposals.publish(message)

    def score(self, surprise: float, threshold: float) -> None:
        cycle = CycleRecord(time.time_ns(), 0, 0, CycleStatus.OK, 0, 0, 0, 0, 0, 0, 50 * MS,
                            50 * MS, surprise=surprise, surprise_threshold=threshold)
        self.cycles.publish(codec.cycle_to_msg(cycle, TYPES))

    def kinds(self) -> list[EventKind]:
        return [codec.event_from_msg(m).kind for m in self.told]


@pytest.fixture
def scene(make_graph: Any) -> Scene:
    # patient: only a fault falls back here, no stall of the machine
    return Scene(make_graph(**PATIENT))


def test_a_proposal_passes_unchanged_with_its_own_stamp(scene: Scene) -> None:
    scene.start()
    scene.propose(0.25, -0.5)
    scene.graph.until(lambda: scene.out)
    assert list(scene.out[0].effort) == [0.25, -0.5]
    assert codec.stamp_ns(scene.out[0].header.stamp) == scene.stamp_ns


def test_an_alarm_of_the_planner_makes_the_fallback_command_and_its_end_hands_back(
    scene: Scene,
) -> None:
    scene.start()
    scene.propose(0.25, -0.5)
    scene.graph.until(lambda: scene.out)
    scene.score(2.0, 1.0)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.0, 0.0])
    scene.propose(0.25, -0.5)
    scene.score(0.5, 1.0)

    def returned() -> bool:
        scene.propose(0.25, -0.5)
        return EventKind.FALLBACK_OFF in scene.kinds()

    scene.graph.until(returned)
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.25, -0.5])


@pytest.mark.parametrize('effort', [(math.nan, 0.0), (1.5, 0.0)], ids=['nan', 'out-of-range'])
def test_a_faulty_proposal_is_replaced_by_the_fallback(
    scene: Scene, effort: tuple[float, float],
) -> None:
    scene.start()
    scene.propose(*effort)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    scene.graph.until(lambda: scene.out)
    assert all(list(m.effort) == [0.0, 0.0] for m in scene.out)


def test_a_proposal_that_cannot_be_read_is_a_fault_not_a_crash(scene: Scene) -> None:
    scene.start()
    message = message_type(JOINTS)()
    message.name, message.effort = ['elbow'], [0.1]
    scene.proposals.publish(message)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())

    def returned() -> bool:
        scene.propose(0.5, 0.5)
        return EventKind.FALLBACK_OFF in scene.kinds()

    scene.graph.until(returned)


def test_the_fallback_commands_when_the_episode_ends(scene: Scene) -> None:
    scene.start()
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: scene.out)
    event = EpisodeEvent(2, 0, EventKind.TIMEOUT, '', 0.0, 'probe')
    scene.events.publish(codec.event_to_msg(event, TYPES))
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.0, 0.0])


def test_silence_falls_back_and_a_fresh_proposal_returns(make_graph: Any) -> None:
    scene = Scene(make_graph(**{**PATIENT, 'stale_periods': 2.0, 'late_periods': 1.5,
                                'clear_ms': 40.0, 'liveliness_ms': 300.0}))
    scene.start()
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())

    def returned() -> bool:
        scene.propose(0.5, 0.5)
        return EventKind.FALLBACK_OFF in scene.kinds()

    scene.graph.until(returned)
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.5, 0.5])
    assert list(scene.out[-1].effort) == [0.5, 0.5]
    assert [0.0, 0.0] in [list(m.effort) for m in scene.out]


def test_lockstep_refuses_a_command_without_a_stamp(make_graph: Any, tmp_path: Path) -> None:
    raw = to_plain(load_scenario(find_scenario('reacher'), {'clock': 'lockstep'}))
    raw['interface']['command'] |= {'type': 'std_msgs/msg/Float64MultiArray',
                                    'fields': ['data[0]', 'data[1]']}
    path = tmp_path / 'unstamped.yaml'
    path.write_text(yaml.safe_dump(raw))
    make_graph(scenario=str(path))
    with pytest.raises(ConfigError, match='has no header'):
        SupervisorNode()
