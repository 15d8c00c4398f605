"""Mean and scale of features and of their changes, from all steps of windows."""

from __future__ import annotations

import torch

from wm_eval_ros.training.windows import Windows


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
