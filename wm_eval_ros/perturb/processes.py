"""Faults of processes, carried out by whoever started them (``timing.planner_*`` and others)."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Floats, Perturbation, ProcessFault


@dataclass(kw_only=True)
class _Outage(Perturbation):
    """A process is down for ``s * down``."""

    down: float = setting(1.0, doc='how long it is down at severity 1', unit='s', low=0.001,
                          high=1000.0)

    def lasts_s(self) -> float:
        """Return its own duration [s]."""
        return self.severity * self.down


@dataclass(kw_only=True)
class PlannerKill(_Outage):
    """The planner is killed by SIGKILL at the onset, and started anew ``s * down`` later."""

    down: float = setting(2.0, doc='time until it is started again at severity 1', unit='s',
                          low=0.001, high=1000.0)

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        return ProcessFault.KILL


@dataclass(kw_only=True)
class PlannerStop(_Outage):
    """The planner is stopped by SIGSTOP at the onset, and goes on ``s * down`` later."""

    down: float = setting(1.0, doc='how long it stands at severity 1', unit='s', low=0.001,
                          high=1000.0)

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        return ProcessFault.STOP


@dataclass(kw_only=True)
class RecorderKill(Perturbation):
    """The recorder is killed by SIGKILL, ``1.5 - s`` seconds after the onset; the run ends."""

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        return ProcessFault.RECORDER_KILL

    @classmethod
    def after_s(cls, severity: float) -> float:
        """Return how long after the onset it dies [s]: at 1, once the onset is in the bag."""
        return 1.5 - severity


@dataclass(kw_only=True)
class DiskFull(Perturbation):
    """The recorder's disk takes ``1.0625 - s`` MiB more; then writes fail, and the run ends."""

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        return ProcessFault.DISK_FULL

    @classmethod
    def room(cls, severity: float) -> int:
        """Return by how much a file can still grow [bytes]."""
        return round((1.0625 - severity) * 2**20)


@dataclass(kw_only=True)
class SecondPublisher(Perturbation):
    """Another process publishes random commands, at ``s * rate``, where the planner proposes."""

    rate: float = setting(100.0, doc='rate of its commands at severity 1', unit='Hz', low=0.1,
                          high=1000.0)
    actuator: float = setting(
        0.0, doc="above 0: on the actuators' topic, behind the supervisor; 0: on the proposals'",
        low=0.0, high=1.0)

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        return ProcessFault.SECOND_PUBLISHER

    @property
    def hz(self) -> float:
        """Rate of its commands [Hz]."""
        return max(self.severity, 1e-3) * self.rate

    @property
    def on_actuators(self) -> bool:
        """Whether it publishes where the supervisor does."""
        return self.actuator > 0.0

    def command(self, low: Floats, high: Floats) -> Floats:
        """Draw a command, uniform between its limits, shape (A,)."""
        return self.rng.uniform(low, high)
