"""The command in force in realtime, as a planner hears it on the actuators' topic."""

from __future__ import annotations

from collections import deque
import math

from wm_eval_ros.records import EventKind, TAKEN_OVER

#: a proposal so young is on its way through the gate, on a busy host too [ns]
ON_ITS_WAY_NS = 20_000_000
#: nothing but the planner's own commands was heard for so long: it commands, though the event that
#: ends a fallback never came, as of a supervisor that was started anew amid one [ns]
OWN_AGAIN_NS = 1_000_000_000


class Overheard:
    """
    Says which command is in force, and whether the planner's own led up to a slot.

    The newest command heard is in force. A proposal that was just made counts as passed on if the
    last one heard was the planner's own; where nothing is heard in an episode, the planner's own
    commands are taken for executed. Callbacks tell it, the thread that plans asks.

    :param passes: proposals may reach the actuators; not in shadow mode
    """

    def __init__(self, *, passes: bool = True) -> None:
        self._passes = passes
        #: OFF events waited for: until they come somebody else commands
        self._awaited: set[EventKind] = set()
        self._foreign = False
        self.begin()

    def begin(self) -> None:
        """Begin an episode: nothing is in force."""
        #: the planner's newest proposals and when they were made [ns, steady]
        self._own: deque[tuple[tuple[float, ...], int]] = deque(maxlen=2)
        #: newest command heard, and when [ns, steady]
        self._heard: tuple[tuple[float, ...], int] | None = None
        #: the newest command heard is one of the planner's
        self._is_own = True
        #: the newest proposal that was heard: never cleared, as the planning thread may propose
        #: another amid `heard`
        self._through: tuple[tuple[float, ...], int] | None = None
        #: since when no command but the planner's was heard [ns, steady]
        self._own_since_ns: int | None = None

    def told(self, kind: EventKind) -> None:
        """Take in an event: somebody else commands, or no longer."""
        if kind in TAKEN_OVER:
            self._awaited.add(TAKEN_OVER[kind])
            self._foreign = True
            self._own_since_ns = None
        else:
            self._awaited.discard(kind)

    def proposed(self, action: tuple[float, ...], now_ns: int) -> None:
        """Note the planner's own proposal, as its message holds it, shape (A,)."""
        self._own.append((action, now_ns))

    def heard(self, action: tuple[float, ...], now_ns: int) -> None:
        """Note a command that came for the actuators, shape (A,); one that is no number is not."""
        if not all(map(math.isfinite, action)):
            return
        # a copy, made at once: the planning thread may propose meanwhile
        own = tuple(self._own)
        self._is_own = action in [proposal for proposal, _ in own]
        if own and action == own[-1][0]:
            self._through = own[-1]
        self._heard = (action, now_ns)
        self._wait_no_more(now_ns)

    def _wait_no_more(self, now_ns: int) -> None:
        if not self._is_own:
            self._own_since_ns = None
        elif self._own_since_ns is None:
            self._own_since_ns = now_ns
        elif now_ns - self._own_since_ns >= OWN_AGAIN_NS:
            self._awaited.clear()

    def at(self, now_ns: int) -> tuple[float, ...]:
        """
        Return the command in force at the begin of a slot, shape (A,); empty: none yet.

        A proposal that did not come out of the gate in time was refused: it did not lead here.
        """
        heard, own = self._heard, self._own[-1] if self._own else None
        if heard is None:
            return own[0] if own is not None else ()
        if own is None or own is self._through or not self._passes:
            return heard[0]
        if now_ns - own[1] <= ON_ITS_WAY_NS:
            return own[0] if self._is_own else heard[0]
        self._foreign = True
        return heard[0]

    def foreign(self) -> bool:
        """Say whether another command than the planner's was in force since this was asked."""
        found, self._foreign = self._foreign, bool(self._awaited)
        return found
