"""Windows: how many are looked at together, and which."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from wm_eval_ros.training import windows as module
from wm_eval_ros.training.trajectory import Dataset
from wm_eval_ros.training.windows import cut, Windows


@pytest.fixture
def of_count() -> Callable[[int], Windows]:
    """Return what makes so many windows of one transition."""

    def make(count: int) -> Windows:
        slots = torch.zeros(count + 1, 1)
        return Windows(slots, slots, slots, torch.arange(count), 1)

    return make


def test_of_no_windows_none_are_looked_at(linear_world: Dataset) -> None:
    none = cut(linear_world.trajectories, 40)
    assert len(none) == 0
    assert none.at_most(4096) == 4096
    assert none.spread_over(4096).tolist() == []


@pytest.mark.parametrize(('count', 'want'), [
    pytest.param(3, [0, 1, 2], id='fewer'),
    pytest.param(4, [0, 1, 2, 3], id='as-many'),
    pytest.param(7, [0, 2, 4, 6], id='not-twice-as-many'),
    pytest.param(10, [0, 3, 6, 9], id='more'),
])
def test_the_most_is_a_maximum_and_they_are_spread_evenly(
    count: int, want: list[int], of_count: Callable[[int], Windows],
) -> None:
    assert of_count(count).spread_over(4).tolist() == want


def test_of_large_windows_fewer_are_looked_at(
    of_count: Callable[[int], Windows], monkeypatch: pytest.MonkeyPatch,
) -> None:
    # two slots of one number each
    monkeypatch.setattr(module, '_MOST_NUMBERS', 6)
    assert of_count(5).spread_over(100).tolist() == [0, 2, 4]
