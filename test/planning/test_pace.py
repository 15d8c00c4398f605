"""The budget of a decision."""

from __future__ import annotations

import pytest

from wm_eval_ros.planning.pace import Pace


@pytest.mark.parametrize(('deadline_ns', 'expected'), [
    # iterations end at 3, 10 and 12; the longest takes 3, then 7, then still 7
    (5, [False]),
    (6, [True, False]),
    (16, [True, False]),
    (17, [True, True, False]),
    (19, [True, True, True]),
])
def test_another_fits_if_the_longest_so_far_would_end_by_the_deadline(deadline_ns, expected):
    times = iter([0, 3, 10, 12])
    pace = Pace(lambda: next(times), deadline_ns)
    assert [pace.fits_another() for _ in expected] == expected
    assert pace.iterations == len(expected)
