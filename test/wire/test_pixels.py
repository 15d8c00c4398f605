"""Pixels out of image messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.config.interface import ImageStream
from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.wire.pixels import PixelReader

STREAM = ImageStream(topic='camera/image_raw', width=2, height=1)


def image(pixels: list[Any], encoding: str = 'rgb8', **changes: Any) -> SimpleNamespace:
    data = np.array(pixels, np.uint8)
    height, width = data.shape[:2]
    step = data[0].size
    return SimpleNamespace(**{'height': height, 'width': width, 'step': step,
                              'encoding': encoding, 'data': data.tobytes(), **changes})


@pytest.mark.parametrize(('pixels', 'encoding', 'want'), [
    pytest.param([[[255, 0, 51], [102, 153, 204]]], 'rgb8', [1, 0, .2, .4, .6, .8], id='rgb'),
    pytest.param([[[255, 0, 51], [102, 153, 204]]], 'bgr8', [.2, 0, 1, .8, .6, .4], id='bgr'),
    pytest.param([[[51, 0, 255, 9], [0, 0, 0, 9]]], 'bgra8', [1, 0, .2, 0, 0, 0], id='bgra'),
    pytest.param([[[51], [255]]], 'mono8', [.2, .2, .2, 1, 1, 1], id='grey'),
])
def test_colours_come_in_one_order_from_0_to_1(pixels: list[Any], encoding: str,
                                               want: list[float]) -> None:
    read = PixelReader(STREAM).read(image(pixels, encoding))
    assert read.dtype == np.float32
    assert read.tolist() == pytest.approx(want, abs=1e-6)


def test_a_larger_image_is_averaged_over_blocks() -> None:
    big = [[[0] * 3, [102] * 3, [255] * 3, [255] * 3], [[102] * 3, [204] * 3, [255] * 3, [51] * 3]]
    assert PixelReader(STREAM).read(image(big)).tolist() == pytest.approx(
        [.4] * 3 + [.8] * 3, abs=1e-6)


def test_rows_may_be_padded() -> None:
    padded = image([[[255, 0, 0], [0, 255, 0]]], step=8, data=bytes([255, 0, 0, 0, 255, 0, 7, 7]))
    assert PixelReader(STREAM).read(padded).tolist() == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(('changes', 'what'), [
    ({'encoding': '16UC1'}, "encoding '16UC1'; known: rgb8"),
    ({'encoding': '8UC3'}, "encoding '8UC3' declares no order of colours; have its publisher"),
    ({'data': b'123'}, '3 bytes for 1 rows of 6 bytes, 2 pixels of 3'),
    ({'step': 5}, '6 bytes for 1 rows of 5 bytes'),
    ({'width': 1, 'step': 6}, 'an image of 1 x 1; a whole number of times 2 x 1'),
    ({'height': 0, 'data': b''}, 'an image of 2 x 0'),
])
def test_what_cannot_be_read_is_refused_in_one_line(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(FieldPathError, match=f'^camera/image_raw: {what}'):
        PixelReader(STREAM).read(image([[[1, 2, 3], [4, 5, 6]]], **changes))
