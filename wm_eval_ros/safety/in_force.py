"""The command in force at a slot in lockstep, where the world waits for one answer a slot."""

from __future__ import annotations


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

    def at(self, now_ns: int) -> tuple[float, ...]:
        """Return the command in force, shape (A,); time never runs back."""
        if self._next is not None and self._next[0] <= now_ns:
            self._action = self._next[1]
            self._next = None
        return self._action
