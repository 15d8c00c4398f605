"""Images of a bag's camera, chosen and made small enough to stand in a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wm_eval_ros.bag.message import RawMessage
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.metrics.episodes import Episode
    from wm_eval_ros.report.viewer import Frame, Frames

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
#: what the images of a page may take in all [bytes], before they are written in base64
MAX_BYTES = 3 * 2**20
#: images of one second of an episode at most
MAX_HZ = 20
#: a compressed image beyond this is made smaller [bytes]
_SMALL = 20_000
#: width it is brought to [px]
_WIDTH = 320
_QUALITY = 75
_NS_PER_S = 10**9
#: encoding -> number of channels, and the colour order to OpenCV's blue, green, red; 8UC3 declares
#: none, and is shown as RViz shows it
_EIGHT_BIT = {'rgb8': (3, (2, 1, 0)), 'bgr8': (3, (0, 1, 2)), 'rgba8': (4, (2, 1, 0)),
              'bgra8': (4, (0, 1, 2)), 'mono8': (1, (0, 0, 0)), '8UC1': (1, (0, 0, 0)),
              '8UC3': (3, (0, 1, 2))}


def camera_topic(bag: Bag) -> str | None:
    """
    Return the image topic to show.

    Of several the one with most messages; where a relay passed it on, what the planner saw.
    """
    known = [t for t, kind in bag.topics.items() if kind in (IMAGE, COMPRESSED)]
    counts = bag.declared
    most = max(sorted(known), key=lambda topic: counts.get(topic, 0), default=None)
    relayed = [t for t in known if '/perturbed/' in t and t.replace('/perturbed/', '/') == most]
    return relayed[0] if relayed else most


@dataclass
class _Kept:
    """Images of some episodes, every second one dropped whenever they become too many."""

    frames: dict[int, list[Frame]] = field(default_factory=dict)
    size: int = 0
    stride: int = 1
    _count: dict[int, int] = field(default_factory=dict)

    def wants(self, episode: int) -> bool:
        """Say whether the next image of an episode is one to keep."""
        at = self._count.get(episode, 0)
        self._count[episode] = at + 1
        return at % self.stride == 0

    def add(self, episode: int, frame: Frame) -> None:
        """Keep an image."""
        self.frames.setdefault(episode, []).append(frame)
        self.size += len(frame.data)
        while self.size > MAX_BYTES and any(len(own) > 1 for own in self.frames.values()):
            self.stride *= 2
            self.frames = {n: own[::2] for n, own in self.frames.items()}
            self.size = sum(len(f.data) for own in self.frames.values() for f in own)


def read_frames(bag: Bag, episodes: Sequence[Episode], chosen: Sequence[int]) -> Frames:
    """
    Read the images of some episodes, one pass over one topic.

    An image that is JPEG or PNG and small is kept as it is. Others need OpenCV.

    :param episodes: all episodes of the run
    :param chosen: numbers of those to show
    :raises BagError: the bag is damaged
    """
    from wm_eval_ros.report.viewer import Frames
    topic = camera_topic(bag)
    if topic is None:
        return Frames()
    kept = _Kept()
    try:
        for episode, stamp, message in _wanted(bag, topic, episodes, chosen):
            if kept.wants(episode):
                kept.add(episode, _frame(stamp, bag.decoder.decode(message)))
    except (MissingExtraError, ValueError) as error:
        return Frames(topic, {}, f'{topic}: not shown: {error}')
    return Frames(topic, kept.frames, _note(bag, topic, kept, len(episodes)))


def _note(bag: Bag, topic: str, kept: _Kept, episodes: int) -> str:
    others = [t for t, kind in bag.topics.items() if kind in (IMAGE, COMPRESSED) and t != topic]
    found = []
    if len(kept.frames) < episodes:
        found.append(f'{len(kept.frames)} of {episodes} episodes are shown')
    if kept.stride > 1:
        found.append(f'every {kept.stride}th image, to stay within {MAX_BYTES >> 20} MiB')
    if others:
        found.append(f'not shown: {", ".join(sorted(others))}')
    return f'{"; ".join(found)}.'.capitalize() if found else ''


def _wanted(bag: Bag, topic: str, episodes: Sequence[Episode],
            chosen: Sequence[int]) -> Iterator[tuple[int, int, RawMessage]]:
    """Yield number of the episode, stamp and message of images that lie within chosen episodes."""
    from wm_eval_ros.bag.decode import header_stamp_ns
    spans = [(e.start_ns, e.end_ns, e.number) for e in episodes
             if e.number in set(chosen) and e.start_ns is not None]
    last: dict[int, int] = {}
    for message in bag.messages([topic]):
        stamp = header_stamp_ns(message)
        for start, end, number in spans:
            if start <= stamp and (end is None or stamp <= end) and (
                    stamp - last.get(number, -_NS_PER_S) >= 0.9 * _NS_PER_S / MAX_HZ):
                last[number] = stamp
                yield number, stamp, message


def _frame(stamp_ns: int, msg: Any) -> Frame:
    from wm_eval_ros.report.viewer import Frame
    if hasattr(msg, 'format'):
        data = bytes(msg.data)
        known = data.startswith((b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'))
        if known and len(data) <= _SMALL:
            return Frame(stamp_ns, data)
        return Frame(stamp_ns, _jpeg(lambda cv2: cv2.imdecode(
            _buffer(data), cv2.IMREAD_COLOR)))
    return Frame(stamp_ns, _jpeg(lambda cv2: pixels(msg)))


def _buffer(data: bytes) -> NDArray[np.uint8]:
    import numpy as np
    return np.frombuffer(data, np.uint8)


def _jpeg(image: Callable[[Any], Any]) -> bytes:
    """Return an image as a small JPEG file."""
    try:
        import cv2
    except ImportError:
        raise MissingExtraError('its images need OpenCV to be made small: '
                                "pip install 'wm_eval_ros[vision]'") from None
    try:
        found = image(cv2)
        if found is None:
            raise ValueError('an image that OpenCV cannot read')
        height, width = found.shape[:2]
        if width > _WIDTH:
            size = (_WIDTH, max(1, round(height * _WIDTH / width)))
            found = cv2.resize(found, size, interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode('.jpg', found, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    except cv2.error as error:
        raise ValueError(f'an image that OpenCV refuses ({error.err})') from None
    if not done:
        raise ValueError('an image that OpenCV cannot write')
    return bytes(data)


def pixels(msg: Any) -> NDArray[np.uint8]:
    """
    Return the pixels of a raw image in the colour order of OpenCV.

    :param msg: ``sensor_msgs/Image``
    :returns: shape (height, width, 3); depth and other single channels stretched to 0..255
    :raises ValueError: an encoding that is not known, or fewer bytes than it asks for
    """
    import numpy as np
    wide = {'mono16': 'u2', '16UC1': 'u2', '32FC1': 'f4'}.get(msg.encoding)
    if wide is None and msg.encoding not in _EIGHT_BIT:
        raise ValueError(f'encoding {msg.encoding!r}: known are '
                         f'{", ".join(sorted([*_EIGHT_BIT, "mono16", "16UC1", "32FC1"]))}')
    channels, order = _EIGHT_BIT.get(msg.encoding, (1, (0, 0, 0)))
    kind = np.dtype(f'{">" if msg.is_bigendian else "<"}{wide}') if wide else np.dtype(np.uint8)
    row = msg.width * channels * kind.itemsize
    step = max(msg.step, row)
    if len(msg.data) < msg.height * step or not msg.width or not msg.height:
        raise ValueError(f'an image of {len(msg.data)} bytes where {msg.height} rows of {step} '
                         'are declared')
    rows = np.asarray(msg.data, np.uint8)[:msg.height * step].reshape(msg.height, step)[:, :row]
    grid = np.ascontiguousarray(rows).view(kind).reshape(msg.height, msg.width, channels)
    if wide:
        grid = _stretched(grid)
    return np.ascontiguousarray(grid[..., list(order)])


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring the finite values of an image to 0..255."""
    import numpy as np
    wide = values.astype(float)
    known = wide[np.isfinite(wide)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    scaled = 255 * (np.nan_to_num(wide, nan=low, posinf=high, neginf=low) - low)
    return np.asarray((scaled / max(high - low, 1e-12)).astype(np.uint8))
