"""The operator's joystick: axes to a command, while the dead-man button is held."""

from __future__ import annotations

from collections.abc import Sequence

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.errors import ConfigError


class Joystick:
    """Maps each axis to a command field: 0 to zero, 1 and -1 to the ends of its range."""

    def __init__(self, command: CommandStream, settings: SupervisorSettings) -> None:
        """
        Read the mapping.

        :raises ConfigError: not one axis for each command field
        """
        self._axes, self._deadman = settings.joy_axes, settings.joy_deadman
        self._ranges = list(zip(command.low, command.zero, command.high, strict=True))
        if self._axes and len(self._axes) != len(command.fields):
            raise ConfigError(f'supervisor.joy_axes: {len(self._axes)} axes for '
                              f'{len(command.fields)} command fields; give one each')

    def command(self, axes: Sequence[float], buttons: Sequence[int]) -> tuple[float, ...] | None:
        """
        Return the command of a message of the joystick, shape (A,).

        :param axes: deflections in [-1, 1]; what is beyond is beyond the limits as well
        :returns: None while the dead-man button is not held, or where an axis is missing
        """
        if self._deadman >= len(buttons) or not buttons[self._deadman]:
            return None
        if not self._axes or max(self._axes) >= len(axes):
            return None
        return tuple(_scaled(axes[axis], low, zero, high)
                     for axis, (low, zero, high) in zip(self._axes, self._ranges, strict=True))


def _scaled(deflection: float, low: float, zero: float, high: float) -> float:
    return zero + deflection * (high - zero if deflection >= 0 else zero - low)
