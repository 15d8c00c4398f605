"""The command gate as a state machine: what may pass, and what is commanded instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from wm_eval_ros.records import EventKind, NameEnum


class GateState(NameEnum):
    """Who commands, as the gate sees it."""

    #: no episode is running: nothing passes, nothing is watched
    IDLE = 'idle'
    NOMINAL = 'nominal'
    #: the command is stale or was refused: the fallback commands
    FALLBACK = 'fallback'
    #: stale for too long: the fallback commands until the next episode begins
    STOPPED = 'stopped'


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says about one command or one instant."""

    #: the offered command passes unchanged
    forward: bool = False
    #: command to publish instead, in the command's units; None: none
    substitute: tuple[float, ...] | None = None
    #: FALLBACK_ON or FALLBACK_OFF where the mode changed
    event: EventKind | None = None
    reason: str = ''


class CommandGate:
    """
    Passes commands that are finite, of the right shape, inside the limits and fresh.

    Time is passed in: steady time in ``realtime``, simulated time otherwise.
    """

    def __init__(
        self,
        low: Sequence[float],
        high: Sequence[float],
        *,
        stale_ns: int,
        stop_ns: int,
        fallback: str = 'zero',
    ) -> None:
        """
        Make a gate.

        :param low: smallest allowed value of each command field, shape (A,)
        :param high: largest allowed value, shape (A,)
        :param stale_ns: age of the last valid command after which the fallback commands [ns]
        :param stop_ns: age after which only a new episode lets commands pass again [ns]
        :param fallback: ``zero`` (clipped into the limits) or ``hold`` (the last valid
            command; a stop and an episode's end are zero all the same)
        """
        self.state = GateState.IDLE
        self._low = tuple(low)
        self._high = tuple(high)
        self._stale_ns = stale_ns
        self._stop_ns = stop_ns
        self._hold = fallback == 'hold'
        #: zero, clipped into the limits, shape (A,)
        self.zero = tuple(min(max(0.0, lo), hi) for lo, hi in zip(low, high, strict=True))
        self._last = self.zero
        self._fresh_ns = 0

    def arm(self, now_ns: int) -> Decision:
        """Begin an episode: watch from now on; a stop is lifted."""
        was_fallback = self.state in (GateState.FALLBACK, GateState.STOPPED)
        self.state = GateState.NOMINAL
        self._last = self.zero
        self._fresh_ns = now_ns
        return Decision(event=EventKind.FALLBACK_OFF if was_fallback else None,
                        reason='a new episode began' if was_fallback else '')

    def disarm(self) -> Decision:
        """End an episode: zero is commanded once, nothing passes until the next begins."""
        was_fallback = self.state in (GateState.FALLBACK, GateState.STOPPED)
        self.state = GateState.IDLE
        return Decision(substitute=self.zero,
                        event=EventKind.FALLBACK_OFF if was_fallback else None,
                        reason='the episode ended' if was_fallback else '')

    def offer(self, action: Sequence[float], now_ns: int) -> Decision:
        """Judge one proposed command, shape (A,), in the command's units."""
        fault = self._fault(action)
        if fault:
            return self.reject(fault)
        if self.state in (GateState.IDLE, GateState.STOPPED):
            return Decision(reason=f'{self.state} until the next episode begins')
        self._last = tuple(action)
        self._fresh_ns = now_ns
        if self.state is GateState.FALLBACK:
            self.state = GateState.NOMINAL
            return Decision(forward=True, event=EventKind.FALLBACK_OFF, reason='fresh command')
        return Decision(forward=True)

    def reject(self, reason: str) -> Decision:
        """Take a command for a fault: one that cannot be read, or is not valid."""
        if self.state in (GateState.FALLBACK, GateState.STOPPED):
            return Decision(substitute=self.substitute(), reason=reason)
        if self.state is GateState.IDLE:
            return Decision(reason=reason)
        self.state = GateState.FALLBACK
        return Decision(substitute=self.substitute(), event=EventKind.FALLBACK_ON, reason=reason)

    def tick(self, now_ns: int) -> Decision:
        """Look at the time: fall back or stop where the last valid command is too old."""
        age_ns = now_ns - self._fresh_ns
        if self.state is GateState.IDLE or age_ns <= self._stale_ns:
            return Decision()
        if self.state is GateState.NOMINAL:
            return self.reject(f'no valid command for {age_ns / 1e6:.0f} ms')
        if self.state is GateState.FALLBACK and age_ns > self._stop_ns:
            self.state = GateState.STOPPED
        return Decision(substitute=self.substitute())

    def _fault(self, action: Sequence[float]) -> str:
        if len(action) != len(self._low):
            return f'command has {len(action)} values, {len(self._low)} are wanted'
        for index, value in enumerate(action):
            if not math.isfinite(value):
                return f'command value {index} is {value}'
            if not self._low[index] <= value <= self._high[index]:
                return (f'command value {index} is {value:g}, outside '
                        f'[{self._low[index]:g}, {self._high[index]:g}]')
        return ''

    def substitute(self) -> tuple[float, ...]:
        """Return the fallback's command, shape (A,)."""
        hold = self._hold and self.state is not GateState.STOPPED
        return self._last if hold else self.zero
