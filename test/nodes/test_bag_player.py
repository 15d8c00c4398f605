"""The bag player on the graph: what it sends, when, under which stamps, and to whom never."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy')

from rclpy.serialization import serialize_message

from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.nodes.bag_player import BagPlayerNode
from wm_eval_ros.nodes.policy import rights
from wm_eval_ros.nodes.ros import BAG_ENDED, message_type
from wm_eval_ros.nodes.topic_list import PLAYER
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.header import header_stamp_ns

ODOM, TWIST = 'nav_msgs/msg/Odometry', 'geometry_msgs/msg/TwistStamped'
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
#: messages of the bag, 20 ms apart
COUNT = 50
SCENARIO: dict[str, Any] = {
    'name': 'base', 'episodes': 1,
    'interface': {
        'observations': [{'topic': 'odom', 'type': ODOM,
                          'fields': ['twist.twist.linear.x']}],
        'command': {'topic': 'cmd_vel', 'type': TWIST, 'fields': ['twist.linear.x'],
                    'low': [-1.0], 'high': [1.0]}},
    'plant': {'kind': 'hardware', 'task': 'drive', 'time_limit_s': 5.0},
    'planner': {'planner': 'hold'}}


def serialized(kind: str, stamp_ns: int, number: int) -> bytes:
    """Serialize a message whose frame carries its number."""
    message = message_type(kind)()
    message.header.frame_id = f'{number}'
    codec.set_stamp(message.header.stamp, stamp_ns)
    return bytes(serialize_message(message))


@pytest.fixture
def drive(tmp_path: Path) -> dict[str, Any]:
    """Write a drive of a robot whose clock is 774 ms ahead, and the scenario; their parameters."""
    with BagWriter(tmp_path / 'drive') as writer:
        writer.add_topic('/odom', ODOM, qos=topics.SENSOR_OFFER)
        writer.add_topic('/cmd_vel', TWIST, qos=topics.COMMAND)
        for number in range(COUNT):
            log_ns = START_NS + number * 20 * MS
            writer.write('/odom', serialized(ODOM, log_ns + 774 * MS, number), log_ns)
            writer.write('/cmd_vel', serialized(TWIST, log_ns, number), log_ns + MS)
    path = tmp_path / 'base.yaml'
    path.write_text(yaml.safe_dump(SCENARIO), encoding='utf-8')
    return {'scenario': str(path), 'nodes': ['monitor'], 'bag': str(tmp_path / 'drive')}


def play(make_graph: Any, parameters: dict[str, Any]) -> tuple[Any, BagPlayerNode]:
    graph = make_graph(**parameters)
    return graph, graph.add(BagPlayerNode())


def played(graph: Any, player: BagPlayerNode, until: Callable[[], object]) -> None:
    """Let the player run in a thread, with an executor of its own, until something happened."""
    from rclpy.executors import SingleThreadedExecutor
    stop: list[int] = []
    graph.executor.remove_node(player.node)
    own = SingleThreadedExecutor()
    own.add_node(player.node)
    thread = threading.Thread(target=player.spin, args=(own, stop))
    thread.start()
    try:
        graph.until(until)
    finally:
        stop.append(1)
        thread.join()
        player.finish(own)
        own.shutdown()


def test_every_sample_comes_once_at_its_pace_under_a_stamp_of_now(
    make_graph: Any, drive: dict[str, Any],
) -> None:
    graph, player = play(make_graph, drive)
    came: list[tuple[int, int, str]] = []
    graph.ends.subscription(ODOM, 'odom', topics.SENSOR_OFFER, lambda m: came.append(
        (time.time_ns(), codec.stamp_ns(m.header.stamp), m.header.frame_id)))
    said = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    commands = graph.listen(TWIST, 'cmd_vel', topics.COMMAND)
    before_ns = time.time_ns()
    played(graph, player, lambda: len(came) == COUNT and said)
    assert [number for _, _, number in came] == [f'{n}' for n in range(COUNT)]
    assert player.sent == {'/odom': COUNT}
    stamps = [stamp for _, stamp, _ in came]
    assert before_ns <= stamps[0] < stamps[-1] <= came[-1][0]
    apart = {b - a for a, b in pairwise(stamps)}
    assert apart == {20 * MS}, 'the stamps keep the very intervals of the bag'
    took_s = (came[-1][0] - came[0][0]) / 1e9
    assert took_s == pytest.approx(0.98, abs=0.2)
    assert [m.data for m in said] == [BAG_ENDED]
    assert commands == []


def test_nothing_is_sent_until_everybody_reads(make_graph: Any, drive: dict[str, Any]) -> None:
    graph, player = play(make_graph, {**drive, 'nodes': ['monitor', 'planner'], 'rate': 10.0})
    heard = [graph.listen(ODOM, 'odom', topics.SENSOR_OFFER)]
    begin = time.monotonic()

    def second() -> bool:
        if len(heard) == 1 and time.monotonic() - begin > 0.7:
            assert not heard[0] and not player.sent
            heard.append(graph.listen(ODOM, 'odom', topics.SENSOR_OFFER))
        return len(heard) == 2 and all(len(h) == COUNT for h in heard)

    played(graph, player, second)


def test_a_player_that_is_held_up_sends_all_and_counts_what_was_late(
    make_graph: Any, drive: dict[str, Any],
) -> None:
    graph, player = play(make_graph, {**drive, 'rate': 20.0})
    heard = graph.listen(ODOM, 'odom', topics.SENSOR_OFFER)
    send = player._send

    def slow(timed: Any) -> None:
        if not player.sent:
            time.sleep(0.2)
        send(timed)

    player._send = slow  # type: ignore[method-assign]
    played(graph, player, lambda: len(heard) == COUNT)
    assert 40 <= player.late <= COUNT and player.latest_ns >= 190 * MS


def test_images_pass_bit_by_bit_but_for_their_stamp(make_graph: Any, tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/Image'
    image = message_type(kind)(height=48, width=64, encoding='rgb8', step=192)
    image.data.frombytes(bytes(range(256)) * 36)
    codec.set_stamp(image.header.stamp, START_NS)
    data = bytes(serialize_message(image))
    with BagWriter(tmp_path / 'bag') as writer:
        for topic, type_name in (('/odom', ODOM), ('/front/image_raw', kind)):
            writer.add_topic(topic, type_name, qos=topics.SENSOR_OFFER)
        writer.write('/odom', serialized(ODOM, START_NS, 0), START_NS)
        writer.write('/front/image_raw', data, START_NS + 30 * MS)
    path = tmp_path / 'seeing.yaml'
    path.write_text(yaml.safe_dump({**SCENARIO, 'interface': {
        **SCENARIO['interface'], 'images': [{'topic': 'front/image_raw'}]}}), encoding='utf-8')
    graph, player = play(make_graph, {'scenario': str(path), 'nodes': ['planner'],
                                      'bag': str(tmp_path / 'bag')})
    came: list[bytes] = []
    graph.ends.subscription(kind, 'front/image_raw', topics.SENSOR_OFFER, came.append, raw=True)
    graph.listen(ODOM, 'odom', topics.SENSOR_OFFER)
    before_ns = time.time_ns()
    played(graph, player, lambda: came)
    assert came[0][12:] == data[12:] and len(data) > 9216
    stamp_ns = header_stamp_ns(came[0])
    assert stamp_ns is not None
    assert before_ns - 30 * MS < stamp_ns < time.time_ns()


def test_there_is_no_publisher_where_commands_are(make_graph: Any, drive: dict[str, Any]) -> None:
    _, player = play(make_graph, drive)
    for topic in ('/cmd_vel', '/proposed/cmd_vel', '/unperturbed/cmd_vel'):
        assert player.node.get_publishers_info_by_topic(topic) == []
    allowed = rights(player.scenario, (PLAYER,))[PLAYER]
    names = player.node.get_publisher_names_and_types_by_node(PLAYER, '/')
    assert tuple(sorted(name for name, _ in names)) == allowed.publish
    player._ahead.close()


def test_a_sensor_remapped_to_the_command_is_refused(
    drive: dict[str, Any], tmp_path: Path, domain_id: int,
) -> None:
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.bag_player', '--ros-args',
             '-r', 'odom:=cmd_vel', '-p', f'scenario:={drive["scenario"]}',
             '-p', f'bag:={drive["bag"]}']
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'odom is played as /cmd_vel, where commands are' in done.stderr


@pytest.mark.parametrize(('changes', 'error', 'what'), [
    ({'bag': ''}, ConfigError, 'bag: none is named'),
    ({'bag': 'nowhere'}, BagError, 'nowhere'),
    ({'start_s': 2.0}, BagError, 'nothing to play from 2 s on, of 1.0 s')])
def test_what_cannot_be_played_is_refused_with_one_line(
    make_graph: Any, drive: dict[str, Any], changes: dict[str, Any],
    error: type[Exception], what: str,
) -> None:
    make_graph(**{**drive, **changes})
    with pytest.raises(error, match=what) as found:
        BagPlayerNode()
    assert '\n' not in str(found.value)


def test_it_ends_on_sigint_amid_a_loop(make_graph: Any, drive: dict[str, Any]) -> None:
    graph = make_graph(scenario='reacher')
    heard = graph.listen(ODOM, 'odom', topics.SENSOR_OFFER)
    words = [sys.executable, '-m', 'wm_eval_ros.nodes.bag_player', '--ros-args',
             '-p', f'scenario:={drive["scenario"]}', '-p', f'bag:={drive["bag"]}',
             '-p', 'loop:=true', '-p', 'nodes:=[monitor]']
    player = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    graph.until(lambda: len(heard) > COUNT, timeout_s=60.0)
    player.send_signal(signal.SIGINT)
    _, said = player.communicate(timeout=30)
    assert player.returncode == 0
    assert 'sent: /odom' in said
    stamps = [codec.stamp_ns(m.header.stamp) for m in heard]
    assert {b - a for a, b in pairwise(stamps)} == {20 * MS}, 'nor is there a seam'
