"""What an ordinary change of a number is, by the field that it stands in."""

from __future__ import annotations

from collections.abc import Sequence
import re

import numpy as np

from wm_eval_ros.config.interface import CommandStream, Stream
from wm_eval_ros.perturb.protocol import Floats

#: pattern of a field path, and an ordinary change in its unit; the first that fits counts
ORDINARY: tuple[tuple[str, float], ...] = (
    # quaternion
    (r'orientation\.', 0.1),
    # rad/s, m/s
    (r'velocity|twist', 1.0),
    # N, Nm
    (r'effort|force|torque|wrench', 1.0),
    # m of a point in space
    (r'(position|point|translation)\.[xyz]', 0.05),
    # rad or m of a joint
    (r'position\[', 0.2),
)
#: of a field that no pattern fits
OTHERWISE = 0.1
#: units in half the range of a command
COMMAND_UNITS = 10.0


def raw_fields(stream: Stream) -> tuple[str, ...]:
    """Return the fields of a stream as they stand in the message, each once."""
    return tuple(dict.fromkeys(field.removesuffix(':angle') for field in stream.fields))


def observation_units(fields: Sequence[str]) -> Floats:
    """
    Return an ordinary change of each field, shape (F,).

    >>> observation_units(['position[elbow]', 'pose.position.x']).tolist()
    [0.2, 0.05]
    """
    return np.array([next((u for pattern, u in ORDINARY if re.search(pattern, field)), OTHERWISE)
                     for field in fields])


def command_units(command: CommandStream) -> Floats:
    """Return a tenth of half the range of each field of the command, shape (A,)."""
    return np.subtract(command.high, command.low) / 2.0 / COMMAND_UNITS
