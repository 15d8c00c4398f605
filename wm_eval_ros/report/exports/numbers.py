"""The numbers in a decoded message, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

#: numbers of one message at most; images and clouds have more and are no series
MAX_NUMBERS = 64
#: elements of an array at most; covariances have more
MAX_ELEMENTS = 16
#: nested deeper than any standard message
_DEPTH = 6


def numbers(msg: Any) -> list[tuple[str, float]]:
    """
    Return the numbers of a message with their paths; those of a header are left out.

    Elements of arrays are named by the message's own list of names where it has one as long, as a
    joint state has, others by their place. A message of more than MAX_NUMBERS has none.
    """
    found = list(_walk(msg, '', _DEPTH))
    return found if len(found) <= MAX_NUMBERS else []


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
        yield path, float(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in 'iufb':
        if value.size <= MAX_ELEMENTS:
            yield from ((f'{path}/{at}', float(v)) for at, v in enumerate(value.ravel()))
    elif depth and hasattr(value, '__dataclass_fields__'):
        yield from _fields(value, path, depth)


def _fields(msg: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    names = getattr(msg, 'name', getattr(msg, 'names', None))
    for field in msg.__dataclass_fields__:
        if field in ('header', '__msgtype__'):
            continue
        value = getattr(msg, field)
        own = f'{path}/{field}' if path else field
        if isinstance(names, list) and isinstance(value, np.ndarray) and (
                0 < len(value) == len(names) <= MAX_ELEMENTS):
            yield from ((f'{own}/{n}', float(v)) for n, v in zip(names, value, strict=True))
        else:
            yield from _walk(value, own, depth - 1)
