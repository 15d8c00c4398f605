"""The learning rate over a run of any length."""

from __future__ import annotations

import pytest
import torch

from wm_eval_ros.training.schedule import one_cycle


def rates(steps: int) -> list[float]:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = one_cycle(optimiser, 1.0, steps), []
    for _ in range(steps):
        found.append(float(optimiser.param_groups[0]['lr']))
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize('steps', range(1, 60))
def test_any_number_of_steps_rises_no_higher_than_the_peak(steps: int) -> None:
    found = rates(steps)
    assert len(found) == steps
    assert 0 < min(found) <= max(found) <= 1.0


def test_nine_steps_rise_over_one_of_them() -> None:
    # a tenth of ten is a rise without length, which torch cannot divide by
    found = rates(9)
    assert found[:2] == pytest.approx([1 / 25, 1.0])
    assert found[1:] == sorted(found[1:], reverse=True)


@pytest.mark.parametrize('steps', [1, 8, 10, 99, 400])
def test_all_others_are_those_of_torch_to_the_bit(steps: int) -> None:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.0, total_steps=steps + 1,
                                                   pct_start=0.1)
    want = []
    for _ in range(steps):
        want.append(float(optimiser.param_groups[0]['lr']))
        optimiser.step()
        schedule.step()
    assert rates(steps) == want
