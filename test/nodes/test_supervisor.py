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
from wm_eval_ros.nodes.ros import message_type  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from wm_eval_ros.records import EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402


@pytest.fixture
def scene(make_scene: Any) -> Any:
    # patient: only a fault falls back here, no stall of the machine
    return make_scene()


def test_a_proposal_passes_with_its_own_stamp_and_without_what_was_not_judged(scene: Any) -> None:
    scene.start()
    proposal = scene.command(0.25, -0.5)
    proposal.position, proposal.header.frame_id = [9.0, 9.0], 'base'
    scene.proposals.publish(proposal)
    scene.graph.until(lambda: scene.out)
    assert list(scene.out[0].effort) == [0.25, -0.5]
    assert (list(scene.out[0].position), scene.out[0].header.frame_id) == ([], 'base')
    assert codec.stamp_ns(scene.out[0].header.stamp) == scene.stamp_ns


def test_an_alarm_of_the_planner_makes_the_fallback_command_and_its_end_hands_back(
    scene: Any,
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
    scene: Any, effort: tuple[float, float],
) -> None:
    scene.start()
    scene.propose(*effort)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    scene.graph.until(lambda: scene.out)
    assert all(list(m.effort) == [0.0, 0.0] for m in scene.out)


def test_a_proposal_that_cannot_be_read_is_a_fault_not_a_crash(scene: Any) -> None:
    scene.start()
    message = message_type(scene.kind)()
    message.name, message.effort = ['elbow'], [0.1]
    scene.proposals.publish(message)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())

    def returned() -> bool:
        scene.propose(0.5, 0.5)
        return EventKind.FALLBACK_OFF in scene.kinds()

    scene.graph.until(returned)


def test_an_event_of_no_known_kind_ends_nobody(scene: Any) -> None:
    scene.start()
    message = message_type(topics.TYPES[topics.EPISODE_EVENT])()
    message.kind = 255
    scene.events.publish(message)
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: scene.out and list(scene.out[-1].effort) == [0.5, 0.5])


def test_the_fallback_commands_when_the_episode_ends(scene: Any) -> None:
    scene.start()
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: scene.out)
    scene.say(EventKind.TIMEOUT)
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.0, 0.0])


def test_silence_falls_back_and_a_fresh_proposal_returns(make_scene: Any) -> None:
    scene = make_scene(stale_periods=2.0, late_periods=1.5, clear_ms=40.0, liveliness_ms=300.0)
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


@pytest.mark.parametrize('ahead_s', [0.5, -0.5])
def test_over_a_link_answers_of_another_clock_pass_and_one_that_was_held_up_is_late(
    make_scene: Any, ahead_s: float,
) -> None:
    scene = make_scene(scenario='hil', age_ms=200.0)
    scene.start()

    def propose(effort: float, held_s: float = 0.0) -> None:
        message = scene.command(effort, 0.0)
        codec.set_stamp(message.header.stamp,
                        scene.stamp_ns + round((ahead_s - held_s) * 1e9))
        scene.proposals.publish(message)

    propose(0.1)
    scene.graph.until(lambda: scene.out)
    # stamped after the one before it, and later to come than is allowed
    time.sleep(0.6)
    propose(0.2, held_s=0.4)
    scene.graph.until(lambda: EventKind.COMMAND_REFUSED in scene.kinds())
    assert [e.label.split(':')[0] for e in scene.said()
            if e.kind is EventKind.COMMAND_REFUSED] == ['late']
    propose(0.3)
    scene.graph.until(lambda: list(scene.out[-1].effort) == [0.3, 0.0])
    assert [0.2, 0.0] not in [list(m.effort) for m in scene.out]


def test_lockstep_refuses_a_command_without_a_stamp(make_graph: Any, tmp_path: Path) -> None:
    raw = to_plain(load_scenario(find_scenario('reacher'), {'clock': 'lockstep'}))
    raw['interface']['command'] |= {'type': 'std_msgs/msg/Float64MultiArray',
                                    'fields': ['data[0]', 'data[1]']}
    path = tmp_path / 'unstamped.yaml'
    path.write_text(yaml.safe_dump(raw))
    make_graph(scenario=str(path))
    with pytest.raises(ConfigError, match='has no header'):
        SupervisorNode()
