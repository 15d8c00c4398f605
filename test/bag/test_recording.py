"""The recording without ROS: what waits, what is dropped, what is on the disk, how it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import errno
from itertools import count
import os
from pathlib import Path
import time
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.audit.seal import seal_of
from wm_eval_ros.bag.limits import Limits
from wm_eval_ros.bag.preflight import preflight
from wm_eval_ros.bag.queue import ByteQueue
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.recording import Recording
from wm_eval_ros.bag.silence import Silence
from wm_eval_ros.bag.tally import from_summary, is_vital, Tally
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.records import NO_SEQUENCE, RecorderStatus
from wm_eval_ros.wire.codec import status_from_msg
from wm_eval_ros.wire.topics import SENSOR_OFFER, TELEMETRY

STATUS, SCAN, CYCLE = '/recorder_status', '/scan', '/planner_cycle'
#: as little free space as there may be: the machine's own must not decide a test
ANY_SPACE = {'free_bytes': 0, 'free_share': 0.0}


def make(folder: Path, **limits: Any) -> Recording:
    recording = Recording(folder, Limits(**{**ANY_SPACE, **limits}), STATUS)
    recording.add_topic(SCAN, 'std_msgs/msg/Empty', SENSOR_OFFER)
    recording.add_topic(CYCLE, 'std_msgs/msg/Empty', TELEMETRY)
    return recording


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, 'it never happened'
        time.sleep(0.005)


def of(status: RecorderStatus, topic: str) -> dict[str, int]:
    at = status.topics.index(topic)
    return {name: getattr(status, name)[at]
            for name in ('received', 'written', 'durable', 'dropped', 'durable_sequence')}


class Put(NamedTuple):
    size: int
    vital: bool


class Take(NamedTuple):
    most: int


@given(st.lists(st.one_of(st.builds(Take, st.integers(1, 120)),
                          st.builds(Put, st.integers(0, 60), st.booleans()))))
def test_a_queue_keeps_order_and_bound_and_its_reserve_for_what_is_vital(
    steps: list[Put | Take],
) -> None:
    queue: ByteQueue[tuple[int, int]] = ByteQueue(100, 0.25)
    waiting: list[tuple[int, int]] = []
    for number, step in enumerate(steps):
        held = sum(size for _, size in waiting)
        if isinstance(step, Take):
            taken = queue.take(step.most)
            assert taken == waiting[:len(taken)]
            # as many as reach the limit, and no more
            assert len(taken) == len(waiting) or sum(s for _, s in taken) >= step.most
            assert sum(s for _, s in taken[:-1]) < step.most
            waiting = waiting[len(taken):]
        else:
            fits = held + step.size <= (100 if step.vital else 75)
            assert queue.put((number, step.size), step.size, vital=step.vital) is fits
            waiting += [(number, step.size)] if fits else []
        assert queue.bytes == sum(size for _, size in waiting)


@pytest.mark.parametrize(('topic', 'vital'), [
    ('/planner_cycle', True), ('/robot/episode_event', True), ('run_info', True),
    ('/camera/image_raw', False), ('/my_planner_cycle', False)])
def test_topics_figures_rest_on_are_vital_in_every_namespace(topic: str, vital: bool) -> None:
    assert is_vital(topic) is vital


def test_what_is_acknowledged_is_what_was_put(tmp_path: Path) -> None:
    recording = make(tmp_path / 'b', sync_ns=20_000_000)
    for k in range(50):
        recording.put(SCAN, bytes([0, 1, 0, k]), 100 + k, 90 + k, 7 + k)
    statuses: list[RecorderStatus] = []

    def acknowledged() -> bool:
        statuses.extend(status for status, _ in recording.statuses())
        # the first may come before the topics do
        return any(SCAN in s.topics and of(s, SCAN)['durable'] == 50 for s in statuses[-1:])

    until(acknowledged)
    assert of(statuses[-1], SCAN) == {'received': 50, 'written': 50, 'durable': 50, 'dropped': 0,
                                      'durable_sequence': 56}
    final = recording.close()
    assert of(final, SCAN)['written'] == 50
    with open_bag(tmp_path / 'b') as bag:
        found = [(m.log_ns, m.publish_ns, m.sequence, m.data[3]) for m in bag.messages([SCAN])]
        told = [status_from_msg(m) for _, m in bag.decoded([STATUS])]
        assert bag.metadata is not None
        summed = from_summary(bag.metadata.custom)
    assert found == [(100 + k, 90 + k, 7 + k, k) for k in range(50)]
    assert of(told[-1], SCAN) == of(statuses[-1], SCAN), 'the bag says so itself'
    assert summed is not None
    assert of(summed, SCAN)['received'] == of(summed, SCAN)['written'] == 50


#: looks at the number of publishers, between the sequence numbers that come
ONE, TWO = 'one', 'two'


@pytest.mark.parametrize(('seen', 'dropped'), [
    # 8 and 9 are missing, then 12
    pytest.param((5, 6, 7, 10, ONE, 11, 13, ONE), 3, id='sole-publisher'),
    pytest.param((5, 6, 7, 10, NO_SEQUENCE, 11, ONE), 2, id='a-message-without-a-number'),
    # 6 is missing; whose are 2 to 4 of 1, 5?
    pytest.param((5, 7, ONE, 1, 5, ONE, 9, ONE), 1, id='one-that-began-anew'),
    pytest.param((1, 2, 3, 4, 5, 1, 6, ONE), 0, id='a-second-one-that-came-and-went'),
    pytest.param((5, 6, ONE, 9, TWO, 7, 10, TWO), 0, id='a-second-one-with-higher-numbers'),
    pytest.param((5, 7, 8, ONE, 1, 9, 2, 10, TWO, 3, 4, 11), 1, id='two-by-turns'),
    pytest.param((5, 9), 0, id='nobody-looked'),
])
def test_of_what_is_missing_only_what_a_sole_publisher_sent_is_a_drop(
    tmp_path: Path, seen: tuple[int | str, ...], dropped: int,
) -> None:
    recording = Recording(tmp_path / 'b', Limits(**ANY_SPACE), STATUS)
    recording.add_topic(SCAN, 'std_msgs/msg/Empty', SENSOR_OFFER, gapless=True)
    recording.add_topic(CYCLE, 'std_msgs/msg/Empty', TELEMETRY)
    for topic in (SCAN, CYCLE):
        for each in seen:
            if isinstance(each, str):
                recording.publishers(topic, 1 + (each is TWO))
            else:
                recording.put(topic, bytes(4), 1, 1, each)
    final = recording.close()
    numbers = sum(isinstance(each, int) for each in seen)
    assert (of(final, SCAN)['received'], of(final, SCAN)['dropped']) == (numbers, dropped)
    assert (of(final, CYCLE)['received'], of(final, CYCLE)['dropped']) == (numbers, 0)


@given(st.lists(st.sampled_from('ab'), max_size=60), st.integers(1, 9), st.integers(0, 30),
       st.integers(1, 7))
def test_publishers_that_lose_nothing_drop_nothing_in_whatever_turn_they_come(
    turns: list[str], first: int, begins: int, every: int,
) -> None:
    """The second one begins to be heard at any moment, with any number."""
    tally = Tally()
    tally.declare(SCAN, gapless=True)
    numbers = {'a': count(1), 'b': count(first)}
    there = {'a'}
    for at, turn in enumerate(turns):
        name = turn if at >= begins else 'a'
        there.add(name)
        tally.received(SCAN, next(numbers[name]))
        if at % every == 0:
            tally.publishers(SCAN, len(there))
    tally.publishers(SCAN, len(there))
    assert tally.status(0, '', 0, 0).dropped == (0,)


def test_a_message_that_no_bag_can_hold_is_a_drop_and_the_recording_goes_on(
    tmp_path: Path,
) -> None:
    recording = make(tmp_path / 'b')
    recording.put(SCAN, bytes(4), -5, 1, 1)
    recording.put(SCAN, bytes(4), 2**63, 1, 2)
    recording.put('/foreign', bytes(4), 1, 1, 1)
    recording.put(SCAN, bytes(4), 7, 2**63, 3)
    final = recording.close()
    assert of(final, SCAN) == {'received': 3, 'written': 1, 'durable': 1, 'dropped': 2,
                               'durable_sequence': 3}
    assert (of(final, '/foreign')['received'], of(final, '/foreign')['dropped']) == (1, 1)
    with open_bag(tmp_path / 'b') as bag:
        kept = [(m.log_ns, m.publish_ns) for m in bag.messages([SCAN])]
        found = {(f.kind, f.topic): f.what for f in preflight(bag).findings}
    assert kept == [(7, 7)], 'a publish time that is none is as received'
    assert '/scan: log time -5 ns is no time, /foreign: was not declared' in found['recorder', '']
    assert 'dropped 2 of 3' in found['dropped', SCAN]


@pytest.fixture
def held_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Let the disk take its time: fsync returns once the list is emptied."""
    held = [True]
    real = os.fsync

    def fsync(number: int) -> None:
        until(lambda: not held)
        real(number)

    monkeypatch.setattr(os, 'fsync', fsync)
    yield held
    held.clear()


