"""A fast loop under a slow planner: between two slots, correct by what was not foreseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import ReflexTerm
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.safety.observed import Observed


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the plan of a slot says of the time until the next one."""

    #: start of the slot [ns, ROS]
    stamp_ns: int
    period_ns: int
    #: features at the slot and one period later, in physical units, shape (D,)
    now: NDArray[np.float64]
    next: NDArray[np.float64]


class Reflex:
    """
    Adds ``gain * (predicted - observed)`` to the command in force, each term within its bound.

    The prediction runs straight from the latent of the slot to the first imagined one; after a
    period it has no more to say.
    """

    def __init__(self, command: CommandStream, terms: Sequence[ReflexTerm],
                 observed: Observed) -> None:
        """
        Read the terms.

        :raises ConfigError: a field nobody commands, or a feature nobody observes
        """
        observed.require((term.feature for term in terms), 'reflex')
        for term in terms:
            if term.field not in command.fields:
                raise ConfigError(f'supervisor.reflex: no command field {term.field!r}; there are '
                                  f'{", ".join(command.fields)}')
        self._terms = [(command.fields.index(term.field), term) for term in terms]
        self._width = len(command.fields)
        self._observed = observed
        self._index: dict[str, int] = {}
        self._foreseen: Foreseen | None = None
        #: corrections made since the episode began
        self.count = 0

    def learn(self, names: object, mean: object, scale: object) -> None:
        """
        Learn what the latent is made of: features, less their mean, over their scale, shape (D,).

        :raises ConfigError: not names and numbers, as many of each, or the model does not foresee
            a feature of a term
        """
        self._index = {}
        # a manifest is what somebody published
        if not (isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)):
            raise ConfigError('supervisor.reflex: the latent names of the model are no list of '
                              'names')
        mean, scale = _numbers(mean, 'means'), _numbers(scale, 'scales')
        if not len(names) == len(mean) == len(scale):
            raise ConfigError(f'supervisor.reflex: the model has {len(names)} latent names, '
                              f'{len(mean)} means and {len(scale)} scales; it must have as many')
        for _, term in self._terms:
            if term.feature not in names:
                raise ConfigError(f'supervisor.reflex: the model does not foresee '
                                  f'{term.feature!r}; it knows {", ".join(names) or "no names"}')
        self._index = {name: i for i, name in enumerate(names)}
        self._mean, self._scale = mean, scale

    def begin(self) -> None:
        """Begin an episode."""
        self._foreseen, self.count = None, 0

    def foresee(self, stamp_ns: int, period_ns: int, latent: NDArray[np.float32],
                imagined: NDArray[np.float32]) -> None:
        """
        Take in the plan of a slot.

        :param stamp_ns: start of the slot [ns, ROS]
        :param latent: of this slot, shape (D,)
        :param imagined: of the next one, shape (D,)
        """
        if self._index and len(latent) == len(imagined) == len(self._mean):
            self._foreseen = Foreseen(stamp_ns, period_ns, latent * self._scale + self._mean,
                                      imagined * self._scale + self._mean)

    def correction(self, stamp_ns: int, now_ns: int) -> tuple[float, ...] | None:
        """
        Return what to add to the command in force, shape (A,).

        :param stamp_ns: stamp of the newest observation [ns, ROS]
        :param now_ns: time of the observed features [ns, steady]
        :returns: None where nothing is foreseen for this time, or a feature is not known
        """
        plan = self._foreseen
        if plan is None or not plan.stamp_ns < stamp_ns <= plan.stamp_ns + plan.period_ns:
            return None
        share = (stamp_ns - plan.stamp_ns) / plan.period_ns
        added = np.zeros(self._width)
        for field, term in self._terms:
            at, seen = self._index[term.feature], self._observed.value(term.feature, now_ns)
            if seen is None:
                return None
            foreseen = plan.now[at] + share * (plan.next[at] - plan.now[at])
            added[field] += np.clip(term.gain * (foreseen - seen), -term.bound, term.bound)
        if not np.isfinite(added).all():
            return None
        self.count += 1
        return tuple(added.tolist())


def _numbers(values: object, what: str) -> NDArray[np.float64]:
    if isinstance(values, (list, tuple)) and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        try:
            return np.array(values, np.float64)
        except OverflowError:
            pass  # an integer of JSON has no bounds
    raise ConfigError(f'supervisor.reflex: the latent {what} of the model are no list of numbers')
