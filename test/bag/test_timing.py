from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.bag import timing

MS = 1_000_000


def times(*values_ms: float) -> np.ndarray:
    return np.array([v * MS for v in values_ms], dtype=np.int64)


def test_a_gap_is_long_and_longer_than_the_rate_explains() -> None:
    steady = [10.0 * i for i in range(20)]
    found = timing.gaps(times(*steady, 190 + 300, 190 + 310, 190 + 460))
    assert [(g.start_ns // MS, g.duration_ns // MS) for g in found] == [(190, 300), (500, 150)]


def test_a_slow_topic_has_no_gaps() -> None:
    assert timing.gaps(times(0, 1000, 2000, 3000)) == []


@pytest.mark.parametrize('count', [0, 1])
def test_few_messages_have_no_rate(count: int) -> None:
    assert timing.median_interval_ns(times(*range(count))) is None
    assert timing.gaps(times(*range(count))) == []


def test_zero_stamps_say_nothing_of_the_offset() -> None:
    log = times(100, 200, 300)
    assert timing.offset_ns(times(0, 274, 374), log) == 74 * MS
    assert timing.offset_ns(times(0, 0, 0), log) is None


@pytest.mark.parametrize(('numbers', 'want'), [
    ([], 0), ([7], 0), ([1, 2, 3], 0), ([1, 4], 2), ([9, 1, 2], 0), ([1, 1, 3], 1),
])
def test_lost_counts_missing_numbers(numbers: list[int], want: int) -> None:
    assert timing.lost(np.array(numbers, dtype=np.uint64)) == want
