"""Camera messages changed in place: 8-bit raw ones, and compressed ones through OpenCV."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.errors import MissingExtraError

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
#: encoding -> channels, and where red, green and blue stand in them
_ENCODINGS = {'rgb8': (3, (0, 1, 2)), 'bgr8': (3, (2, 1, 0)), 'rgba8': (4, (0, 1, 2)),
              'bgra8': (4, (2, 1, 0)), 'mono8': (1, (0, 0, 0)), '8UC1': (1, (0, 0, 0)),
              '8UC3': (3, (2, 1, 0))}

Pixels = NDArray[np.uint8]


def edit_image(message: Any, change: Callable[[Pixels], Pixels]) -> None:
    """
    Put a changed picture, RGB of shape (height, width, 3), in the place of a message's own.

    :raises ValueError: a picture that is not understood; the message stays as it is
    :raises MissingExtraError: a compressed one, without OpenCV
    """
    if hasattr(message, 'format'):
        _edit_compressed(message, change)
    else:
        _edit_raw(message, change)


def _edit_raw(message: Any, change: Callable[[Pixels], Pixels]) -> None:
    if message.encoding not in _ENCODINGS:
        raise ValueError(f'encoding {message.encoding!r}: known are '
                         f'{", ".join(sorted(_ENCODINGS))}')
    channels, order = _ENCODINGS[message.encoding]
    row = message.width * channels
    if message.step < row or len(message.data) < message.height * message.step or not row:
        raise ValueError(f'an image of {len(message.data)} bytes where {message.height} rows of '
                         f'{message.step} are declared')
    rows = np.frombuffer(bytes(message.data), np.uint8).copy()
    used = rows[:message.height * message.step].reshape(message.height, message.step)[:, :row]
    grid: NDArray[np.uint8] = used.reshape(message.height, message.width, channels)
    after = change(np.ascontiguousarray(grid[..., list(order)]))
    if channels == 1:
        grid = np.rint(after.mean(axis=2, keepdims=True)).astype(np.uint8)
    else:
        grid = grid.copy()
        for colour, channel in enumerate(order):
            grid[..., channel] = after[..., colour]
    used[:] = grid.reshape(message.height, row)
    message.data = array('B', rows.tobytes())


def _edit_compressed(message: Any, change: Callable[[Pixels], Pixels]) -> None:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("compressed images need OpenCV: "
                                "pip install 'wm_eval_ros[vision]'") from None
    found = cv2.imdecode(np.frombuffer(bytes(message.data), np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError(f'an image of format {message.format!r} that OpenCV cannot read')
    kind = '.png' if 'png' in message.format else '.jpg'
    changed = change(np.ascontiguousarray(np.asarray(found, np.uint8)[..., ::-1]))
    done, data = cv2.imencode(kind, np.ascontiguousarray(changed[..., ::-1]))
    if not done:
        raise ValueError(f'OpenCV cannot write {kind}')
    message.data = array('B', bytes(data))
