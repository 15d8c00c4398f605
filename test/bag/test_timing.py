from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.bag import timing

MS = 1_000_000


def times(*values_ms: float) -> np.ndarray:
    return np.array([v * MS for v in values_ms], dtype=np.int64)


@pytest.mark.parametrize('count', [0, 1])
def test_few_messages_have_no_interval(count: int) -> None:
    assert timing.median_interval_ns(times(*range(count))) is None


def test_one_gap_does_not_move_the_interval() -> None:
    assert timing.median_interval_ns(times(0, 10, 20, 30, 530)) == 10 * MS


def test_zero_stamps_say_nothing_of_the_offset() -> None:
    log = times(100, 200, 300)
    assert timing.offset_ns(times(0, 274, 374), log) == 74 * MS
    assert timing.offset_ns(times(0, 0, 0), log) is None
