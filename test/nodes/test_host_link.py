"""The host's end of a link and the echo at the other, over real DDS."""

from __future__ import annotations

from itertools import pairwise
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.echo import EchoNode
from wm_eval_ros.nodes.host_link import answer_clock, HostLink
from wm_eval_ros.nodes.ros import message_type, TYPES
from wm_eval_ros.records import EpisodeEvent, EventKind, LinkKind, NEVER_NS
from wm_eval_ros.wire import codec, topics

JOINTS = 'sensor_msgs/msg/JointState'
IMAGE = 'sensor_msgs/msg/Image'
T0 = 1_700_000_000_000_000_000


def stamped(kind: str, stamp_ns: int) -> Any:
    message = message_type(kind)()
    codec.set_stamp(message.header.stamp, stamp_ns)
    return message


def heard(graph: Any, topic: str) -> list[Any]:
    found: list[Any] = graph.listen(topics.TYPES[topic], topic, topics.TELEMETRY)
    return found


def test_a_sample_is_told_of_with_the_time_just_before_it_was_sent(make_graph: Any) -> None:
    graph = make_graph(scenario='hil')
    events = heard(graph, topics.LINK_EVENT)
    link = HostLink(graph.node, graph.ends, load_scenario(find_scenario('hil')))
    graph.until(lambda: link._events.get_subscription_count())
    sent: list[int] = []
    publish = link.noting('joint_states', lambda message: sent.append(time.monotonic_ns()))
    before = time.monotonic_ns()
    publish(stamped(JOINTS, T0))
    graph.until(lambda: events)
    event = codec.link_from_msg(events[0])
    assert (event.kind, event.ref.topic, event.ref.stamp_ns) == (
        LinkKind.SENT, '/joint_states', T0)
    assert before <= event.ref.steady_ns <= sent[0]
    assert event.ref.received_ns == NEVER_NS
    assert abs(event.ref.source_ns - time.time_ns()) < 10**10


def test_a_command_is_told_of_with_the_time_the_middleware_took_it(make_graph: Any) -> None:
    graph = make_graph(scenario='hil')
    events = heard(graph, topics.LINK_EVENT)
    link = HostLink(graph.node, graph.ends, load_scenario(find_scenario('hil')))
    command = graph.publisher(JOINTS, 'proposed/joint_command', topics.COMMAND)
    graph.until(lambda: command.get_subscription_count() and link._events.get_subscription_count())
    command.publish(stamped(JOINTS, T0 + 5))
    sent = time.monotonic_ns()
    # busy with something else: no callback runs meanwhile
    time.sleep(0.2)
    graph.until(lambda: events)
    ref = codec.link_from_msg(events[0]).ref
    assert (ref.topic, ref.stamp_ns) == ('/proposed/joint_command', T0 + 5)
    assert ref.source_ns <= ref.received_ns
    assert ref.steady_ns - sent < 150_000_000, 'not the time of the callback'


def test_the_clock_is_asked_one_question_after_the_other(make_graph: Any) -> None:
    graph = make_graph(scenario='hil')
    found = heard(graph, topics.CLOCK_EXCHANGE)
    link = HostLink(graph.node, graph.ends, load_scenario(find_scenario('hil')))
    assert not link.asking
    answer_clock(graph.node)
    graph.until(lambda: link._clock.service_is_ready()
                and link._exchanges.get_subscription_count())
    link.ask(7)
    assert link.asking
    graph.until(lambda: len(found) == 7)
    assert not link.asking
    exchanges = [codec.exchange_from_msg(m) for m in found]
    for each in exchanges:
        assert (each.client_send_ns <= each.server_receive_ns <= each.server_send_ns
                <= each.client_receive_ns)
    assert all(a.client_receive_ns <= b.client_send_ns
               for a, b in pairwise(exchanges))


def test_a_command_without_a_stamp_cannot_be_joined(make_graph: Any) -> None:
    graph = make_graph(scenario='hil')
    scenario = load_scenario(find_scenario('hil'), {
        'interface.command.type': 'geometry_msgs/msg/Twist',
        'interface.command.fields': ['linear.x', 'angular.z']})
    with pytest.raises(ConfigError, match='carries no stamp'):
        HostLink(graph.node, graph.ends, scenario)


def events_of(graph: Any) -> Any:
    publisher = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                topics.LATCHED)

    def tell(kind: EventKind, episode: int) -> None:
        publisher.publish(codec.event_to_msg(
            EpisodeEvent(T0, episode, kind, '', 7.0, 'probe'), TYPES))
    return tell


@pytest.mark.parametrize(('topic', 'kind', 'offer'), [
    ('', JOINTS, 'joint_states'), ('camera/image_raw', IMAGE, 'camera/image_raw')])
def test_an_echo_answers_with_the_stamp_of_the_sample_within_an_episode(
    make_graph: Any, topic: str, kind: str, offer: str
) -> None:
    graph = make_graph(scenario='hil', nodes=['planner'], topic=topic)
    samples = graph.publisher(kind, offer, topics.SENSOR_OFFER)
    answers = graph.listen(JOINTS, 'proposed/joint_command', topics.TELEMETRY)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    info = graph.listen(topics.TYPES[topics.RUN_INFO], topics.RUN_INFO, topics.LATCHED)
    tell = events_of(graph)
    echo = graph.add(EchoNode())
    echo.tell()
    graph.until(lambda: samples.get_subscription_count() and info
                and echo._commands.get_subscription_count())
    samples.publish(stamped(kind, T0 + 1))
    for _ in range(10):
        graph.executor.spin_once(timeout_sec=0.02)
    assert answers == [], 'no episode yet'
    tell(EventKind.START, 0)
    graph.until(lambda: any(m.data == 'planner 0' for m in ready))
    samples.publish(stamped(kind, T0 + 2))
    graph.until(lambda: answers)
    assert codec.stamp_ns(answers[0].header.stamp) == T0 + 2
    assert list(answers[0].effort) == [0.0, 0.0]
    tell(EventKind.TIMEOUT, 0)
    graph.until(lambda: echo._episodes.current is None)
    samples.publish(stamped(kind, T0 + 3))
    for _ in range(10):
        graph.executor.spin_once(timeout_sec=0.02)
    assert len(answers) == 1
    found = codec.run_info_from_json(info[0].data)
    assert (found.planner, found.model) == ('echo', {})


def test_an_echo_of_a_topic_that_nobody_sends_is_refused(make_graph: Any) -> None:
    make_graph(scenario='hil', nodes=['planner'], topic='nope')
    with pytest.raises(ConfigError, match="no 'nope' to answer"):
        EchoNode()
