"""Numbers for float32 fields: rclpy keeps a double in them until it serialises the message."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

#: how rclpy names the type of a field of float32, alone or in an array
_SINGLE = re.compile(r'(sequence<)?float([\[,>].*)?')


def is_single(message: Any, field: str) -> bool:
    """Say whether a field of an rclpy message holds float32; of other objects it is not known."""
    types = getattr(message, 'get_fields_and_field_types', None)
    return types is not None and _SINGLE.fullmatch(types().get(field, '')) is not None


def nearest_single(value: float, low: float, high: float) -> float:
    """
    Return the float32 nearest to a number; of one within a range the nearest within it.

    The float32 nearest to 0.34 is 0.34000000357: beyond a limit of 0.34. A number beyond the range
    stays beyond it, and where the range holds no float32 the nearest one is taken.
    """
    with np.errstate(over='ignore'):
        nearest = np.float32(value)
    if low <= value <= high:
        # compared as doubles: numpy would round the limit to float32 too
        for single in (nearest, *(np.nextafter(nearest, np.float32(to))
                                  for to in (-np.inf, np.inf))):
            if low <= float(single) <= high:
                return float(single)
    return float(nearest)