def test_a_disk_that_does_not_answer_ends_the_recording_which_is_sealed_once_it_does(
    tmp_path: Path, held_disk: list[bool],
) -> None:
    recording = make(tmp_path / 'b', sync_ns=1, stall_ns=200_000_000)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    until(recording.watch)
    assert 'has not answered for 0.' in recording.failure
    recording.put(SCAN, bytes(4), 2, 2, 2)
    told, _ = recording.statuses()[-1]
    assert told.failed
    assert of(told, SCAN)['dropped'] == 1
    begin = time.monotonic()
    with pytest.raises(RecordingError, match='has not answered') as raised:
        recording.close()
    assert raised.value.exit_code == 74
    assert time.monotonic() - begin < 5, 'waited for a disk that does not answer'
    held_disk.clear()
    recording._thread.join(20)
    with open_bag(tmp_path / 'b') as bag:
        assert bag.metadata is not None
        summed = from_summary(bag.metadata.custom)
    assert summed is not None
    assert 'has not answered' in summed.reason
    assert of(summed, SCAN)['received'] == 2


def test_a_disk_that_hangs_while_the_bag_is_closed_is_not_waited_for(
    tmp_path: Path, held_disk: list[bool],
) -> None:
    recording = make(tmp_path / 'b', sync_ns=1 << 62, stall_ns=200_000_000)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    with pytest.raises(RecordingError, match='has not answered'):
        recording.close()
    assert recording.statuses()[-1][0].failed
    # it would go on in the next test
    held_disk.clear()
    recording._thread.join(20)


