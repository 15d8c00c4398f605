"""Lockstep: one command a slot, decided by the slot's record, its alarm included."""

from __future__ import annotations

from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

MS = 1_000_000
JOINTS = 'sensor_msgs/msg/JointState'
#: charged to every decision
LATENCY_NS = 15 * MS


def test_the_alarm_of_a_slot_acts_on_its_own_command_and_every_slot_has_one(
    make_graph: Any,
) -> None:
    graph = make_graph(scenario='reacher', clock='lockstep', nodes=['supervisor'])
    proposals = graph.publisher(JOINTS, 'proposed/joint_command', topics.TELEMETRY)
    cycles = graph.publisher(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                             topics.TELEMETRY)
    events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                             topics.LATCHED)
    out = graph.listen(JOINTS, 'joint_command', topics.TELEMETRY)
    told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    graph.add(SupervisorNode())
    graph.until(lambda: proposals.get_subscription_count() and cycles.get_subscription_count())
    start = EpisodeEvent(0, 0, EventKind.START, '', 0.0, 'probe')
    events.publish(codec.event_to_msg(start, TYPES))
    graph.until(lambda: 'supervisor 0' in [m.data for m in ready])

    def slot(number: int, surprise: float) -> list[float]:
        now_ns = number * 50 * MS
        message = message_type(JOINTS)()
        message.name, message.effort = ['joint0', 'joint1'], [0.5, -0.5]
        codec.set_stamp(message.header.stamp, now_ns + LATENCY_NS)
        proposals.publish(message)
        record = CycleRecord(
            now_ns, number, 0, CycleStatus.OK, now_ns, now_ns, now_ns, now_ns + LATENCY_NS,
            now_ns + LATENCY_NS, now_ns + LATENCY_NS, 50 * MS, 50 * MS, surprise=surprise,
            surprise_threshold=1.0, command_stamp_ns=now_ns + LATENCY_NS)
        cycles.publish(codec.cycle_to_msg(record, TYPES))
        graph.until(lambda: len(out) == number + 1)
        return list(out[-1].effort)

    kind = message_type('std_srvs/srv/Trigger')
    client = graph.node.create_client(kind, topics.CLEAR_STOP)
    graph.until(client.service_is_ready)
    asked = client.call_async(kind.Request())
    graph.until(asked.done)
    assert (asked.result().success, asked.result().message) == (
        False, 'not in lockstep: the next episode lifts a stop')
    sent = [slot(k, 2.0 if k == 2 else 0.0) for k in range(9)]
    go, stay = [0.5, -0.5], [0.0, 0.0]
    # the alarm is over in slot 3, at 150 ms; T_clear of 200 ms ends in slot 7
    assert sent == [go, go, stay, stay, stay, stay, stay, go, go]
    kinds = [codec.event_from_msg(m).kind for m in told]
    assert kinds == [EventKind.START, EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF]
    assert codec.stamp_ns(told[1].header.stamp) == 100 * MS
