"""What the entries of a latent stand for: names, units, a point in space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Floats
from wm_eval_ros.records import RunInfo
from wm_eval_ros.report.units import with_unit


class Space:
    """Latents of one run in the units of its interface."""

    def __init__(self, info: RunInfo | None) -> None:
        model = {} if info is None else info.model
        self._names = list(map(str, model.get('latent_names') or ()))
        self._mean, self._scale = (np.array(model.get(f'latent_{kind}') or (), float)
                                   for kind in ('mean', 'scale'))
        self._axes = _axes(self._names)

    def names(self, size: int) -> list[str]:
        """Return a name with its unit for each entry."""
        if len(self._names) == size:
            return [with_unit(name) for name in self._names]
        return [f'z[{at}]' for at in range(size)]

    def physical(self, latent: NDArray[np.float32]) -> Floats:
        """Return latents, shape (..., D), in the units of the interface where these are known."""
        wide = latent.astype(float)
        if len(self._mean) == len(self._scale) == latent.shape[-1]:
            wide = wide * self._scale + self._mean
        return wide

    def point(self, state: Floats) -> Floats | None:
        """Return the position a state holds [m], shape (3,); None where it holds none."""
        if not self._axes or max(self._axes.values()) >= len(state):
            return None
        found = np.array([state[self._axes[axis]] if axis in self._axes else 0.0
                          for axis in 'xyz'])
        return found if np.all(np.isfinite(found)) else None


def _axes(names: Sequence[str]) -> dict[str, int]:
    """Return which entries are x, y and z of the first position; empty without two of them."""
    for name in names:
        if name.endswith('position.x'):
            found = {axis: names.index(other) for axis in 'xyz'
                     if (other := name[:-1] + axis) in names}
            return found if len(found) > 1 else {}
    return {}