def test_a_disk_that_is_given_up_at_the_very_end_and_answers_has_failed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = make(tmp_path / 'b', sync_ns=1 << 62, stall_ns=200_000_000)
    asked = []

    def fsync(number: int) -> None:
        asked.append(number)
        # the second one is that of the end of the file
        until(lambda: len(asked) < 2 or recording._stall)

    monkeypatch.setattr(os, 'fsync', fsync)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    final = recording.close()
    assert len(asked) == 2
    assert (of(final, SCAN)['written'], of(final, SCAN)['dropped']) == (1, 0)
    assert not recording.failure
    assert not any(status.failed for status, _ in recording.statuses())
    with open_bag(tmp_path / 'b') as bag:
        assert bag.metadata is not None
        assert bag.metadata.custom['wm_eval_ros.recorder'] == 'state=ok'


def test_a_disk_that_fails_and_then_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = [True]

    def fsync(number: int) -> None:
        until(lambda: not held)

    def statvfs(path: Path) -> None:
        monkeypatch.setattr(os, 'fsync', fsync)
        raise OSError(errno.EIO, 'Input/output error')

    monkeypatch.setattr(os, 'statvfs', statvfs)
    recording = make(tmp_path / 'b', sync_ns=1, stall_ns=200_000_000)
    until(lambda: recording.failure)
    with pytest.raises(RecordingError, match='Input/output error'):
        recording.close()
    held.clear()
    recording._thread.join(20)


def test_a_slow_disk_answers_with_every_fsync_of_bag_and_sidecar_also_while_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def fsync(number: int) -> None:
        asked.append(number)
        time.sleep(0.6)

    monkeypatch.setattr(os, 'fsync', fsync)
    recording = Recording(
        tmp_path / 'b', Limits(**ANY_SPACE, sync_ns=1, stall_ns=1_000_000_000), STATUS,
        seal=seal_of(tmp_path / 'b', audit=True, signing_key=''))
    recording.add_topic(SCAN, 'std_msgs/msg/Empty', SENSOR_OFFER)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    while len(asked) < 3:
        assert not recording.watch(), recording.failure
        time.sleep(0.02)
    final = recording.close()
    assert of(final, SCAN)['written'] == 1
    assert len(asked) >= 6
    assert len(set(asked)) == 2, 'bag and sidecar'


def test_a_process_that_was_stopped_does_not_blame_the_disk() -> None:
    now = [0]
    silence = Silence(lambda: now[0])
    seen = []
    # looks every 0.5 s; stopped from 2 s to 60 s; the disk answers at 1 s and never again
    for half in (1, 2, 3, 4, 120, 121, 122, 123):
        now[0] = half * 500_000_000
        if half == 2:
            silence.answered()
        seen.append(silence.look() / 1e9)
    assert seen == [0.5, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 1.5]


