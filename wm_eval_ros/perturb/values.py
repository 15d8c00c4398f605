"""Faults of the numbers of a sensor (``sensor.*``) or of a command (``command.*``)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Floats

_S = 1e-9


@dataclass(kw_only=True)
class Noise:
    """Gaussian noise, standard deviation ``severity * std`` ordinary changes, on every sample."""

    severity: float
    rng: np.random.Generator
    std: float = setting(1.0, doc='standard deviation at severity 1, in ordinary changes',
                         low=0.001, high=1000.0)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Add noise, drawn anew for every sample."""
        return values + self.severity * self.std * unit * self.rng.standard_normal(values.shape)


@dataclass(kw_only=True)
class Salt:
    """Outliers: a share ``severity * share`` of the numbers is off by ``size`` units."""

    severity: float
    rng: np.random.Generator
    share: float = setting(0.5, doc='share of the numbers that are hit at severity 1',
                           low=0.001, high=1.0)
    size: float = setting(5.0, doc='how far off they are, in ordinary changes', low=0.001,
                          high=1000.0)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Hit some numbers, upwards or downwards."""
        hit = self.rng.random(values.shape) < self.severity * self.share
        sign = np.where(self.rng.random(values.shape) < 0.5, -1.0, 1.0)
        return np.where(hit, values + sign * self.size * unit, values)


@dataclass(kw_only=True)
class Bias:
    """A constant offset of ``severity * size`` ordinary changes; the signs are drawn at onset."""

    severity: float
    rng: np.random.Generator
    size: float = setting(2.0, doc='offset at severity 1, in ordinary changes', low=0.001,
                          high=1000.0)
    _sign: Floats | None = field(default=None, init=False)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Add the offset."""
        if self._sign is None:
            self._sign = np.where(self.rng.random(values.shape) < 0.5, -1.0, 1.0)
        return values + self.severity * self.size * unit * self._sign
