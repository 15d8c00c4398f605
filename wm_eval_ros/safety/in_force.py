"""The command in force at a slot in lockstep, where the world waits for one answer a slot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


class InForce:
    """Follows which command is in force while a newer one is still being thought about."""

    def __init__(self, action: tuple[float, ...]) -> None:
        """Begin an episode with this command in force, shape (A,)."""
        self._action = action
        self._next: tuple[int, tuple[float, ...]] | None = None

    def send(self, action: tuple[float, ...], stamp_ns: int, now_ns: int) -> None:
        """Note a command that is sent now and takes effect at its stamp [ns, ROS]."""
        self.at(now_ns)
        self._next = (stamp_ns, action)

    def replace(self, action: tuple[float, ...]) -> None:
        """Note that this acts from now on in place of the command in force, shape (A,)."""
        self._action = action

    def at(self, now_ns: int) -> tuple[float, ...]:
        """Return the command in force, shape (A,); time never runs back."""
        if self._next is not None and self._next[0] <= now_ns:
            self._action = self._next[1]
            self._next = None
        return self._action


@dataclass(frozen=True, slots=True)
class Answer:
    """What the planner made of a slot in lockstep."""

    #: start of the slot [ns, ROS]
    now_ns: int
    #: as its message holds it, shape (A,); None: nothing was proposed
    action: tuple[float, ...] | None = None
    #: stamp of the proposal [ns, ROS]
    stamp_ns: int = 0


class Witness:
    """
    Says, in lockstep, whether the planner's own command came into force, or which one did.

    The gate sends one command a slot. Held against what was proposed it tells who drove, whatever
    the order is in which commands and events come from the middleware.
    """

    def __init__(self) -> None:
        """Begin without an episode."""
        self._answers: deque[Answer] = deque()
        self._commands: deque[tuple[tuple[float, ...], int]] = deque()
        self._in_force = InForce(())
        #: somebody else drove in the last slot
        self.foreign = False
        #: command that the last slot answered was given, shape (A,); empty: none yet
        self.executed: tuple[float, ...] = ()

    @property
    def settled(self) -> bool:
        """The command of every slot answered so far was heard."""
        return not self._answers

    def begin(self, zero: tuple[float, ...]) -> None:
        """Begin an episode with this command in force, shape (A,)."""
        self._in_force = InForce(zero)
        self.foreign, self.executed = False, ()

    def answered(self, answer: Answer) -> None:
        """Note what was made of a slot."""
        self._answers.append(answer)
        self._compare()

    def heard(self, action: tuple[float, ...], stamp_ns: int) -> None:
        """Note a command of the gate, shape (A,), and its stamp [ns, ROS]."""
        self._commands.append((action, stamp_ns))
        self._compare()

    def _compare(self) -> None:
        while self._answers and self._commands:
            answer, (action, stamp_ns) = self._answers.popleft(), self._commands.popleft()
            repeats = (action, stamp_ns) == (self._in_force.at(answer.now_ns), answer.now_ns)
            if answer.action is None:
                self.foreign = self.foreign or not repeats
            else:
                self.foreign = (action, stamp_ns) != (answer.action, answer.stamp_ns)
            passed = answer.action is not None and not self.foreign
            if passed or not repeats or not self.executed:
                # what is only repeated is in force already, and a newer one may be on its way
                self.executed = action
            if not repeats:
                self._in_force.send(action, stamp_ns, answer.now_ns)
