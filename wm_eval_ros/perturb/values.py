"""Faults of the numbers of a sensor (``sensor.*``) or of a command (``command.*``)."""

from __future__ import annotations

from dataclasses import dataclass, field
import math

import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Floats, Perturbation
from wm_eval_ros.perturb.units import COMMAND_UNITS


@dataclass(kw_only=True)
class Noise(Perturbation):
    """Gaussian noise of standard deviation ``s * std`` units on every number of every sample."""

    std: float = setting(1.0, doc='standard deviation at severity 1, in units', low=0.001,
                         high=1000.0)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Add noise, drawn anew for every sample."""
        return values + self.severity * self.std * unit * self.rng.standard_normal(values.shape)


@dataclass(kw_only=True)
class FaintNoise(Noise):
    """Gaussian noise that no controller should mind: ``s * std`` units."""

    std: float = setting(0.01, doc='standard deviation at severity 1, in units', low=0.0001,
                         high=1.0)


@dataclass(kw_only=True)
class Salt(Perturbation):
    """Outliers: each number is off by ``size`` units with probability ``s * share``."""

    share: float = setting(0.5, doc='share of the numbers that are hit at severity 1',
                           low=0.001, high=1.0)
    size: float = setting(5.0, doc='how far off they are, in units', low=0.001, high=1000.0)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Hit some numbers."""
        hit = self.rng.random(values.shape) < self.severity * self.share
        return np.where(hit, values + _signs(self.rng, values) * self.size * unit, values)


@dataclass(kw_only=True)
class Bias(Perturbation):
    """A constant offset of ``s * size`` units; whether up or down is drawn for each number."""

    size: float = setting(2.0, doc='offset at severity 1, in units', low=0.001, high=1000.0)
    _sign: Floats | None = field(default=None, init=False)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Add the offset."""
        if self._sign is None:
            self._sign = _signs(self.rng, values)
        return values + self.severity * self.size * unit * self._sign


@dataclass(kw_only=True)
class CommandBias(Bias):
    """A constant offset of ``s * size`` units; whether up or down is drawn for each number."""

    size: float = setting(0.8, doc='offset at severity 1, in units', low=0.001, high=1000.0)


@dataclass(kw_only=True)
class Drift(Perturbation):
    """An offset that grows from zero by ``s * rate`` units a second, up or down."""

    rate: float = setting(2.0, doc='growth at severity 1', unit='units/s', low=0.001, high=1000.0)
    _begin: tuple[int, Floats] | None = field(default=None, init=False)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Add the offset of this instant."""
        if self._begin is None:
            self._begin = task_ns, _signs(self.rng, values)
        begin_ns, sign = self._begin
        return values + self.severity * self.rate * (task_ns - begin_ns) * 1e-9 * unit * sign


@dataclass(kw_only=True)
class Freeze(Perturbation):
    """Numbers stand still while stamps go on; a fresh sample passes with probability 1 - s."""

    _held: Floats | None = field(default=None, init=False)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Return the numbers of the last sample that was let through."""
        if self._held is None or self.rng.random() >= self.severity:
            self._held = values.copy()
        return self._held


@dataclass(kw_only=True)
class _NotANumber(Perturbation):
    """Numbers that are none; the first base of what says which."""

    share: float = setting(1.0, doc='share of the samples that are hit at severity 1', low=0.001,
                           high=1.0)

    def _hit(self, values: Floats, bad: float) -> Floats:
        """Replace one number of some samples."""
        changed: Floats = values.copy()
        if self.rng.random() < self.severity * self.share:
            changed[self.rng.integers(len(changed))] = bad
        return changed


@dataclass(kw_only=True)
class NotFinite(_NotANumber):
    """One number of a sample is NaN with probability ``s * share``."""

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Hit some samples."""
        return self._hit(values, math.nan)


@dataclass(kw_only=True)
class Infinite(_NotANumber):
    """One number of a sample is infinite with probability ``s * share``."""

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Hit some samples."""
        return self._hit(values, math.inf)


@dataclass(kw_only=True)
class WrongType(Perturbation):
    """The numbers of a sample went through an integer with probability s: fractions are lost."""

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Hit some samples."""
        return np.trunc(values) if self.rng.random() < self.severity else values


@dataclass(kw_only=True)
class Saturation(Perturbation):
    """The sensor's range ends ``limit * (1 - s) / s`` units from the number at the onset."""

    limit: float = setting(8.0, doc='reach at severity 0.5, in units', low=0.001, high=1000.0)
    _centre: Floats | None = field(default=None, init=False)

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Clip."""
        if self._centre is None:
            self._centre = values.copy()
        if self.severity <= 0.0:
            return values
        reach = self.limit * (1.0 - self.severity) / self.severity * unit
        return np.clip(values, self._centre - reach, self._centre + reach)


@dataclass(kw_only=True)
class Ceiling(Perturbation):
    """The actuators take no more than ``1 - s`` of the largest command, either way."""

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """Clip."""
        reach = (1.0 - self.severity) * COMMAND_UNITS * unit
        return np.clip(values, -reach, reach) if self.severity > 0.0 else values


@dataclass(kw_only=True)
class WrongShape(Perturbation):
    """Lists of a message lack their last entry with probability s."""

    def change_length(self, entries: int) -> int:
        """Return how many entries stay."""
        return entries - 1 if self.rng.random() < self.severity else entries


def _signs(rng: np.random.Generator, values: Floats) -> Floats:
    """Draw -1 or 1 for each number."""
    return np.where(rng.random(values.shape) < 0.5, -1.0, 1.0)
