"""Images out of a bag: which are kept, how small, in what colours."""

from __future__ import annotations

from pathlib import Path
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.cli import frames as module
from wm_eval_ros.cli.frames import camera_topic, COMPRESSED, IMAGE, pixels, read_frames
from wm_eval_ros.metrics.episodes import Episode, episodes
from wm_eval_ros.report.viewer import Frames
from wm_eval_ros.wire.codec import MessageTypes

JPEG = b'\xff\xd8\xff\xe0' + bytes(400)
SECOND = 10**9


def raw(encoding: str, data: bytes, width: int, height: int, step: int = 0,
        big: int = 0) -> SimpleNamespace:
    return SimpleNamespace(encoding=encoding, data=np.frombuffer(data, np.uint8), width=width,
                           height=height, step=step, is_bigendian=big)


@pytest.mark.parametrize(('encoding', 'data', 'want'), [
    pytest.param('rgb8', bytes([1, 2, 3]), [3, 2, 1], id='rgb'),
    pytest.param('bgr8', bytes([1, 2, 3]), [1, 2, 3], id='bgr'),
    pytest.param('8UC3', bytes([1, 2, 3]), [1, 2, 3], id='no-order-declared-as-rviz-shows-it'),
    pytest.param('rgba8', bytes([1, 2, 3, 9]), [3, 2, 1], id='rgba-loses-its-alpha'),
    pytest.param('mono8', bytes([7]), [7, 7, 7], id='grey')])
def test_pixels_come_in_the_order_of_opencv(encoding: str, data: bytes, want: list[int]) -> None:
    assert pixels(raw(encoding, data, 1, 1)).tolist() == [[want]]


def test_rows_may_be_longer_than_the_image() -> None:
    data = bytes([1, 2, 99, 3, 4, 99])
    assert pixels(raw('mono8', data, 2, 2, step=3))[..., 0].tolist() == [[1, 2], [3, 4]]


def test_depth_is_stretched_and_what_is_not_measured_is_nearest() -> None:
    depth = np.array([[1.0, np.nan], [3.0, 2.0]], '<f4')
    found = pixels(raw('32FC1', depth.tobytes(), 2, 2, step=8))
    assert found[..., 0].tolist() == [[0, 0], [255, 127]]


def test_wide_integers_of_either_byte_order_are_the_same() -> None:
    small, big = (np.array([[0, 100]], f'{order}u2').tobytes() for order in '<>')
    assert np.array_equal(pixels(raw('16UC1', small, 2, 1)),
                          pixels(raw('16UC1', big, 2, 1, big=1)))


@pytest.mark.parametrize(('counts', 'shown'), [
    ({}, None),
    ({'/a': 3, '/b': 5}, '/b'),
    ({'/a/image': 5, '/perturbed/a/image': 4, '/b/image': 2}, '/perturbed/a/image'),
    ({'/r/a': 5, '/r/perturbed/a': 4}, '/r/perturbed/a'),
    ({'/a': 5, '/b': 2, '/perturbed/b': 2}, '/a')])
def test_the_camera_shown_is_the_fullest_as_the_planner_saw_it(
    counts: dict[str, int], shown: str | None
) -> None:
    bag: Any = SimpleNamespace(topics=dict.fromkeys(counts, IMAGE), declared=counts)
    assert camera_topic(bag) == shown


@pytest.mark.parametrize(('message', 'says'), [
    pytest.param(raw('bayer_rggb8', bytes(4), 2, 2), "encoding 'bayer_rggb8': known are",
                 id='encoding'),
    pytest.param(raw('rgb8', bytes(5), 1, 2), '5 bytes where 2 rows of 3', id='too-short'),
    pytest.param(raw('rgb8', b'', 0, 0), '0 bytes where 0 rows', id='empty')])
