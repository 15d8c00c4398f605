"""Perturbations by name: looked up, described, made with checked parameters."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import functools
import math
from typing import Any

import numpy as np

from wm_eval_ros import plugins
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.protocol import Perturbation

GROUP = 'wm_eval_ros.perturbations'
#: fields every perturbation has
_COMMON = frozenset(f.name for f in dataclasses.fields(Perturbation))


def names() -> tuple[str, ...]:
    """Return the names of all perturbations, sorted."""
    return plugins.names(GROUP)


def kind_of(name: str) -> str:
    """Return the first part of a name: physical, visual, sensor, command, timing, nuisance."""
    return name.partition('.')[0]


@functools.cache
def load(name: str) -> Any:
    """
    Return the class of a perturbation.

    :raises UnknownNameError: nobody registered it
    """
    return plugins.load(GROUP, name)


def parameters_of(name: str) -> dict[str, dataclasses.Field[Any]]:
    """Return the declarations of a perturbation's own parameters, by name."""
    return {f.name: f for f in dataclasses.fields(load(name))
            if f.init and f.name not in _COMMON}


def description(name: str) -> str:
    """Return what a perturbation does at severity s: the text of its class, on one line."""
    return ' '.join((load(name).__doc__ or '').replace('``', '`').split())


def summary(name: str) -> str:
    """Return the first sentence of that."""
    first, dot, _ = description(name).partition('. ')
    return (first + dot.strip()).replace('`', '')


def check(name: str, parameters: Mapping[str, float]) -> None:
    """
    Refuse parameters that a perturbation does not have, or that are out of range.

    :raises UnknownNameError: no such perturbation
    :raises ConfigError: no such parameter, or its value is out of range
    """
    known = parameters_of(name)
    for key, value in parameters.items():
        if key not in known:
            raise ConfigError(f'perturbation {name}: no parameter {key!r}'
                              f'{did_you_mean(key, known)}')
        if not math.isfinite(value):
            raise ConfigError(f'perturbation {name}: {key}: {value:g} is no finite number')
        low, high = known[key].metadata['low'], known[key].metadata['high']
        if (low is not None and value < low) or (high is not None and value > high):
            raise ConfigError(f'perturbation {name}: {key}: {value:g} is outside '
                              f'[{_bound(low, "-inf")}, {_bound(high, "inf")}]')


def make(name: str, severity: float, rng: np.random.Generator,
         parameters: Mapping[str, float]) -> Any:
    """
    Make one perturbation.

    :param severity: in [0, 1]
    :raises UnknownNameError: no such perturbation
    :raises ConfigError: the severity or a parameter does not fit
    """
    if not 0.0 <= severity <= 1.0:
        raise ConfigError(f'perturbation {name}: severity {severity:g} is outside [0, 1]')
    check(name, parameters)
    return load(name)(severity=severity, rng=rng, **parameters)


def _bound(value: float | None, none: str) -> str:
    return none if value is None else f'{value:g}'
