"""When the messages of a bag are due, under which stamp, and which of its topics are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
import time
from typing import Any

import pytest

from wm_eval_ros.bag.playback import absolute, Playback, sensor_topics, Timed
from wm_eval_ros.bag.read_ahead import ReadAhead
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.config.interface import CommandStream, ImageStream, Interface, Stream
from wm_eval_ros.config.replay import ReplaySettings
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.wire.header import header_stamp_ns
from wm_eval_ros.wire.topics import SENSOR_OFFER

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
JOINTS = 'sensor_msgs/msg/JointState'
#: topic, log time and stamp [ms after the start]; a stamp of None is a zero one
Row = tuple[str, float, float | None]


@pytest.fixture
def played(
    tmp_path: Path, joint_data: Callable[..., bytes],
) -> Callable[..., tuple[Playback, list[Timed]]]:
    """Return what writes joint states, and plays those of some topics."""
    def play(rows: Sequence[Row], topics: Sequence[str] = ('/a',), most: int = 1000,
             **settings: Any) -> tuple[Playback, list[Timed]]:
        with BagWriter(tmp_path / 'bag') as writer:
            for topic in dict.fromkeys(row[0] for row in rows):
                writer.add_topic(topic, JOINTS, qos=SENSOR_OFFER)
            for number, (topic, log, stamp) in enumerate(rows):
                stamp_ns = 0 if stamp is None else START_NS + round(stamp * MS)
                writer.write(topic, joint_data(stamp_ns, float(number)),
                             START_NS + round(log * MS))
        found: list[Timed] = []
        with open_bag(tmp_path / 'bag') as bag:
            playback = Playback(bag, tuple(topics), ReplaySettings(**settings))
            for timed in playback.messages():
                found.append(timed)
                if len(found) == most:
                    break
        return playback, found

    return play


def in_ms(found: Sequence[Timed]) -> list[tuple[float, float | None]]:
    return [(t.due_ns / MS, None if t.stamp_ns is None else t.stamp_ns / MS) for t in found]


def test_a_stamp_of_the_recorders_clock_keeps_its_age_and_others_are_not_played(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    playback, found = played([('/a', 10, 4), ('/b', 12, 12), ('/a', 20, 17), ('/a', 40, 40)])
    assert in_ms(found) == [(0, -6), (10, 7), (30, 30)]
    assert {t.topic for t in found} == {'/a'} and len(playback) == 3
    assert playback.notes == ()


@pytest.mark.parametrize(('ahead_ms', 'word'), [
    pytest.param(774.0, 'ahead of', id='774-ms-ahead'),
    pytest.param(-66 * 86_400_000.0, 'behind', id='66-days-behind')])
def test_of_a_clock_apart_the_offset_of_its_quickest_topic_is_taken_off(
    played: Callable[..., tuple[Playback, list[Timed]]], ahead_ms: float, word: str,
) -> None:
    rows: list[Row] = []
    for at in range(0, 1000, 10):
        rows += [('/a', at + 30, at + ahead_ms), ('/b', at + 2, at + ahead_ms)]
    playback, found = played(sorted(rows, key=lambda r: r[1]), ('/a', '/b'))
    ages = {topic: {round((t.due_ns - (t.stamp_ns or 0)) / MS) for t in found if t.topic == topic}
            for topic in ('/a', '/b')}
    assert ages == {'/a': {28}, '/b': {0}}, 'what is between the topics stays'
    assert len(playback.notes) == 2
    assert all(word in note and 'taken off' in note for note in playback.notes)


def test_each_clock_of_a_bag_has_its_own_offset(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    rows: list[Row] = [row for at in range(0, 200, 10) for row in (
        ('/a', at, at + 5000), ('/b', at + 1, at - 3))]
    _, found = played(rows, ('/a', '/b'))
    ages = {t.topic: round((t.due_ns - (t.stamp_ns or 0)) / MS) for t in found}
    assert ages == {'/a': 0, '/b': 4}


def test_a_stamp_of_zero_becomes_the_log_time_and_is_told(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    playback, found = played([('/a', 0, None), ('/a', 50, 48), ('/a', 100, None)])
    assert in_ms(found) == [(0, 0), (50, 48), (100, 100)]
    assert playback.notes == (
        '/a: 2 of 3 header stamps are zero: replaced by when they were logged',)


def test_stamps_that_are_kept_stay_and_nothing_is_told(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    playback, found = played([('/a', 0, 5000), ('/a', 50, 5050)], keep_stamps=True)
    assert [header_stamp_ns(t.dated(123)) for t in found] == [
        START_NS + 5000 * MS, START_NS + 5050 * MS]
    assert playback.notes == ()


@pytest.mark.parametrize(('pace', 'due_ms'), [
    ('log', [0, 30, 31, 40, 50, 60]), ('stamps', [0, 10, 20, 30, 50, 50])])
def test_messages_come_as_they_were_logged_or_as_they_were_taken(
    played: Callable[..., tuple[Playback, list[Timed]]], pace: str, due_ms: list[float],
) -> None:
    # the third was taken before the second; the fifth stamp says nothing of when it is due
    _, found = played([('/a', 0, 0), ('/a', 30, 20), ('/a', 31, 10), ('/a', 40, 30),
                       ('/a', 50, -90_000), ('/a', 60, 50)], pace=pace)
    assert [t.due_ns / MS for t in found] == due_ms


def test_what_was_recorded_out_of_order_is_played_in_order(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    _, found = played([('/a', 20, 20), ('/a', 0, 0), ('/a', 10, 10), ('/a', 30, 30)])
    assert in_ms(found) == [(0, 0), (10, 10), (20, 20), (30, 30)]


def test_rate_and_start_move_due_times_and_stamps_alike(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    rows: list[Row] = [('/a', at, at - 4) for at in range(0, 200, 20)]
    playback, found = played(rows, rate=2.0, start_s=0.1)
    assert in_ms(found) == [(0, -2), (10, 8), (20, 18), (30, 28), (40, 38)]
    assert len(playback) == 5


def test_a_loop_begins_anew_one_interval_after_the_end(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    _, found = played([('/a', 0, 0), ('/a', 20, 20), ('/a', 40, 40)], loop=True, most=7)
    assert in_ms(found) == [(at, at) for at in range(0, 140, 20)]


def test_a_start_behind_the_end_is_refused_with_the_length(
    played: Callable[..., tuple[Playback, list[Timed]]],
) -> None:
    with pytest.raises(BagError, match=r'/a: nothing to play from 0\.5 s on, of 0\.0 s'):
        played([('/a', 0, 0), ('/a', 20, 20)], start_s=0.5)


def test_a_stamp_beyond_what_a_header_holds_is_the_latest_or_the_first(
    joint_data: Callable[..., bytes],
) -> None:
    data = joint_data(START_NS)
    assert header_stamp_ns(Timed(0, '/a', -START_NS, data).dated(1)) == 0
    late = header_stamp_ns(Timed(0, '/a', 10**19, data).dated(START_NS))
    assert late == (2**31 - 1) * 10**9


@pytest.mark.parametrize('name', [
    'nav2_mcap_zstd_file', 'rosbag2_cpp__bags/topics_and_services.db3', 'rosbag2_py__mcap__talker',
    'rosbag2_py__sqlite3__wbag', 'rosbag2_py__mcap__wbag', 'rosbag2_py__mcap__convert_a',
    'rosbag2_tests__sqlite3__cdr_test', 'rosbag2_transport__mcap__test_bag_for_seek'])
def test_bags_of_every_form_are_played_whole(shared_data: Path, name: str) -> None:
    with open_bag(shared_data / 'dev_format_zoo' / name) as bag:
        topics = sorted(set(bag.topics) - set(bag.unreadable))
        raw = list(bag.messages(topics))
        found = list(Playback(bag, topics, ReplaySettings(keep_stamps=True)).messages())
    assert [(t.topic, t.data) for t in found] == [(m.topic, m.data) for m in raw]
    assert [t.due_ns for t in found] == [m.log_ns - raw[0].log_ns for m in raw]
    assert all(t.dated(1) is t.data for t in found)


def test_a_topic_that_is_not_understood_is_refused_with_the_reason(shared_data: Path) -> None:
    path = shared_data / 'dev_format_zoo' / 'rosbag2_cpp__bags' / 'topics_and_services.db3'
    with open_bag(path) as bag, pytest.raises(BagError, match='a service event'):
        Playback(bag, sorted(bag.unreadable), ReplaySettings())


# which topics are played ------------------------------------------------------------------------

ODOM = Stream(topic='odom', type='nav_msgs/msg/Odometry', fields=('pose.pose.position.x',))
GOAL = Stream(topic='goal', type='geometry_msgs/msg/PoseStamped', fields=('pose.position.x',))
COMMAND = CommandStream(topic='cmd_vel', type='geometry_msgs/msg/TwistStamped',
                        fields=('twist.linear.x',), low=(-1.0,), high=(1.0,))
FACE = Interface(observations=(ODOM,), command=COMMAND, goal=GOAL,
                 images=(ImageStream(topic='/front/image_raw'),))
HELD = {'/odom': 'nav_msgs/msg/Odometry', '/cmd_vel': 'geometry_msgs/msg/TwistStamped',
        '/front/image_raw': 'sensor_msgs/msg/Image', '/scan': 'sensor_msgs/msg/LaserScan'}


def test_state_and_cameras_are_played_a_goal_where_there_is_one_and_commands_never() -> None:
    assert list(sensor_topics(FACE, HELD, absolute)) == ['/odom', '/front/image_raw']
    held = {**HELD, '/goal': GOAL.type}
    assert sensor_topics(FACE, held, absolute)['/goal'] is GOAL


def test_a_topic_is_looked_for_under_its_resolved_name_first() -> None:
    held = {**HELD, '/robot1/odom': 'nav_msgs/msg/Odometry'}
    found = sensor_topics(FACE, held, lambda name: f'/robot1/{name.lstrip("/")}')
    assert list(found) == ['/robot1/odom', '/front/image_raw']


@pytest.mark.parametrize('topic', ['cmd_vel', '/cmd_vel', 'proposed/cmd_vel',
                                   'unperturbed/cmd_vel'])
def test_a_model_that_sees_commands_is_refused(topic: str) -> None:
    face = Interface(observations=(ODOM, Stream(topic=topic, type=COMMAND.type, fields=('x',))),
                     command=COMMAND)
    with pytest.raises(ConfigError, match='commands of a bag must not reach a robot'):
        sensor_topics(face, {**HELD, absolute(topic): COMMAND.type}, absolute)


def test_a_sensor_that_is_renamed_to_the_command_is_refused() -> None:
    with pytest.raises(ConfigError, match='odom is played as /cmd_vel, where commands are'):
        sensor_topics(FACE, HELD, lambda name: '/cmd_vel')


@pytest.mark.parametrize(('held', 'what'), [
    ({}, 'no topic /odom in the bag, it holds nothing'),
    ({**HELD, '/odom': 'geometry_msgs/msg/Pose'},
     '/odom is geometry_msgs/msg/Pose in the bag, the interface has nav_msgs/msg/Odometry')])
def test_a_bag_without_what_the_model_sees_is_refused(held: dict[str, str], what: str) -> None:
    with pytest.raises(BagError, match=what):
        sensor_topics(FACE, held, absolute)


# reading ahead ----------------------------------------------------------------------------------


def test_no_more_is_read_ahead_than_fits_and_all_of_it_comes_in_order() -> None:
    read: list[int] = []

    def source() -> Iterator[Timed]:
        for number in range(20):
            read.append(number)
            yield Timed(number, '/a', None, bytes(100))

    ahead = ReadAhead(source(), limit_bytes=300)
    time.sleep(0.1)
    assert 4 <= len(read) <= 6
    found = []
    while not ahead.ended:
        if (timed := ahead.take(1.0)) is not None:
            found.append(timed.due_ns)
    assert found == list(range(20))
    ahead.close()


def test_a_damaged_bag_is_told_to_who_takes_after_what_could_be_read() -> None:
    def source() -> Iterator[Timed]:
        yield Timed(0, '/a', None, b'x')
        raise BagError('the file is damaged')

    ahead = ReadAhead(source())
    assert ahead.take(1.0) is not None
    with pytest.raises(BagError, match='damaged'):
        ahead.take(1.0)


def test_an_endless_source_is_left_when_closed() -> None:
    def source() -> Iterator[Timed]:
        while True:
            yield Timed(0, '/a', None, bytes(100))

    ahead = ReadAhead(source(), limit_bytes=1000)
    ahead.close()
    assert not ahead._thread.is_alive()
