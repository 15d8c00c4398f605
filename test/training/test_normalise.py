"""The scales that training measures errors in."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.training.learners.normalise import normalisation
from wm_eval_ros.training.trajectory import Trajectory
from wm_eval_ros.training.windows import cut, Windows


def windows(length: int) -> Windows:
    rows = np.array([[0.0], [0.0], [2.0], [6.0]])
    return cut([Trajectory(rows, np.zeros((4, 1)), np.zeros(1), 0)], length)


@pytest.mark.parametrize('length', [1, 2, 3])
def test_every_step_of_a_window_counts_once(length: int) -> None:
    # 0, 0, 2 and their changes 0, 2, 4, also where the one window begins with a step of no change
    found = normalisation(windows(length))
    assert found['feature_mean'].tolist() == pytest.approx([2 / 3])
    assert found['feature_scale'].tolist() == pytest.approx([(8 / 9) ** 0.5])
    assert found['delta_mean'].tolist() == pytest.approx([2.0])
    assert found['delta_scale'].tolist() == pytest.approx([(8 / 3) ** 0.5])
