"""Mean and scale of features and of their changes, from all steps of windows; what has none."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from wm_eval_ros.errors import BagError
from wm_eval_ros.training.windows import Windows

#: beyond this the squares of some hundred million values no longer add up in single precision
MOST = 1e15


def require_scales(names: Sequence[str], values: torch.Tensor) -> None:
    """
    Refuse values so large that mean and scale are no numbers, or leave nothing of all others.

    Values that are not finite are left to others.

    :param names: of the columns
    :param values: in physical units, (N, F)
    :raises BagError: names the first such column
    """
    largest = torch.maximum(values.amax(0), -values.amin(0)).tolist()
    for name, value in zip(names, largest, strict=True):
        if value > MOST:
            raise BagError(f'{name}: holds {value:.3g}; nothing can be learnt in units of values '
                           f'above {MOST:g}: look for what went wrong in the bags, or leave the '
                           'feature out of the interface')


def normalisation(windows: Windows) -> dict[str, torch.Tensor]:
    """Return ``feature_mean``, ``feature_scale``, ``delta_mean`` and ``delta_scale``, (F,)."""
    # each step once, and not only the first of each window: windows as long as an episode begin
    # only where it does
    slots = torch.unique(windows.starts[:, None] + torch.arange(windows.length))
    now = windows.features[slots]
    change = windows.features[slots + 1] - now
    found = {}
    for key, values in (('feature', now), ('delta', change)):
        scale = values.std(0, correction=0)
        # A constant feature has no scale of its own; its change is predicted as zero.
        floor = 1e-3 if key == 'feature' else 1e-6
        found[f'{key}_mean'] = values.mean(0)
        found[f'{key}_scale'] = scale.clamp(min=floor)
    return found
