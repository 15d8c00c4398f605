"""Sizes of a family as a checkpoint gives them: untrusted, bounded before allocating."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from wm_eval_ros.config.bounded import shown
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.protocol import WorldModelSpec

#: values each word of an architecture may have
WORDS = {'activation': ('silu', 'relu'), 'encoder': ('dense', 'cnn')}
#: largest value each number of an architecture may have: a bound on memory before allocating
LIMITS = {'features': 65536, 'actions': 256, 'members': 64, 'hidden': 4096, 'layers': 8,
          'latent': 4096, 'inputs': 131072, 'deterministic': 4096, 'stochastic': 4096,
          'states': 4096, 'memory': 1024, 'heads': 64, 'masks': 64}


@dataclass(frozen=True)
class Architecture:
    """Sizes that every family made of networks has; what ``spec.architecture`` holds."""

    #: features F
    features: int
    #: command fields A
    actions: int
    #: width of the hidden layers
    hidden: int = 64
    #: number of hidden layers
    layers: int = 2
    #: silu or relu
    activation: str = 'silu'


A = TypeVar('A')


def parse_architecture(kind: type[A], raw: Mapping[str, Any], where: str) -> A:
    """
    Check an untrusted architecture.

    :param kind: dataclass of whole numbers that `LIMITS` bounds, shares of 0 to 0.9, and words
        of `WORDS`
    :raises CheckpointError: unknown or missing key, wrong type, size out of bounds
    """
    known = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    if set(raw) - set(known) or {'features', 'actions'} - set(raw):
        raise CheckpointError(f'{where}: architecture has keys {shown(sorted(raw))}; '
                              f'this family has {sorted(known)}')
    for name, value in raw.items():
        if known[name] in (int, 'int'):
            if type(value) is not int or not 1 <= value <= LIMITS[name]:
                raise CheckpointError(f'{where}: architecture.{name} is {shown(value)}; '
                                      f'give a whole number from 1 to {LIMITS[name]}')
        elif known[name] in (float, 'float'):
            if type(value) not in (int, float) or not 0 <= value <= 0.9:
                raise CheckpointError(f'{where}: architecture.{name} is {shown(value)}; '
                                      'give a share from 0 to 0.9')
        elif value not in WORDS[name]:
            raise CheckpointError(f'{where}: architecture.{name} is {shown(value)}; '
                                  f'known: {", ".join(WORDS[name])}')
    return kind(**raw)


def require_interface(spec: WorldModelSpec, features: int, actions: int, where: str) -> None:
    """
    Refuse sizes that do not fit the spec's interface.

    :raises CheckpointError: names both
    """
    if (features, actions) != (len(spec.feature_names), spec.action_dim):
        raise CheckpointError(
            f'{where}: architecture has {features} features and {actions} actions, '
            f'the interface {len(spec.feature_names)} and {spec.action_dim}; train it anew')
