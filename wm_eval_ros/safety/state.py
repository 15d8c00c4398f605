"""The state machine of the supervisor: who commands, and the events that say so."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.records import EventKind, NameEnum
from wm_eval_ros.safety.monitors import Level, Monitors


class GateState(NameEnum):
    """Who commands, as the gate sees it."""

    #: no episode is running: nothing passes, nothing is watched
    IDLE = 'idle'
    NOMINAL = 'nominal'
    #: something is wrong and good commands still pass
    DEGRADED = 'degraded'
    #: the fallback commands
    FALLBACK = 'fallback'
    #: the fallback commands, and only somebody from outside ends it
    STOPPED = 'stopped'
    #: an operator has taken over
    OPERATOR = 'operator'


#: T_clear grows to at most this power of two of the shortest
MOST_DOUBLINGS = 5
#: so long NOMINAL, and one hand-over of the episode is forgotten [ns]
FORGET_NS = 60_000_000_000
#: states in which the proposals of the planner pass
PASSING = frozenset({GateState.NOMINAL, GateState.DEGRADED})

_DEGRADED = (EventKind.DEGRADED_ON, EventKind.DEGRADED_OFF)
_FALLBACK = (EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF)
_STOPPED = (EventKind.STOPPED_ON, EventKind.STOPPED_OFF)
_INTERVENTION = (EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF)
#: the spells that are open in a state, the outer one first: that events are balanced follows
_SPELLS = {
    GateState.IDLE: (), GateState.NOMINAL: (), GateState.DEGRADED: (_DEGRADED,),
    GateState.FALLBACK: (_FALLBACK,), GateState.STOPPED: (_FALLBACK, _STOPPED),
    GateState.OPERATOR: (_INTERVENTION,),
}
_WANTED = {Level.CLEAR: GateState.NOMINAL, Level.DEGRADED: GateState.DEGRADED,
           Level.FALLBACK: GateState.FALLBACK}
_RANK = {state: level for level, state in _WANTED.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """A spell that begins or ends."""

    kind: EventKind
    reason: str


Changes = tuple[Change, ...]


class StateMachine:
    """
    NOMINAL, DEGRADED, FALLBACK, STOPPED by what the monitors say.

    A worse state is entered at once. FALLBACK and DEGRADED are left after T_clear in which no
    monitor was at their level or above, and with a command in hand. T_clear doubles with every
    alarm or faulty command after the first that hands over in an episode: while the fallback
    drives, much of what was wrong cannot be seen. Hand-overs are bounded: whose control was given
    back too often is stopped by the next. Every ``FORGET_NS`` on end in NOMINAL, one hand-over and
    one doubling are forgotten, so that an episode may last for hours. STOPPED never leaves by
    itself.
    """

    def __init__(self, monitors: Monitors, *, clear_ns: int, returns: int,
                 latch_stop: bool) -> None:
        """
        Begin idle.

        :param clear_ns: T_clear, the shortest [ns]
        :param returns: so often the planner gets back control in an episode
        :param latch_stop: a stop outlasts its episode; else the next one lifts it
        """
        self.state = GateState.IDLE
        self._monitors = monitors
        self._clear_ns = clear_ns
        self._returns = returns
        self._latch = latch_stop
        self._armed = False
        self._stopped = False
        #: hand-overs of this episode, and how many of them by what the planner did
        self._handed_over = self._backed_off = 0
        #: NOMINAL since, or since a hand-over was last forgotten [ns]
        self._nominal_ns = 0

    def arm(self) -> Changes:
        """Begin an episode."""
        self._armed = True
        self._handed_over = self._backed_off = 0
        self._stopped = self._stopped and self._latch
        if self.state is GateState.OPERATOR:
            return ()
        if self._stopped:
            return self._enter(GateState.STOPPED, 'stopped in an episode before')
        return self._enter(GateState.NOMINAL, 'a new episode began')

    def disarm(self) -> Changes:
        """End an episode; an operator stays."""
        self._armed = False
        if self.state is GateState.OPERATOR:
            return ()
        return self._enter(GateState.IDLE, 'the episode ended')

    def stop(self, reason: str) -> Changes:
        """Stop; an operator is not stopped."""
        if self.state in (GateState.IDLE, GateState.OPERATOR, GateState.STOPPED):
            return ()
        self._stopped = True
        return self._enter(GateState.STOPPED, reason)

    def back_off(self) -> None:
        """Note that the hand-over of now is for what cannot be seen while the fallback drives."""
        self._backed_off += 1

    @property
    def clear_ns(self) -> int:
        """T_clear of now [ns]."""
        return self._clear_ns << min(max(self._backed_off - 1, 0), MOST_DOUBLINGS)

    def escalate(self) -> Changes:
        """Enter the state of the worst trouble where it is worse than the state of now."""
        if self.state not in _RANK:
            return ()
        level, reason = self._monitors.worst()
        if level <= _RANK[self.state]:
            return ()
        if level is Level.FALLBACK:
            self._handed_over += 1
            if self._handed_over > self._returns:
                return self.stop(f'{reason}; control was given back {self._returns} times in '
                                 'this episode')
        return self._enter(_WANTED[level], reason)

    def relax(self, now_ns: int) -> Changes:
        """Leave a state whose trouble has been over for T_clear; a good command is at hand."""
        self._forget(now_ns)
        level = _RANK.get(self.state, Level.CLEAR)
        while level > Level.CLEAR and self._quiet(level, now_ns):
            level = Level(level - 1)
        if self.state not in _RANK or level == _RANK[self.state]:
            return ()
        return self._enter(_WANTED[level], f'clear for {self.clear_ns / 1e6:g} ms')

    def clear(self) -> tuple[Changes, str]:
        """
        Lift a stop or a fallback by order, without waiting for T_clear.

        What would make the fallback command at once again stands against it.

        :returns: the changes, and why not
        """
        level, reason = self._monitors.worst()
        if level is Level.FALLBACK:
            return (), reason
        if self.state is GateState.OPERATOR:
            return (), 'an operator has taken over; let go first'
        self._stopped = False
        self._handed_over = self._backed_off = 0
        return self._enter(_WANTED[level] if self._armed else GateState.IDLE, 'cleared'), ''

    def take_over(self) -> Changes:
        """Give control to an operator."""
        return self._enter(GateState.OPERATOR, 'an operator took over')

    def release(self) -> Changes:
        """Take control back from the operator: to where it was stopped, else to the fallback."""
        if self.state is not GateState.OPERATOR:
            return ()
        state = (GateState.IDLE if not self._armed else GateState.STOPPED if self._stopped
                 else GateState.FALLBACK)
        return self._enter(state, 'the operator let go')

    def _forget(self, now_ns: int) -> None:
        if self.state is not GateState.NOMINAL or not self._handed_over:
            self._nominal_ns = now_ns
        elif now_ns - self._nominal_ns >= FORGET_NS:
            self._handed_over -= 1
            self._backed_off = max(self._backed_off - 1, 0)
            self._nominal_ns = now_ns

    def _quiet(self, level: Level, now_ns: int) -> bool:
        quiet_ns = self._monitors.quiet_ns(level, now_ns)
        return self._monitors.worst()[0] < level and (
            quiet_ns is None or quiet_ns >= self.clear_ns)

    def _enter(self, state: GateState, reason: str) -> Changes:
        old, new = _SPELLS[self.state], _SPELLS[state]
        self.state = state
        ended = tuple(Change(off, reason) for on, off in reversed(old) if (on, off) not in new)
        begun = tuple(Change(on, reason) for on, off in new if (on, off) not in old)
        return ended + begun
