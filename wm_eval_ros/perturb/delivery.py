"""Faults of the delivery of messages and of their stamps (``timing.*``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Copy, Perturbation

_AS_IT_IS = (Copy(),)
_NS = 1e9


@dataclass(kw_only=True)
class Drop(Perturbation):
    """Each message is lost with probability s."""

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Lose some."""
        return () if self.rng.random() < self.severity else _AS_IT_IS


@dataclass(kw_only=True)
class BurstLoss(Perturbation):
    """All is lost for ``s * length`` from the onset on, and again after pauses that are drawn."""

    length: float = setting(0.5, doc='length of a burst at severity 1', unit='s', low=0.001,
                            high=100.0)
    pause: float = setting(0.5, doc='mean time between two bursts', unit='s', low=0.001,
                           high=100.0)
    _next_ns: int | None = field(default=None, init=False)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Lose bursts."""
        lasts_ns = round(self.severity * self.length * _NS)
        if self._next_ns is None:
            self._next_ns = task_ns
        while task_ns >= self._next_ns + lasts_ns:
            # never zero: a burst of no length would begin for ever
            pause_ns = max(1, round(self.rng.exponential(self.pause) * _NS))
            self._next_ns += lasts_ns + pause_ns
        return () if task_ns >= self._next_ns else _AS_IT_IS


@dataclass(kw_only=True)
class HalfRate(Perturbation):
    """The rate falls by ``s / 2``: at severity 1 every second message is missing."""

    _owed: float = field(default=0.0, init=False)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Lose messages evenly."""
        self._owed += self.severity / 2.0
        if self._owed < 1.0:
            return _AS_IT_IS
        self._owed -= 1.0
        return ()


@dataclass(kw_only=True)
class DoubleRate(Perturbation):
    """The sensor samples ``1 + s`` times as often: at severity 1 twice."""

    _owed: float = field(default=0.0, init=False)

    def samples_between(self) -> bool:
        """Insert samples evenly."""
        self._owed += self.severity
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True


@dataclass(kw_only=True)
class QosMismatch(Perturbation):
    """The actuators ask for a quality of service that nobody offers, for ``s * lasts``."""

    lasts: float = setting(1.0, doc='duration at severity 1, where the schedule says none',
                           unit='s', low=0.001, high=1000.0)

    def lasts_s(self) -> float:
        """Return its own duration [s]."""
        return self.severity * self.lasts

    def is_apart(self) -> bool:
        """Say whether it changes anything."""
        return self.severity > 0.0


@dataclass(kw_only=True)
class Delay(Perturbation):
    """Every message is ``s * longest`` late."""

    longest: float = setting(0.2, doc='delay at severity 1', unit='s', low=0.001, high=100.0)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Hold back."""
        return (Copy(round(self.severity * self.longest * _NS)),)


@dataclass(kw_only=True)
class Jitter(Perturbation):
    """Every message is late by a time drawn anew from 0 to ``s * longest``."""

    longest: float = setting(0.2, doc='longest delay at severity 1', unit='s', low=0.001,
                             high=100.0)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Hold back."""
        return (Copy(round(self.rng.random() * self.severity * self.longest * _NS)),)


@dataclass(kw_only=True)
class Duplicate(Perturbation):
    """A message comes again, ``after`` later, with probability s: at 1 the rate doubles."""

    after: float = setting(0.02, doc='time from the first to the second', unit='s', low=0.0,
                           high=100.0)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Repeat some."""
        again = self.rng.random() < self.severity
        return (Copy(), Copy(round(self.after * _NS))) if again else _AS_IT_IS


@dataclass(kw_only=True)
class Reorder(Perturbation):
    """A message is overtaken by those of the next ``by``, with probability s."""

    by: float = setting(0.05, doc='how long a message that is overtaken is held back', unit='s',
                        low=0.001, high=100.0)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Hold some back."""
        held = self.rng.random() < self.severity
        return (Copy(round(self.by * _NS)),) if held else _AS_IT_IS


@dataclass(kw_only=True)
class StaleStamp(Perturbation):
    """Messages say that they are ``s * age`` older than they are."""

    age: float = setting(1.0, doc='age added at severity 1', unit='s', low=0.001, high=1000.0)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Date back."""
        return (Copy(0, -round(self.severity * self.age * _NS)),)


@dataclass(kw_only=True)
class ClockJump(Perturbation):
    """The sender's clock jumps ahead by ``s * jump`` at the onset, and back at the end."""

    jump: float = setting(2.0, doc='jump at severity 1', unit='s', low=0.001, high=1e6)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Date ahead."""
        return (Copy(0, round(self.severity * self.jump * _NS)),)


@dataclass(kw_only=True)
class ClockStop(Perturbation):
    """The sender's clock runs at ``1 - s`` of its speed; at 1 it stands still."""

    _begin_ns: int | None = field(default=None, init=False)

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Date by the slow clock."""
        if self._begin_ns is None:
            self._begin_ns = task_ns
        return (Copy(0, -round(self.severity * (task_ns - self._begin_ns))),)
