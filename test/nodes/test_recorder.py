"""The recorder over DDS: every byte as sent, ready only when every topic is matched."""

from __future__ import annotations

import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag  # noqa: E402
from wm_eval_ros.bag.recover import Outcome, recover  # noqa: E402
from wm_eval_ros.cli.processes import node_environment, NodeProcess  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.errors import RecordingError, RunError  # noqa: E402
from wm_eval_ros.nodes.process import Stop  # noqa: E402
from wm_eval_ros.nodes.recorder import RecorderNode  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.topic_list import run_topics  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

#: the contract's share of kills over DDS is run with WM_EVAL_NODE_KILLS=20
NODE_KILLS = int(os.environ.get('WM_EVAL_NODE_KILLS', '3'))
#: the node on a disk that answers once, and then never again
HANGING = """
import os, sys, time
real, told = os.fsync, []
def fsync(number):
    if told:
        print('hangs', flush=True)
        time.sleep(600)
    told.append(number)
    real(number)
os.fsync = fsync
from wm_eval_ros.nodes.recorder import main
sys.exit(main())
"""
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


class Until:
    """Runs the probe's part at every look; stops the recorder once that is done."""

    def __init__(self, play: Any) -> None:
        self._play, self._end = play, time.monotonic() + 60

    def __bool__(self) -> bool:
        assert time.monotonic() < self._end, 'it never happened'
        return bool(self._play())


def test_what_is_on_the_disk_is_published_and_in_the_bag(make_graph: Any, tmp_path: Path) -> None:
    graph = make_graph(scenario='reacher', bag=str(tmp_path / 'bag'))
    ends = offers(graph)
    heard = graph.listen(topics.TYPES[topics.RECORDER_STATUS], topics.RECORDER_STATUS,
                         topics.TELEMETRY)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    recorder = graph.add(RecorderNode())
    sent: list[int] = []

    def play() -> bool:
        if ready and not sent:
            for k in range(50):
                ends[topics.EPISODE_EVENT].publish(codec.event_to_msg(
                    EpisodeEvent(k, 0, EventKind.START, 'x'), TYPES))
                sent.append(k)
        statuses = [codec.status_from_msg(m) for m in heard]
        return any(dict(zip(s.topics, s.durable, strict=True)).get('/episode_event') == 50
                   for s in statuses)

    recorder.spin(graph.executor, Until(play))
    recorder.finish(graph.executor)
    with open_bag(tmp_path / 'bag') as bag:
        told = [codec.status_from_msg(m) for _, m in bag.decoded(['/recorder_status'])]
    assert codec.status_from_msg(heard[0]) in told
    assert dict(zip(told[-1].topics, told[-1].written, strict=True))['/episode_event'] == 50


def test_a_recording_that_fails_says_so_to_everybody_within_a_second(
    make_graph: Any, tmp_path: Path,
) -> None:
    graph = make_graph(scenario='reacher', bag=str(tmp_path / 'bag'), min_free_gib=1e9)
    ends = offers(graph)
    events = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
    heard = graph.listen(topics.TYPES[topics.RECORDER_STATUS], topics.RECORDER_STATUS,
                         topics.TELEMETRY)
    ends[topics.EPISODE_EVENT].publish(codec.event_to_msg(
        EpisodeEvent(5, 7, EventKind.START), TYPES))
    recorder = graph.add(RecorderNode())
    with pytest.raises(RecordingError, match='GiB free') as raised:
        recorder.spin(graph.executor, Until(lambda: False))
    with pytest.raises(RecordingError):
        recorder.finish(graph.executor)
    assert raised.value.exit_code == 74
    graph.until(lambda: len(events) >= 2 and heard)
    failed = [e for e in map(codec.event_from_msg, events)
              if e.kind is EventKind.RECORDER_FAILED]
    assert [(e.source, 'GiB free' in e.label) for e in failed] == [('recorder', True)]
    assert codec.status_from_msg(heard[-1]).failed


