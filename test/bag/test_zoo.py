"""
Bags as recorders in the field wrote them: read == declared per topic, or what is missing is named.

What is declared is taken from the containers by other code than ours: metadata.yaml, the
statistics of `mcap`, `COUNT(*)`. Where `rosbags` reads a bag its messages must be ours to the bit.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
import hashlib
from pathlib import Path
import sqlite3

from mcap.reader import make_reader
import pytest
from rosbags.rosbag2 import Reader
import yaml

from wm_eval_ros.bag.preflight import preflight, Severity
from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.bag.recover import Outcome, recover
from wm_eval_ros.errors import BagError

SERVICE = 'a service event: counted and timed, not decoded'
NO_DEFINITION = 'no definition of {}: the bag embeds none and none is installed'


@dataclass(frozen=True)
class Known:
    """What a bag is known to hold."""

    count: int
    #: why a topic is not decoded
    unreadable: dict[str, str] = field(default_factory=dict)
    #: messages that `rosbags` gives; None: it refuses the bag
    rosbags: int | None = -1
    #: how it is refused, empty where it is read
    refused: str = ''


def service_events(*topics: str) -> dict[str, str]:
    return dict.fromkeys((f'/{topic}/_service_event' for topic in topics), SERVICE)


def undefined(**topics: str) -> dict[str, str]:
    return {topic: NO_DEFINITION.format(name) for topic, name in topics.items()}


TWO = service_events('add_two_ints', 'add_two_ints2')
TESTS = service_events('test_service1', 'test_service2')
ZOO = {
    'nav2_mcap_zstd_file': Known(693),
    'ros2bag__empty_bag': Known(0, refused='empty: 2 topics and no message'),
    'rosbag2_cpp__bags/only_services.mcap': Known(12, service_events('add_two_ints')),
    'rosbag2_cpp__bags/only_topics.mcap': Known(7),
    'rosbag2_cpp__bags/topics_and_services.db3': Known(13, TWO),
    'rosbag2_cpp__bags/topics_and_services.mcap': Known(13, TWO),
    # metadata.yaml and the file disagree about the quality of service: rosbags then reads nothing
    'rosbag2_py__mcap__convert_a': Known(150, rosbags=0),
    'rosbag2_py__mcap__talker': Known(20, rosbags=0),
    'rosbag2_py__sqlite3__convert_b': Known(
        75, undefined(a_empty='test_msgs/msg/Empty', c_strings='test_msgs/msg/Strings'),
        rosbags=0),
    'rosbag2_py__mcap__reindex_test_bags__multiple_files': Known(
        3177, rosbags=None, refused='no metadata.yaml'),
    'rosbag2_py__sqlite3__reindex_test_bags__multiple_files': Known(
        3177, rosbags=None, refused='no metadata.yaml'),
    'rosbag2_py__mcap__wbag': Known(6074),
    'rosbag2_py__sqlite3__wbag': Known(6074),
    'rosbag2_tests__mcap__bag_with_topics_and_service_events': Known(10, TESTS),
    'rosbag2_tests__sqlite3__bag_with_topics_and_service_events': Known(10, TESTS),
    'rosbag2_tests__mcap__cdr_test': Known(7),
    'rosbag2_tests__sqlite3__cdr_test': Known(7),
    'rosbag2_tests__mcap__wrong_rmw_test': Known(
        0, rosbags=None, refused="serialized as 'wrong_format'"),
    'rosbag2_tests__sqlite3__wrong_rmw_test': Known(
        0, rosbags=None, refused="serialized as 'wrong_format'"),
    'rosbag2_transport__mcap__rewriter_b': Known(75),
    'rosbag2_transport__mcap__test_bag_for_seek': Known(5),
    'rosbag2_transport__sqlite3__test_bag_for_seek': Known(
        5, undefined(topic1='test_msgs/msg/BasicTypes')),
}
ROBOTS = {
    'dev_tb3_rasl': Known(10627),
    'dev_go2_test4/bag': Known(30334),
    'dev_gps_nav_1': Known(5348, {'/vehicle_command_ackermann': NO_DEFINITION.format(
        'ackermann_msgs/msg/AckermannDriveStamped')}),
    'dev_crazyflie_roll2bag': Known(2942),
    'dev_crazyflie_fly90bag': Known(1609),
}
EVERY = {**{f'dev_format_zoo/{name}': known for name, known in ZOO.items()}, **ROBOTS}
READ = [name for name, known in EVERY.items() if not known.refused]
SALVAGED = [name for name, known in EVERY.items() if known.refused == 'no metadata.yaml']


def declared(path: Path) -> Counter[str]:
    """Count the messages of a bag by topic, by other code than ours."""
    metadata = path / 'metadata.yaml'
    if metadata.is_file():
        raw = yaml.safe_load(metadata.read_text())['rosbag2_bagfile_information']
        return Counter({entry['topic_metadata']['name']: entry['message_count']
                        for entry in raw['topics_with_message_count']})
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return sum((counted(file) for file in files), Counter())


def counted(file: Path) -> Counter[str]:
    if file.suffix == '.mcap':
        with file.open('rb') as stream:
            summary = make_reader(stream).get_summary()
        assert summary is not None and summary.statistics is not None
        counts = summary.statistics.channel_message_counts
        return Counter({c.topic: counts.get(n, 0) for n, c in summary.channels.items()})
    with closing(sqlite3.connect(f'{file.as_uri()}?mode=ro&immutable=1', uri=True)) as database:
        return Counter(dict(database.execute(
            'SELECT name, COUNT(*) FROM messages JOIN topics ON topics.id = topic_id '
            'GROUP BY name')))


def messages(bag: Bag) -> list[tuple[int, str, bytes]]:
    return [(m.log_ns, m.topic, m.data) for m in bag.messages()]


@pytest.mark.parametrize('name', READ)
def test_what_is_read_is_what_is_declared_by_topic(shared_data: Path, name: str) -> None:
    known = EVERY[name]
    with open_bag(shared_data / name) as bag:
        found = messages(bag)
        assert +Counter(topic for _, topic, _ in found) == +declared(shared_data / name)
        assert len(found) == known.count
        assert [log for log, _, _ in found] == sorted(log for log, _, _ in found)
        assert bag.unreadable == known.unreadable
        assert not [f for f in preflight(bag, closed_loop=False).findings
                    if f.severity is Severity.ERROR or f.kind == 'count']


@pytest.mark.parametrize('name', READ)
def test_messages_that_rosbags_reads_are_ours_to_the_bit(shared_data: Path, name: str) -> None:
    known = EVERY[name]
    assert known.rosbags is not None
    with Reader(shared_data / name) as reader:
        theirs = [(log, connection.topic, bytes(data))
                  for connection, log, data in reader.messages()]
    want = known.count if known.rosbags < 0 else known.rosbags
    assert len(theirs) == want
    if want:
        with open_bag(shared_data / name) as bag:
            assert Counter(messages(bag)) == Counter(theirs)


@pytest.mark.parametrize('name', READ)
def test_every_readable_message_decodes(shared_data: Path, name: str) -> None:
    with open_bag(shared_data / name) as bag:
        topics = [topic for topic in bag.topics if topic not in bag.unreadable]
        for topic in topics:
            first = next((msg for _, msg in bag.decoded([topic])), None)
            assert first is None or first.__msgtype__


@pytest.mark.parametrize('name', [name for name, known in EVERY.items() if known.refused])
def test_what_cannot_be_read_is_refused_in_one_line(shared_data: Path, name: str) -> None:
    with pytest.raises(BagError, match=EVERY[name].refused) as caught:
        open_bag(shared_data / name)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', SALVAGED)
def test_a_bag_without_metadata_is_salvaged_whole_and_says_so(
    shared_data: Path, name: str,
) -> None:
    with open_bag(shared_data / name, salvage=True) as bag:
        found = messages(bag)
        assert Counter(topic for _, topic, _ in found) == declared(shared_data / name)
        assert len(found) == EVERY[name].count
        assert [note for note in bag.notes if 'no metadata.yaml' in note] == list(bag.notes)


@pytest.mark.parametrize(('name', 'what'), [
    ('SOURCE.txt', 'neither MCAP nor sqlite3'), ('nobody', 'no such file'), ('..', 'no bag'),
])
def test_what_is_no_bag_is_refused(shared_data: Path, name: str, what: str) -> None:
    with pytest.raises(BagError, match=what):
        open_bag(shared_data / 'dev_format_zoo' / name)


def test_the_same_recording_in_two_containers_is_the_same(shared_data: Path) -> None:
    zoo = shared_data / 'dev_format_zoo'
    for name in ('rosbag2_py__{}__wbag', 'rosbag2_py__{}__reindex_test_bags__multiple_files'):
        with open_bag(zoo / name.format('mcap'), salvage=True) as one, open_bag(
                zoo / name.format('sqlite3'), salvage=True) as other:
            assert messages(one) == messages(other)


def test_no_bag_was_changed(shared_data: Path) -> None:
    wanted = (shared_data / 'SHA256SUMS').read_text().split('\n')
    sums = dict(line.split(maxsplit=1)[::-1] for line in wanted if line.strip())
    assert len(sums) > 30
    for name, digest in sums.items():
        content = (shared_data / name.strip().lstrip('*')).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest


def test_an_unreadable_type_is_still_timed_and_a_definition_may_be_passed(
    shared_data: Path,
) -> None:
    topic, path = '/vehicle_command_ackermann', shared_data / 'dev_gps_nav_1'
    with open_bag(path) as bag:
        assert sum(1 for _ in bag.messages([topic])) == 1034
        with pytest.raises(BagError, match='no definition'):
            list(bag.decoded([topic]))
    fields = ('float32 steering_angle\nfloat32 steering_angle_velocity\nfloat32 speed\n'
              'float32 acceleration\nfloat32 jerk\n')
    definitions = {'ackermann_msgs/msg/AckermannDriveStamped':
                   'std_msgs/Header header\nAckermannDrive drive\n',
                   'ackermann_msgs/msg/AckermannDrive': fields}
    with open_bag(path, definitions=definitions) as bag:
        assert not bag.unreadable
        speeds = [msg.drive.speed for _, msg in bag.decoded([topic])]
    assert len(speeds) == 1034
    assert max(map(abs, speeds)) < 20


@pytest.mark.parametrize('name', READ + SALVAGED)
def test_a_recovered_bag_gives_rosbags_every_message(
    shared_data: Path, tmp_path: Path, name: str,
) -> None:
    found = recover(shared_data / name, tmp_path / 'new')
    assert (found.outcome, found.messages) == (Outcome.FULL, EVERY[name].count)
    with Reader(tmp_path / 'new') as reader:
        theirs = Counter((log, connection.topic, bytes(data))
                         for connection, log, data in reader.messages())
    with open_bag(shared_data / name, salvage=True) as bag:
        assert theirs == Counter(messages(bag))
