"""Pictures changed in place in the messages of a robot's camera."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from wm_eval_ros.nodes.relay_images import edit_image

Pixels = NDArray[np.uint8]


def raw(encoding: str, data: list[int], width: int = 1, step: int | None = None) -> Any:
    return SimpleNamespace(encoding=encoding, width=width, height=1, data=bytes(data),
                           step=len(data) if step is None else step)


def less_red(pixels: Pixels) -> Pixels:
    changed = pixels.copy()
    changed[..., 0] = 1
    return changed


@pytest.mark.parametrize(('encoding', 'before', 'after'), [
    ('rgb8', [10, 20, 30], [1, 20, 30]),
    ('bgr8', [10, 20, 30], [10, 20, 1]),
    ('rgba8', [10, 20, 30, 40], [1, 20, 30, 40]),
    ('bgra8', [10, 20, 30, 40], [10, 20, 1, 40]),
    # a third of 1 + 10 + 10
    ('mono8', [10], [7]),
])
def test_red_is_where_the_encoding_has_it(
    encoding: str, before: list[int], after: list[int],
) -> None:
    message = raw(encoding, before)
    edit_image(message, less_red)
    assert list(message.data) == after


def test_padding_at_the_end_of_a_row_stays() -> None:
    message = raw('rgb8', [10, 20, 30, 77, 78], step=5)
    edit_image(message, less_red)
    assert list(message.data) == [1, 20, 30, 77, 78]


@pytest.mark.parametrize(('message', 'why'), [
    (raw('32FC1', [0] * 4), 'encoding'), (raw('rgb8', [1, 2], step=3), 'declared'),
    (raw('rgb8', [], width=0), 'declared')])
def test_a_picture_that_is_not_understood_is_refused(message: Any, why: str) -> None:
    before = bytes(message.data)
    with pytest.raises(ValueError, match=why):
        edit_image(message, less_red)
    assert bytes(message.data) == before


def test_a_compressed_picture_keeps_its_format_and_size() -> None:
    cv2 = pytest.importorskip('cv2')
    grey = np.full((8, 6, 3), 100, np.uint8)
    message = SimpleNamespace(format='png', data=bytes(cv2.imencode('.png', grey)[1]))
    edit_image(message, less_red)
    found = cv2.imdecode(np.frombuffer(bytes(message.data), np.uint8), cv2.IMREAD_COLOR)
    assert found.shape == (8, 6, 3)
    assert found[0, 0].tolist() == [100, 100, 1], 'blue, green, red'
    assert bytes(message.data).startswith(b'\x89PNG')
