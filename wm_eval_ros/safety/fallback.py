"""What is commanded where no proposal may pass."""

from __future__ import annotations

from typing import Protocol

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.safety.observed import Observed

Action = tuple[float, ...]


class Fallback(Protocol):
    """A policy; what it says is clipped into the limits before it is sent."""

    #: measures and answers: worth asking more often than once a period, and while stopped
    closed_loop: bool

    def command(self, last: Action, now_ns: int) -> Action:
        """
        Return the command of now, shape (A,).

        :param last: the planner's last command that passed in this episode, else zero, shape (A,)
        """
        ...


class Zero:
    """Zero in every field."""

    closed_loop = False

    def command(self, last: Action, now_ns: int) -> Action:
        """Return zeros."""
        return (0.0,) * len(last)


class Hold:
    """The last command that passed."""

    closed_loop = False

    def command(self, last: Action, now_ns: int) -> Action:
        """Return the last command."""
        return last


class Brake:
    """
    Minus a gain times a measured velocity: drives velocities to zero.

    A velocity that is not known, or stale, is answered with zero.
    """

    closed_loop = True

    def __init__(self, command: CommandStream, settings: SupervisorSettings,
                 observed: Observed) -> None:
        """
        Read the mapping.

        :raises ConfigError: not exactly one term a command field, or a velocity nobody observes
        """
        observed.require((term.feature for term in settings.brake), 'brake')
        named = sorted(term.field for term in settings.brake)
        if named != sorted(command.fields):
            raise ConfigError(f'supervisor.brake: for {", ".join(named)}; it needs one term for '
                              f'each of {", ".join(command.fields)}')
        self._terms = sorted(settings.brake, key=lambda t: command.fields.index(t.field))
        self._observed = observed

    def command(self, last: Action, now_ns: int) -> Action:
        """Return minus gain times velocity, field by field."""
        return tuple(-term.gain * (self._observed.value(term.feature, now_ns) or 0.0)
                     for term in self._terms)


class Controller:
    """The newest good command of a second controller; zero while it is silent."""

    closed_loop = False

    def __init__(self, stale_ns: int) -> None:
        """
        Know of no command yet.

        :param stale_ns: an older command is no command [ns]
        """
        self._stale_ns = stale_ns
        self._newest: tuple[Action, int] | None = None

    def offer(self, action: Action, now_ns: int) -> None:
        """Take in a command that keeps to the limits, shape (A,)."""
        self._newest = action, now_ns

    def command(self, last: Action, now_ns: int) -> Action:
        """Return the second controller's command."""
        if self._newest is None or now_ns - self._newest[1] > self._stale_ns:
            return (0.0,) * len(last)
        return self._newest[0]


def make_fallback(command: CommandStream, settings: SupervisorSettings, observed: Observed,
                  stale_ns: int) -> Fallback:
    """
    Make the policy of the settings.

    :raises ConfigError: the interface lacks what it needs
    """
    if settings.fallback == 'brake':
        return Brake(command, settings, observed)
    if settings.fallback == 'controller':
        return Controller(stale_ns)
    return Hold() if settings.fallback == 'hold' else Zero()
