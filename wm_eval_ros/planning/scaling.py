"""Between actions in [-1, 1], which planners search, and commands in their own units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import CommandStream


def to_command(action: Any, command: CommandStream) -> NDArray[np.float64]:
    """
    Scale actions to the command's limits.

    :param action: values in [-1, 1], clipped to it, shape (..., A); NaN stays NaN
    :returns: -1 -> low, 1 -> high, shape (..., A); never beyond them
    """
    low, high = np.asarray(command.low, np.float64), np.asarray(command.high, np.float64)
    share = (np.clip(np.asarray(action, np.float64), -1.0, 1.0) + 1.0) / 2.0
    # low + (high - low) may round beyond high, and the gate would refuse that
    return np.asarray(np.clip(low + share * (high - low), low, high))


def to_unit(command_value: Any, command: CommandStream) -> NDArray[np.float64]:
    """
    Scale commands to [-1, 1].

    :param command_value: in the command's units, clipped to its limits, shape (..., A)
    :returns: low -> -1, high -> 1, shape (..., A)
    """
    low, high = np.asarray(command.low, np.float64), np.asarray(command.high, np.float64)
    inside = np.clip(np.asarray(command_value, np.float64), low, high)
    return np.asarray(2.0 * (inside - low) / (high - low) - 1.0)
