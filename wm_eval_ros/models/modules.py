"""
Which module of a model each of its weights belongs to: encoder, dynamics or read-out.

A family whose networks have names says so by ``modules``, a mapping of how names of tensors begin
to a module. Of a family that is one chain of layers the last is the read-out, what turns the
hidden units into the change of the features, and those before it are the dynamics: it encodes
nothing, features are standardised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import re
from typing import Any

import torch

from wm_eval_ros.errors import CheckpointError

ENCODER, DYNAMICS, READ_OUT = 'encoder', 'dynamics', 'read_out'
#: in the order in which an observation goes through them
MODULES = (ENCODER, DYNAMICS, READ_OUT)


def is_weight(name: str, tensor: torch.Tensor) -> bool:
    """
    Say whether a tensor is a matrix, or several: no bias, norm, rate or scale.

    >>> is_weight('body.0.weight', torch.zeros(2, 3)), is_weight('norm.weight', torch.zeros(2))
    (True, False)
    """
    return tensor.ndim > 1 and name.rpartition('.')[2].startswith('weight')


def modules_of(model: Any) -> dict[str, str]:
    """
    Return the module of each weight of a trained model, by the name of the tensor.

    :param model: with ``tensors``; its ``modules``, if it has any, map beginnings of names
    :raises CheckpointError: it has no weights, or they belong to no module
    """
    spec, tensors = model.spec, getattr(model, 'tensors', None)
    names = sorted((n for n, t in (tensors or {}).items() if is_weight(n, t)), key=_place)
    if not names:
        raise CheckpointError(f'model {spec.name!r} of the family {spec.family} has no weights')
    said: Mapping[str, str] = getattr(model, 'modules', {})
    found = _by_beginning(names, said) if said else {
        name: DYNAMICS if name != names[-1] else READ_OUT for name in names}
    if odd := sorted(set(names) - set(found)) + sorted(set(found.values()) - set(MODULES)):
        raise CheckpointError(f'model {spec.name!r}: the family {spec.family} does not say which '
                              f'of {", ".join(MODULES)} {odd[0]!r} is')
    return found


def as_matrices(model: Any, weight: torch.Tensor) -> torch.Tensor:
    """
    Return a weight as matrices with an output a row, (M, outputs, inputs).

    Torch's layers have the outputs first. A family whose tensors are one matrix (inputs, outputs)
    for each of M members says so by ``members_first``.
    """
    if getattr(model, 'members_first', False):
        return weight.transpose(1, 2)
    return weight.reshape(1, len(weight), -1)


def from_matrices(model: Any, matrices: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return what :func:`as_matrices` was given, of that shape."""
    if getattr(model, 'members_first', False):
        return matrices.transpose(1, 2).contiguous()
    return matrices.reshape(shape)


def _by_beginning(names: Iterable[str], said: Mapping[str, str]) -> dict[str, str]:
    return {name: module for name in names for beginning, module in said.items()
            if name.startswith(beginning)}


def _place(name: str) -> list[tuple[int, str]]:
    """Order ``body.10`` after ``body.2``."""
    return [(int(part), '') if part.isdigit() else (-1, part)
            for part in re.split(r'(\d+)', name)]
