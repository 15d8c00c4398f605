"""How the learning rate goes over a training run: up for a tenth of it, then down to nothing."""

from __future__ import annotations

import torch

#: share of all steps over which the rate rises
_RISE = 0.1


def one_cycle(
    optimiser: torch.optim.Optimizer, peak: float, steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    """
    Return the schedule of so many steps (Smith and Topin 2017, arXiv:1708.07120).

    :param peak: highest learning rate, > 0
    :param steps: how often the schedule is moved on, >= 1
    """
    total = steps + 1
    # torch divides by the length of the rise less one: where that is 0, it takes one whole step
    rise = _RISE if _RISE * total != 1.0 else 2.0 / total
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=total, pct_start=rise)