@pytest.mark.parametrize('told', [False, True], ids=['by-itself', 'told-to-end'])
def test_on_a_disk_that_hangs_the_process_ends_with_74_and_says_so(
    make_graph: Any, tmp_path: Path, domain_id: int, told: bool,
) -> None:
    graph = make_graph(scenario='reacher')
    events = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
    words = [f'bag:={tmp_path / "bag"}', 'scenario:=reacher', 'stall_s:=1.5', 'audit:=false']
    node = subprocess.Popen(
        [sys.executable, '-c', HANGING, '--ros-args', *(w for p in words for w in ('-p', p))],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(node_environment(domain_id)))
    assert node.stdout is not None
    assert node.stdout.readline() == 'hangs\n'
    if told:
        node.send_signal(signal.SIGTERM)
    graph.until(lambda: node.poll() is not None)
    _, err = node.communicate()
    assert node.returncode == 74, err
    assert err.strip().splitlines()[-1].startswith('RecordingError: ')
    assert 'the disk has not answered for' in err
    graph.until(lambda: events)
    failed, = map(codec.event_from_msg, events)
    assert failed.kind is EventKind.RECORDER_FAILED
    assert 'has not answered' in failed.label


@pytest.mark.parametrize('second', [False, True])
def test_what_the_middleware_overwrote_is_a_drop_of_a_sole_publisher_alone(
    make_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: bool,
) -> None:
    monkeypatch.setattr('wm_eval_ros.nodes.recorder.DEPTH', 5)
    graph = make_graph(scenario='reacher', bag=str(tmp_path / 'bag'))
    ends = offers(graph)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    recorder = graph.add(RecorderNode())
    state = message_type(TOPICS['joint_states'])()
    recorder.spin(graph.executor, Until(lambda: ready))
    if second:
        ends['second'] = graph.publisher(TOPICS['joint_states'], 'joint_states', topics.TELEMETRY)
        subscription = recorder._subscriptions['/joint_states']
        graph.until(lambda: subscription.get_publisher_count() == 2)
    # one comes, then 20 of which the last 5 wait to be taken; the second one's are 1 and 2
    ends['joint_states'].publish(state)
    graph.until(lambda: recorder._count == 1)
    for _ in range(20):
        ends['joint_states'].publish(state)
    if second:
        for _ in range(2):
            ends['second'].publish(state)
    recorder.finish(graph.executor)
    with open_bag(tmp_path / 'bag') as bag:
        assert bag.metadata is not None
        told = bag.metadata.custom['wm_eval_ros.recorder./joint_states']
    assert told == ('received=6 written=6 dropped=0' if second
                    else 'received=6 written=6 dropped=15')


def durable_of(heard: list[Any]) -> int:
    """Return how many joint states the last status says are on the disk."""
    if not heard:
        return 0
    last = codec.status_from_msg(heard[-1])
    return dict(zip(last.topics, last.durable, strict=True)).get('/joint_states', 0)


@pytest.mark.slow
def test_the_node_killed_at_any_instant_loses_nothing_acknowledged(
    make_graph: Any, tmp_path: Path, domain_id: int,
) -> None:
    graph = make_graph(scenario='reacher')
    ends = offers(graph)
    heard = graph.listen(topics.TYPES[topics.RECORDER_STATUS], topics.RECORDER_STATUS,
                         topics.TELEMETRY)
    pick = random.Random(3)
    kind = message_type(TOPICS['joint_states'])
    acknowledged = 0
    for number in range(NODE_KILLS):
        heard.clear()
        folder = tmp_path / f'b{number}'
        node = NodeProcess('recorder', {'scenario': 'reacher', 'bag': str(folder)},
                           tmp_path / f'{number}.log', node_environment(domain_id))
        # the subscription of the one killed before is known for a while yet
        graph.until(lambda: any('/joint_states' in m.topics for m in heard), 60)
        end = time.monotonic() + pick.uniform(0.0, 2.0)
        count = 0
        # the last one not before something is acknowledged, however slow the machine is
        patience = time.monotonic() + 60 if number == NODE_KILLS - 1 else 0.0
        while time.monotonic() < end or (
                not durable_of(heard) and time.monotonic() < patience):
            message = kind(name=['joint0'], position=[float(count)])
            codec.set_stamp(message.header.stamp, count)
            ends['joint_states'].publish(message)
            count += 1
            graph.executor.spin_once(timeout_sec=0.002)
        node._process.send_signal(signal.SIGKILL)
        node.wait()
        for _ in range(20):
            graph.executor.spin_once(timeout_sec=0.01)
        durable = durable_of(heard)
        acknowledged += durable
        found = recover(folder, tmp_path / f'r{number}')
        if found.outcome is Outcome.NOTHING:
            assert durable == 0
            continue
        with open_bag(tmp_path / f'r{number}') as bag:
            if '/joint_states' not in bag.topics:
                assert durable == 0
                continue
            read = [m.position[0] for _, m in bag.decoded(['/joint_states'])]
        assert len(read) >= durable, 'acknowledged and lost'
        assert read == [read[0] + k for k in range(len(read))]
    assert acknowledged > 0
