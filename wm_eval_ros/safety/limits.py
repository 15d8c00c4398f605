"""What a command must keep to: numbers, range, rate, acceleration, jerk, and the state."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
import math

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import StateLimit, SupervisorSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import NameEnum
from wm_eval_ros.safety.observed import Observed


class Fault(NameEnum):
    """Why a command was refused."""

    UNREADABLE = 'unreadable'
    SHAPE = 'shape'
    NONFINITE = 'nonfinite'
    RANGE = 'range'
    RATE = 'rate'
    ACCELERATION = 'acceleration'
    JERK = 'jerk'
    STATE = 'state'
    #: older at its arrival than allowed
    LATE = 'late'
    #: stamped later than now: its sender's clock is not this one's, and its age not known
    FUTURE = 'future'
    #: its stamp is not after that of the command before
    SEQUENCE = 'sequence'


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that did not pass, and why."""

    fault: Fault
    reason: str


#: the finite differences that are limited, in their order
_DIFFERENCES = (Fault.RATE, Fault.ACCELERATION, Fault.JERK)
#: slack for the rounding of differences, of the limit
_ROUNDING = 1e-9
#: a command this much of a period before its time is not early: arrivals jitter
_EARLY = 0.25


class CommandLimits:
    """
    Checks commands against their range, their own past and the observed state.

    Rate, acceleration and jerk are the first, second and third difference of what was in force,
    in time: ``|u(t) - u(t - T)| / T`` and so on, so that many commands within a period are no
    more than one step. ``T - 0.25 T`` is looked back for the first, as arrivals jitter.
    """

    def __init__(self, command: CommandStream, settings: SupervisorSettings, period_ns: int,
                 observed: Observed) -> None:
        """
        Read the limits.

        :param period_ns: period of the schedule [ns]
        :raises ConfigError: a limit that fits no command field or no observed feature
        """
        self.low, self.high, self._zero = command.low, command.high, command.zero
        self._period_ns = period_ns
        self._observed = observed
        limits = (settings.rate, settings.acceleration, settings.jerk)
        for fault, values in zip(_DIFFERENCES, limits, strict=True):
            if values and len(values) != len(command.fields):
                raise ConfigError(f'supervisor.{fault}: {len(values)} numbers for '
                                  f'{len(command.fields)} command fields; give one each')
        #: largest difference of each order and field, in units of the command
        self._largest = [[value * (period_ns / 1e9) ** order for value in values]
                         for order, values in enumerate(limits, start=1)]
        observed.require((limit.feature for limit in settings.state_limits), 'state_limits')
        self._state = [(_index(command, limit), limit) for limit in settings.state_limits]
        for index, limit in self._state:
            if not self.low[index] <= 0.0 <= self.high[index]:
                raise ConfigError(
                    f'supervisor.state_limits: {limit.field} ranges over [{self.low[index]:g}, '
                    f'{self.high[index]:g}], without zero: at the limit of {limit.feature} '
                    'nothing could be sent; let its range hold 0, or drop the limit')
        self._early_ns = round(_EARLY * period_ns)
        #: what came into force and when [ns], the newest last, back to before the last periods
        self._sent: deque[tuple[int, tuple[float, ...]]] = deque()

    def begin(self, action: tuple[float, ...], now_ns: int) -> None:
        """Begin with a command that has been in force for long, shape (A,)."""
        self._sent.clear()
        self._sent.append((now_ns, action))

    def sent(self, action: tuple[float, ...], now_ns: int) -> None:
        """Note what was sent, shape (A,)."""
        self._sent.append((now_ns, action))
        first_ns = now_ns - len(_DIFFERENCES) * self._period_ns
        while len(self._sent) > 1 and self._sent[1][0] <= first_ns:
            self._sent.popleft()

    def static(self, action: Sequence[float], now_ns: int) -> Refusal | None:
        """Judge the command by itself and by the observed state."""
        if len(action) != len(self.low):
            return Refusal(Fault.SHAPE, f'command has {len(action)} values, '
                                        f'{len(self.low)} are wanted')
        for index, value in enumerate(action):
            if not math.isfinite(value):
                return Refusal(Fault.NONFINITE, f'command value {index} is {value}')
            if not self.low[index] <= value <= self.high[index]:
                return Refusal(Fault.RANGE, f'command value {index} is {value:g}, outside '
                               f'[{self.low[index]:g}, {self.high[index]:g}]')
        return self._outward(action, now_ns)

    def dynamic(self, action: Sequence[float], now_ns: int) -> Refusal | None:
        """Judge the change from what was in force one, two and three periods ago, and is now."""
        past = [self._at(now_ns - order * self._period_ns + self._early_ns)
                for order in range(1, len(_DIFFERENCES) + 1)]
        for index, value in enumerate(action):
            changes = [value, *(sent[index] for sent in past)]
            jump = value - self._sent[-1][1][index]
            for fault, largest in zip(_DIFFERENCES, self._largest, strict=True):
                changes = [new - old for new, old in pairwise(changes)]
                change = max(changes[0], jump, key=abs) if fault is Fault.RATE else changes[0]
                if largest and abs(change) > largest[index] * (1 + _ROUNDING):
                    return Refusal(fault, f'{fault} of command value {index}: change of '
                                   f'{change:g} a period, {largest[index]:g} is allowed')
        return None

    def substitute(self, action: Sequence[float], now_ns: int) -> tuple[float, ...]:
        """
        Return what the gate itself may send: inside its range, and driving nothing further out.

        A field whose limiting feature lies at its limit that way, or is not known, becomes zero.
        """
        found = list(self.clipped(action))
        for index, limit in self._state:
            at = self._observed.value(limit.feature, now_ns)
            if at is None or _drives_out(at, found[index], limit):
                found[index] = self._zero[index]
        return tuple(found)

    def clipped(self, action: Sequence[float]) -> tuple[float, ...]:
        """Return a substitute inside its range; what is not finite becomes zero, clipped."""
        return tuple(min(max(value if math.isfinite(value) else 0.0, lo), hi)
                     for value, lo, hi in zip(action, self.low, self.high, strict=True))

    def _at(self, time_ns: int) -> tuple[float, ...]:
        """Return what was in force at a time; before all that is known: the oldest."""
        return next((action for sent_ns, action in reversed(self._sent) if sent_ns <= time_ns),
                    self._sent[0][1])

    def _outward(self, action: Sequence[float], now_ns: int) -> Refusal | None:
        for index, limit in self._state:
            at = self._observed.value(limit.feature, now_ns)
            if at is None:
                return Refusal(Fault.STATE, f'{limit.feature} is not known, and limits '
                                            f'command value {index}')
            if _drives_out(at, action[index], limit):
                return Refusal(Fault.STATE, f'{limit.feature} is {at:g}, and command value '
                               f'{index}, {action[index]:g}, drives it further out of '
                               f'[{limit.low:g}, {limit.high:g}]')
        return None


def _drives_out(at: float, value: float, limit: StateLimit) -> bool:
    return (at >= limit.high and value > 0) or (at <= limit.low and value < 0)


def _index(command: CommandStream, limit: StateLimit) -> int:
    if limit.field not in command.fields:
        raise ConfigError(f'supervisor.state_limits: no command field {limit.field!r}; there are '
                          f'{", ".join(command.fields)}')
    return command.fields.index(limit.field)
