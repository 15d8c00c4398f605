"""The recorder over DDS: every byte as sent, ready only when every topic is matched."""

from __future__ import annotations

from pathlib import Path
import time
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.errors import RunError  # noqa: E402
from wm_eval_ros.nodes.process import Stop  # noqa: E402
from wm_eval_ros.nodes.recorder import RecorderNode  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.topic_list import run_topics  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

TOPICS = run_topics(load_scenario(find_scenario('reacher')))


def offers(graph: Any) -> dict[str, Any]:
    latched = (topics.RUN_INFO, topics.EPISODE_EVENT, 'goal')
    return {name: graph.publisher(
        kind, name, topics.LATCHED if name in latched else topics.TELEMETRY)
        for name, kind in TOPICS.items()}


def test_what_was_sent_is_in_the_bag_byte_for_byte(make_graph: Any, tmp_path: Path) -> None:
    graph = make_graph(scenario='reacher', bag=str(tmp_path / 'bag'))
    ends = offers(graph)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    recorder = graph.add(RecorderNode())
    events = [EpisodeEvent(k, k, EventKind.START, 'x' * k, 0.5 * k, 'probe') for k in range(200)]
    states = []

    stop = Stop()
    end = time.monotonic() + 60

    def play() -> bool:
        if 'recorder' not in [m.data for m in ready]:
            return False
        if not states:
            for event in events:
                ends[topics.EPISODE_EVENT].publish(codec.event_to_msg(event, TYPES))
            for k in range(300):
                message = message_type(TOPICS['joint_states'])()
                message.name, message.position = ['joint0'], [k / 7]
                codec.set_stamp(message.header.stamp, k)
                ends['joint_states'].publish(message)
                states.append(k / 7)
        return recorder._count >= 500

    class Until:
        def __bool__(self) -> bool:
            assert time.monotonic() < end, 'messages are missing'
            return bool(stop) or play()

    recorder.spin(graph.executor, Until())
    recorder.finish(graph.executor)
    with open_bag(tmp_path / 'bag') as bag:
        records = list(bag.records())
        assert [r for r in records if isinstance(r, EpisodeEvent)] == events
        assert [m.position[0] for _, m in bag.decoded(['/joint_states'])] == states
        sequences = [m.sequence for m in bag.messages(['/joint_states'])]
    assert sequences == list(range(sequences[0], sequences[0] + 300)), 'sequence of the publisher'


def test_a_topic_that_never_comes_is_named(make_graph: Any, tmp_path: Path) -> None:
    graph = make_graph(scenario='reacher', bag=str(tmp_path / 'bag'), match_timeout_s=2.0)
    kept = offers(graph)
    graph.node.destroy_publisher(kept.pop('tip_pose'))
    recorder = graph.add(RecorderNode())
    with pytest.raises(RunError, match='/tip_pose'):
        recorder.spin(graph.executor, Stop())
    recorder.finish(graph.executor)
