"""Perturbations as points of a unit cube: what a search varies, and how mild a point is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.protocol import Floats, HasDuration

#: what can be varied of every perturbation
COMMON = ('severity', 'onset', 'duration')
#: shortest duration searched [s]
_SHORTEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Axis:
    """One edge of the cube."""

    #: perturbation, by its place in the list
    number: int
    #: severity, onset, duration, or a parameter of its own
    what: str
    low: float = 0.0
    high: float = 1.0

    def value(self, share: float) -> float:
        """Return the value at a share of the edge, to four digits of its length."""
        return self.low + (self.high - self.low) * round(share, 4)


class Attack:
    """Some perturbations at once, and which of their settings are searched."""

    def __init__(self, perturbations: Sequence[PerturbationSettings], limit_s: float,
                 over: Sequence[str] = COMMON,
                 ranges: Mapping[str, tuple[float, float]] | None = None) -> None:
        """
        Lay the axes out.

        :param perturbations: what is not searched keeps these settings
        :param limit_s: time limit of an episode [s]
        :param over: what is searched of each, of :data:`COMMON`; without a duration to be
            searched a perturbation lasts as its settings say
        :param ranges: parameters of their own that are searched too, ``NAME.PARAMETER``, and
            their ranges
        :raises ConfigError: nothing to search, a perturbation twice, or a range that does not fit
        """
        self._base, self._limit_s = tuple(perturbations), limit_s
        names = [each.name for each in self._base]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f'perturbation {name}: is there twice; it is either on or off')
        self.axes = tuple(chain(
            (Axis(number, what, *self._range(what)) for number in range(len(names))
             for what in COMMON if what in over and self._free(number, what)),
            (self._own(name, *limits) for name, limits in (ranges or {}).items())))
        if not self.axes:
            raise ConfigError('there is nothing to search: name a perturbation and what to vary')

    @property
    def searched(self) -> dict[str, tuple[float, float]]:
        """Return what is varied, ``NAME.WHAT``, and its range."""
        return {f'{self._base[axis.number].name}.{axis.what}': (axis.low, axis.high)
                for axis in self.axes}

    @property
    def strongest(self) -> Floats:
        """The corner with every severity 1, from the start to the end, shape (D,)."""
        return np.array([0.0 if axis.what == 'onset' else 1.0 for axis in self.axes])

    def settings(self, point: Floats) -> tuple[PerturbationSettings, ...]:
        """Return the perturbations of a point, shape (D,)."""
        made = list(self._base)
        for axis, share in zip(self.axes, point.tolist(), strict=True):
            made[axis.number] = _with(made[axis.number], axis.what, axis.value(share))
        return tuple(made)

    def cost(self, point: Floats) -> float:
        """
        Return how strong a point is: the sum of severity times share of the episode it acts.

        0: nothing happens; 1: one perturbation at its strongest for a whole episode. Parameters
        of their own do not count: only ranges within which all is as mild belong into a search.
        """
        return sum(each.severity * self._share(each) for each in self.settings(point))

    def _share(self, each: PerturbationSettings) -> float:
        left_s = max(0.0, self._limit_s - each.start_s)
        lasts_s = each.duration_s or _own_s(each) or left_s
        return min(left_s, lasts_s) / self._limit_s

    def _free(self, number: int, what: str) -> bool:
        """Say whether it can be searched: one that lasts as long as it does has no duration."""
        return what != 'duration' or not _own_s(self._base[number])

    def _range(self, what: str) -> tuple[float, float]:
        return {'severity': (0.0, 1.0), 'onset': (0.0, self._limit_s),
                'duration': (_SHORTEST_S, self._limit_s)}[what]

    def _own(self, text: str, low: float, high: float) -> Axis:
        name, _, parameter = text.rpartition('.')
        names = [each.name for each in self._base]
        if name not in names:
            raise ConfigError(f'{text}: no perturbation {name!r}{did_you_mean(name, names)}')
        if low >= high:
            raise ConfigError(f'{text}: {low:g} is not below {high:g}')
        for value in (low, high):
            catalogue.check(name, {parameter: value})
        return Axis(names.index(name), parameter, low, high)


def _with(each: PerturbationSettings, what: str, value: float) -> PerturbationSettings:
    # what is searched is not drawn
    if what == 'severity':
        return replace(each, severity=value, severity_to=-1.0)
    if what == 'onset':
        return replace(each, start_s=round(value, 3), start_to_s=-1.0)
    if what == 'duration':
        return replace(each, duration_s=max(_SHORTEST_S, round(value, 3)))
    return replace(each, parameters={**each.parameters, what: value})


def _own_s(each: PerturbationSettings) -> float:
    """Return the duration that a perturbation has by itself [s], 0: none."""
    made = catalogue.make(each.name, each.severity, np.random.default_rng(0), each.parameters)
    return float(made.lasts_s()) if isinstance(made, HasDuration) else 0.0
