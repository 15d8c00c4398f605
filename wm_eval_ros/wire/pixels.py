"""Pixels out of image messages: what a model that sees is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import ImageStream
from wm_eval_ros.errors import FieldPathError

#: channels of an encoding, and which of them are red, green and blue
_ENCODINGS = {'rgb8': (3, (0, 1, 2)), 'bgr8': (3, (2, 1, 0)), 'rgba8': (4, (0, 1, 2)),
              'bgra8': (4, (2, 1, 0)), 'mono8': (1, (0, 0, 0)), '8UC1': (1, (0, 0, 0))}
#: encodings that do not say where red, green and blue are: a model with the wrong ones plans on
_NO_ORDER = ('8UC3', '8UC4')


class PixelReader:
    """Reads the pixels of a stream out of ``sensor_msgs/msg/Image``, of either library."""

    def __init__(self, stream: ImageStream) -> None:
        self.stream = stream

    def read(self, msg: Any) -> NDArray[np.float32]:
        """
        Return the pixels in [0, 1]: row by row from the top, red, green and blue each.

        A larger image is averaged over blocks, where it is a whole number of times as large.

        :returns: shape (height * width * 3,)
        :raises FieldPathError: an encoding, size or length of data that cannot be read
        """
        stream = self.stream
        if msg.encoding in _NO_ORDER:
            raise self._error(f'encoding {msg.encoding!r} declares no order of colours; have its '
                              'publisher name one, such as rgb8 or bgr8')
        if msg.encoding not in _ENCODINGS:
            raise self._error(f'encoding {msg.encoding!r}; known: {", ".join(_ENCODINGS)}')
        channels, order = _ENCODINGS[msg.encoding]
        data = np.frombuffer(msg.data, np.uint8)
        height, width, step = int(msg.height), int(msg.width), int(msg.step)
        if step < width * channels or len(data) != height * step:
            raise self._error(f'{len(data)} bytes for {height} rows of {step} bytes, {width} '
                              f'pixels of {channels}')
        rows, odd_rows = divmod(height, stream.height)
        columns, odd_columns = divmod(width, stream.width)
        if odd_rows or odd_columns or not rows or not columns:
            raise self._error(f'an image of {width} x {height}; a whole number of times '
                              f'{stream.width} x {stream.height} can be read')
        image = data.reshape(height, step)[:, :width * channels].reshape(height, width, channels)
        if (rows, columns) == (1, 1):
            return np.asarray(image[:, :, order].reshape(-1) * np.float32(1 / 255), np.float32)
        blocks = image.reshape(stream.height, rows, stream.width, columns, channels)
        mean = blocks.mean(axis=(1, 3), dtype=np.float32)[:, :, order]
        return np.asarray(mean.reshape(-1) * np.float32(1 / 255), np.float32)

    def _error(self, what: str) -> FieldPathError:
        return FieldPathError(f'{self.stream.topic}: {what}')
