"""The planner's schedule: which slot is due, and which were missed while it was busy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the schedule."""

    number: int
    #: [ns], on the clock the schedule was anchored on
    due_ns: int


class Schedule:
    """
    Slots due at ``t0 + k T`` while it runs; numbers are never used twice.

    A pause (no episode) consumes no numbers; after it the grid is anchored anew.
    """

    def __init__(self, period_ns: int, first: int = 0) -> None:
        """
        Make a schedule that has not begun.

        :param first: number of the first slot
        """
        self._period_ns = period_ns
        self._number = first
        self._due_ns: int | None = None

    def anchor(self, t0_ns: int) -> None:
        """Begin, or go on after a pause: the next slot is due at t0."""
        self._due_ns = t0_ns

    def pause(self) -> None:
        """Stop the grid."""
        self._due_ns = None

    def next_due_ns(self) -> int:
        """Return when the next slot is due."""
        if self._due_ns is None:
            raise RuntimeError('the schedule is not anchored')
        return self._due_ns

    def take(self, now_ns: int) -> tuple[list[Slot], Slot]:
        """
        Take the slot to work on now.

        :param now_ns: at or after `next_due_ns`
        :returns: the slots whose whole period has passed (skipped), and the current one
        """
        skipped = list(self._passed(now_ns))
        return skipped, self._pop()

    def _passed(self, now_ns: int) -> Iterator[Slot]:
        while self.next_due_ns() + self._period_ns <= now_ns:
            yield self._pop()

    def _pop(self) -> Slot:
        slot = Slot(self._number, self.next_due_ns())
        self._number += 1
        self._due_ns = slot.due_ns + self._period_ns
        return slot
