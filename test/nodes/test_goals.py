"""Goals that are sent in mid-episode: the next slot is planned for them."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from pathlib import Path
import time
from typing import Any

import pytest
import torch
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.interface import ImageStream  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.inputs import InputBuffer, made_up  # noqa: E402
from wm_eval_ros.nodes.planner import PlannerNode  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.topic_list import run_topics  # noqa: E402
from wm_eval_ros.planning.decision import Decider  # noqa: E402
from wm_eval_ros.planning.protocol import Plan  # noqa: E402
from wm_eval_ros.records import CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

POSE, JOINTS, IMAGE = ('geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/JointState',
                       'sensor_msgs/msg/Image')
T0, SLOT = 10**9, 50_000_000


class Until:
    """Stops a node's loop once something holds, and fails if it never does."""

    def __init__(self, done: Callable[[], object], timeout_s: float = 60.0) -> None:
        self._done, self._end = done, time.monotonic() + timeout_s

    def __bool__(self) -> bool:
        assert time.monotonic() < self._end, 'it never happened'
        return bool(self._done())


def stamped(kind: str, stamp_ns: int) -> Any:
    message = message_type(kind)()
    codec.set_stamp(message.header.stamp, stamp_ns)
    return message


def pose(x: float, y: float, stamp_ns: int) -> Any:
    message = stamped(POSE, stamp_ns)
    message.pose.position.x, message.pose.position.y = x, y
    return message


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['clock'] = 'lockstep'
    path = tmp_path / 'goals.yaml'
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_pose_sent_in_mid_episode_is_the_goal_of_the_next_slot(
    make_graph: Any, scenario_file: Path,
) -> None:
    graph = make_graph(scenario=str(scenario_file), nodes=['planner'], autostart=True)
    joints = graph.publisher(JOINTS, 'joint_states', topics.SENSOR_OFFER)
    tip = graph.publisher(POSE, 'tip_pose', topics.SENSOR_OFFER)
    goal = graph.publisher(POSE, 'goal', topics.LATCHED)
    events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                             topics.LATCHED)
    cycles = graph.listen(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                          topics.TELEMETRY)
    planner = PlannerNode()
    graph.add(planner)
    planner._start()
    planner._autostart = False

    def until(done: Callable[[], object]) -> None:
        planner.spin(graph.executor, Until(done))  # type: ignore[arg-type]

    def slot(number: int) -> Any:
        """Publish the same state, an arm stretched along x, for one more slot."""
        stamp_ns = T0 + number * SLOT
        state = stamped(JOINTS, stamp_ns)
        state.name, state.position, state.velocity = ['joint0', 'joint1'], [0.0] * 2, [0.0] * 2
        joints.publish(state)
        tip.publish(pose(0.21, 0.0, stamp_ns))
        until(lambda: len(decided()) == number + 1)
        return decided()[-1]

    def decided() -> list[Any]:
        found = [codec.cycle_from_msg(m) for m in cycles]
        return [c for c in found if c.status is not CycleStatus.WARMUP]

    def set_goal(y: float) -> None:
        goal.publish(pose(0.1, y, T0))
        until(lambda: (g := planner._inputs.snapshot().goal) is not None and g.values[1] == y)

    until(lambda: joints.get_subscription_count() and tip.get_subscription_count()
          and planner._cycles.get_subscription_count())
    events.publish(codec.event_to_msg(
        EpisodeEvent(T0, 0, EventKind.START, '', 7.0, 'probe'), TYPES))
    until(lambda: planner._episodes.current is not None)
    set_goal(0.15)
    before = [slot(0), slot(1), slot(2)]
    set_goal(-0.15)
    after = slot(3)
    assert all(c.goal == (0.1, 0.15) for c in before)
    assert after.goal == (0.1, -0.15)
    # towards one in what is imagined, then towards the other
    names = list(planner._model.spec.feature_names)
    ends = [float(planner._model.decode(torch.from_numpy(c.rollout[-1]))
                  [names.index('tip_pose.pose.position.y')]) for c in (*before, after)]
    assert all(y > 0.05 for y in ends[:3])
    assert ends[3] < -0.05


class Noting:
    """A planner that keeps the goals it was asked for."""

    def __init__(self) -> None:
        self.goals: list[torch.Tensor] = []

    def reset(self, seed: int) -> None:
        self.goals.clear()

    def plan(self, latent: Any, goal: torch.Tensor, deadline_ns: int, **more: Any) -> Plan:
        self.goals.append(goal)
        return Plan(torch.zeros(1, 2), None, float('nan'))


def picture(grey: int) -> Any:
    message = stamped(IMAGE, 1)
    message.height = message.width = 4
    message.encoding, message.step = 'rgb8', 12
    message.data = bytes([grey] * 48)
    return message


def test_an_image_of_the_goal_goes_behind_its_numbers_and_a_new_one_replaces_it(
    make_graph: Any,
) -> None:
    graph = make_graph(scenario='reacher')
    scenario = load_scenario(find_scenario('reacher'))
    interface = dataclasses.replace(
        scenario.interface, goal_image=ImageStream(topic='goal_image', width=2, height=2))
    buffer = InputBuffer(graph.node, graph.ends, interface, topics.SENSOR, ())
    images = graph.publisher(IMAGE, 'goal_image', topics.LATCHED)
    planner, made = Noting(), made_up(interface)
    decider = Decider(interface, None, planner, stale_ns=10**12)

    def decide(slot: int) -> CycleStatus:
        inputs = dataclasses.replace(made, goal_image=buffer.snapshot().goal_image)
        return decider.decide(slot, inputs, 0, 0, 2**62).status

    assert decide(0) is CycleStatus.NO_INPUT
    for slot, grey in ((1, 255), (2, 51)):
        images.publish(picture(grey))
        graph.until(lambda grey=grey: (r := buffer.snapshot().goal_image) is not None
                    and r.values[0] == pytest.approx(grey / 255))
        assert decide(slot) is CycleStatus.OK
    first, second = planner.goals
    assert first.tolist() == [0.0, 0.0, *[1.0] * 12]
    assert second.tolist() == pytest.approx([0.0, 0.0, *[0.2] * 12])


def test_an_image_of_the_goal_is_recorded_and_leaves_older_hashes_as_they_were() -> None:
    from wm_eval_ros.config.interface import identity
    scenario = load_scenario(find_scenario('reacher'))
    assert 'goal_image' not in identity(to_plain(scenario.interface))
    interface = dataclasses.replace(scenario.interface, goal_image=ImageStream(topic='wanted'))
    assert identity(to_plain(interface))['goal_image']['topic'] == 'wanted'
    assert run_topics(dataclasses.replace(scenario, interface=interface))['wanted'] == IMAGE