def test_what_is_no_image_is_refused_in_words(message: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pixels(message)


def camera(folder: Path, count: int, *, data: bytes = JPEG, hz: int = 10,
           topics: tuple[str, ...] = ('/camera',)) -> Path:
    """Write a bag with compressed images."""
    store = known_types()
    types = MessageTypes(lambda name: store.types[name])
    with BagWriter(folder) as writer:
        for topic in topics:
            writer.add_topic(topic, COMPRESSED)
        for at in range(count):
            stamp = at * SECOND // hz
            for topic in topics:
                message = types.make(COMPRESSED, header=types.header(stamp), format='jpeg',
                                     data=np.frombuffer(data, np.uint8))
                writer.write(topic, bytes(store.serialize_cdr(message, COMPRESSED)), stamp)
    return folder


def two(scenes: ModuleType) -> tuple[Episode, ...]:
    """Two episodes: from 0 s to 2 s and from 3 s to 5 s."""
    shift = -scenes.ROS // scenes.MS
    return episodes([scenes.event('START', 0, shift), scenes.event('SUCCESS', 0, shift + 2000),
                     scenes.event('START', 1, shift + 3000),
                     scenes.event('TIMEOUT', 1, shift + 5000)])


def read(path: Path, scenes: ModuleType, chosen: tuple[int, ...] = (0, 1)) -> Frames:
    with open_bag(path) as bag:
        return read_frames(bag, two(scenes), chosen)


def test_images_of_the_chosen_episodes_are_kept_as_they_are(
        tmp_path: Path, scenes: ModuleType) -> None:
    found = read(camera(tmp_path / 'bag', 60), scenes, (1,))
    assert found.topic == '/camera'
    assert list(found.episodes) == [1]
    own = found.episodes[1]
    assert (len(own), own[0].stamp_ns, own[-1].stamp_ns) == (21, 3 * SECOND, 5 * SECOND)
    assert all(frame.data == JPEG for frame in own)
    assert found.note == '1 of 2 episodes are shown.'


def test_a_fast_camera_is_thinned_to_twenty_a_second(tmp_path: Path, scenes: ModuleType) -> None:
    found = read(camera(tmp_path / 'bag', 500, hz=100), scenes)
    stamps = np.array([frame.stamp_ns for frame in found.episodes[0]])
    assert len(stamps) == 41
    assert np.all(np.diff(stamps) == SECOND // 20)


def test_too_many_bytes_drop_every_second_image_and_say_so(
        tmp_path: Path, scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'MAX_BYTES', 12 * len(JPEG))
    found = read(camera(tmp_path / 'bag', 60), scenes)
    kept = [frame for own in found.episodes.values() for frame in own]
    assert sum(len(frame.data) for frame in kept) <= 12 * len(JPEG)
    assert {len(own) for own in found.episodes.values()} == {6}
    assert 'every 4th image' in found.note.lower()


def test_of_two_cameras_the_other_is_named(tmp_path: Path, scenes: ModuleType) -> None:
    found = read(camera(tmp_path / 'bag', 20, topics=('/left', '/right')), scenes)
    assert found.topic == '/left' and '/right' in found.note


def test_a_bag_without_a_camera_has_none(tmp_path: Path, scenes: ModuleType) -> None:
    path = scenes.write_bag(tmp_path / 'bag', [scenes.sample('/pose', n) for n in range(5)])
    assert read(path, scenes) == Frames()


def test_large_images_are_made_smaller(tmp_path: Path, scenes: ModuleType) -> None:
    cv2 = pytest.importorskip('cv2')
    noise = np.random.default_rng(0).integers(256, size=(480, 640, 3), dtype=np.uint8)
    data = bytes(cv2.imencode('.png', noise)[1])
    found = read(camera(tmp_path / 'bag', 2, data=data), scenes)
    shrunk = cv2.imdecode(np.frombuffer(found.episodes[0][0].data, np.uint8), cv2.IMREAD_COLOR)
    assert shrunk.shape == (240, 320, 3)


def test_without_opencv_the_page_says_what_is_missing(
        tmp_path: Path, scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'cv2', None)
    large = JPEG + bytes(30_000)
    found = read(camera(tmp_path / 'bag', 2, data=large), scenes)
    assert not found.episodes
    assert '/camera: not shown' in found.note and 'wm_eval_ros[vision]' in found.note


def test_what_opencv_cannot_read_is_said(tmp_path: Path, scenes: ModuleType) -> None:
    pytest.importorskip('cv2')
    found = read(camera(tmp_path / 'bag', 2, data=b'GIF89a no picture'), scenes)
    assert not found.episodes and 'cannot read' in found.note


def test_raw_images_become_jpeg(tmp_path: Path, scenes: ModuleType) -> None:
    pytest.importorskip('cv2')
    store = known_types()
    types = MessageTypes(lambda name: store.types[name])
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/camera', IMAGE)
        message = types.make(IMAGE, header=types.header(SECOND), height=2, width=2,
                             encoding='rgb8', is_bigendian=0, step=6,
                             data=np.zeros(12, np.uint8))
        writer.write('/camera', bytes(store.serialize_cdr(message, IMAGE)), SECOND)
    found = read(tmp_path / 'bag', scenes)
    assert found.episodes[0][0].data.startswith(b'\xff\xd8\xff')