def test_what_does_not_fit_is_dropped_counted_and_the_vital_goes_on(
    tmp_path: Path, held_disk: list[bool],
) -> None:
    recording = make(tmp_path / 'b', queue_bytes=100_000, sync_ns=1)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    until(lambda: recording._queue.bytes == 0)
    slowest = 0
    for k in range(100):
        begin = time.monotonic_ns()
        recording.put(SCAN, bytes(1000), 2 + k, 2, 2 + k)
        slowest = max(slowest, time.monotonic_ns() - begin)
    for k in range(10):
        recording.put(CYCLE, bytes(1000), 200 + k, 2, 1 + k)
    assert held_disk, 'nobody waited for the disk'
    held_disk.clear()
    final = recording.close()
    # 75,000 bytes of 1,256 each are 59 messages
    assert of(final, SCAN)['dropped'] == 100 - 59
    assert of(final, SCAN)['written'] == 60
    assert of(final, CYCLE) | {'durable_sequence': 0} == {
        'received': 10, 'written': 10, 'durable': 10, 'dropped': 0, 'durable_sequence': 0}
    with open_bag(tmp_path / 'b') as bag:
        assert bag.metadata is not None
        assert bag.metadata.custom['wm_eval_ros.recorder./scan'] == (
            'received=101 written=60 dropped=41')


def test_a_disk_slower_than_the_interval_is_not_asked_again_after_every_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def fsync(number: int) -> None:
        asked.append(number)
        time.sleep(0.2)

    monkeypatch.setattr(os, 'fsync', fsync)
    recording = make(tmp_path / 'b', sync_ns=100_000_000)
    until(lambda: asked)
    for k in range(60):
        recording.put(SCAN, bytes(4), 1 + k, 1, 1 + k)
    final = recording.close()
    assert of(final, SCAN)['written'] == 60
    # it was 61: one a message
    assert len(asked) < 10


def test_with_too_little_room_the_recording_ends_sealed(tmp_path: Path) -> None:
    recording = make(tmp_path / 'b', sync_ns=1, free_bytes=1 << 62)
    recording.put(CYCLE, bytes(4), 5, 5, 1)
    until(lambda: recording.failure)
    assert 'GiB free' in recording.failure
    recording.put(CYCLE, bytes(4), 6, 6, 2)
    last, _ = recording.statuses()[-1]
    assert last.failed
    with pytest.raises(RecordingError, match='GiB free'):
        recording.close()
    with open_bag(tmp_path / 'b') as bag:
        assert bag.metadata is not None
        assert bag.metadata.custom['wm_eval_ros.recorder'].startswith('state=failed: ')
        statuses = [status_from_msg(m) for _, m in bag.decoded([STATUS])]
        kept = sum(1 for _ in bag.messages([CYCLE]))
    assert statuses[-1].failed, 'the bag itself says that it ends here'
    assert kept == of(last, CYCLE)['written']


def test_a_disk_that_fails_is_told_by_the_checks_of_its_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failing, waiting = os.fsync, [True], [True]

    def fsync(number: int) -> None:
        if failing and failing.pop():
            until(lambda: not waiting)
            raise OSError(errno.EIO, 'Input/output error')
        real(number)

    recording = make(tmp_path / 'b', sync_ns=1)
    recording.put(CYCLE, bytes(4), 5, 5, 1)
    until(lambda: any(CYCLE in s.topics and of(s, CYCLE)['durable']
                      for s, _ in recording.statuses()))
    monkeypatch.setattr(os, 'fsync', fsync)
    until(lambda: not failing)
    for k in range(3):
        recording.put(CYCLE, bytes(4), 6 + k, 6, 2 + k)
    waiting.clear()
    until(lambda: recording.failure)
    with pytest.raises(RecordingError, match='Input/output error'):
        recording.close()
    with open_bag(tmp_path / 'b') as bag:
        found = {f.kind: f for f in preflight(bag).findings}
    assert 'Input/output error' in found['recorder'].what
    # they waited for the disk: no message tells of them
    assert (found['dropped'].topic, found['dropped'].value) == (CYCLE, 3)


def test_a_seal_that_breaks_ends_the_recording_by_name(tmp_path: Path) -> None:
    class Broken:
        def declare(self, topic: str, type_name: str, text: str) -> None:
            assert topic in (STATUS, SCAN)

        def take(self, *message: object) -> None:
            raise ValueError('no such key')

    recording = Recording(tmp_path / 'b', Limits(**ANY_SPACE), STATUS, seal=Broken())  # type: ignore[arg-type]
    recording.add_topic(SCAN, 'std_msgs/msg/Empty', SENSOR_OFFER)
    recording.put(SCAN, bytes(4), 1, 1, 1)
    until(lambda: recording.failure)
    with pytest.raises(RecordingError, match='no such key'):
        recording.close()
