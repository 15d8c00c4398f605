"""
What a perturbation is able to change: one small protocol each, found by `isinstance`.

A perturbation extends :class:`Perturbation`, and is a plug-in of the group
``wm_eval_ros.perturbations`` by the name ``kind.name``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import NameEnum

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@dataclass(kw_only=True)
class Perturbation:
    """
    What every perturbation is made with.

    One instance lives from an onset to its end, and acts on one topic where it acts on messages.
    Every further field declared by :func:`~wm_eval_ros.config.schema.setting` is a parameter of
    its own.
    """

    #: in [0, 1]; 0 changes nothing
    severity: float
    #: its only source of chance
    rng: np.random.Generator


@runtime_checkable
class ChangesValues(Protocol):
    """Changes the numbers of a stream."""

    def change_values(self, values: Floats, unit: Floats, task_ns: int) -> Floats:
        """
        Return the numbers that are passed on, shape (F,); ``values`` stays as it is.

        :param values: the true numbers, in their own units, shape (F,)
        :param unit: an ordinary change of each number, shape (F,): see :mod:`.units`
        :param task_ns: time since the episode's start [ns]
        """
        ...


@runtime_checkable
class ChangesLength(Protocol):
    """Changes how many entries the lists of a message have."""

    def change_length(self, entries: int) -> int:
        """Return how many of a list's entries are passed on."""
        ...


@runtime_checkable
class ChangesImages(Protocol):
    """Changes camera images."""

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Return the image that is passed on, of the same shape (height, width, 3), RGB."""
        ...


@runtime_checkable
class ChangesSize(Protocol):
    """Cuts the bytes of an image message as it travels."""

    def change_size(self, size: int) -> int:
        """Return how many of the image's bytes are passed on."""
        ...


@runtime_checkable
class ChangesEncoding(Protocol):
    """Changes what an image message says of its bytes."""

    def change_encoding(self, encoding: str) -> str:
        """Return the encoding that the message says."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """One of the messages that leave for one that came."""

    #: how long it is held back [ns]
    delay_ns: int = 0
    #: added to its stamp [ns]
    stamp_shift_ns: int = 0


@runtime_checkable
class ChangesDelivery(Protocol):
    """Drops, holds back, repeats or misdates messages."""

    def deliver(self, task_ns: int) -> Sequence[Copy]:
        """Return what leaves for the message of this instant; empty: it is lost."""
        ...


@runtime_checkable
class ChangesRate(Protocol):
    """Makes a sensor sample more often."""

    def samples_between(self) -> bool:
        """Say whether one more sample is taken before the next that is due."""
        ...


@runtime_checkable
class ChangesEndpoints(Protocol):
    """Keeps a topic's reader and writer apart by their quality of service."""

    def is_apart(self) -> bool:
        """Say whether they do not match."""
        ...


class Quantity(Enum):
    """What of the world a :class:`WorldChange` changes."""

    #: force on the last link, of what the actuators hold against; along `direction`
    IMPULSE = 'impulse'
    #: weight on the last link; inertia added, of the joint that feels it most
    PAYLOAD = 'payload'
    #: dry friction of the actuated joints, of their actuators' largest force
    FRICTION = 'friction'
    #: increase of the coefficients of contact friction, of themselves
    CONTACT_FRICTION = 'contact_friction'
    #: decay of the joints' free motion added [1/s]
    DAMPING = 'damping'
    #: acceleration added to gravity [9.81 m/s^2]; along `direction`
    GRAVITY = 'gravity'
    #: force lost by the actuator `which`, or by all
    ACTUATOR_GAIN = 'actuator_gain'
    #: shift of the camera, of its distance to what it looks at; along `direction` in its image
    CAMERA = 'camera'


@dataclass(frozen=True, slots=True)
class WorldChange:
    """One change of the world, in terms that every simulator can carry out."""

    quantity: Quantity
    #: how much; the unit is that of the quantity
    amount: float
    #: direction where one is needed, unit vector, shape (3,)
    direction: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: which of several (actuators), in [0, 1); -1: all of them
    which: float = -1.0


@runtime_checkable
class ChangesWorld(Protocol):
    """Changes the physics, or where the camera stands."""

    def world_change(self) -> WorldChange:
        """Return the change that holds from onset to end."""
        ...


@runtime_checkable
class ChangesPlanning(Protocol):
    """Disturbs the planner's computation, inside its own process."""

    def disturb_plan(self, task_ns: int) -> int:
        """
        Return how much longer this decision takes [ns].

        :raises PlanningFault: the planner is to fail in this slot
        """
        ...


class PlanningFault(Exception):
    """Raised in place of the planner's own exception."""


class ProcessFault(NameEnum):
    """What is done to a process from outside."""

    #: SIGKILL at the onset, started anew at the end
    KILL = 'kill'
    #: SIGSTOP at the onset, SIGCONT at the end
    STOP = 'stop'
    #: SIGKILL of the recorder, a moment after the onset
    RECORDER_KILL = 'recorder_kill'
    #: the recorder's files cannot grow beyond a limit from the onset to the end
    DISK_FULL = 'disk_full'
    #: another process publishes commands from the onset to the end; its parameters are those of
    #: the perturbation
    SECOND_PUBLISHER = 'second_publisher'


@runtime_checkable
class ChangesProcesses(Protocol):
    """Is carried out on processes, by whoever started them."""

    @classmethod
    def process_fault(cls) -> ProcessFault:
        """Return what is done."""
        ...


@runtime_checkable
class HasDuration(Protocol):
    """Has a duration of its own, which holds where the schedule says none."""

    def lasts_s(self) -> float:
        """Return how long it lasts [s]."""
        ...


#: every ability
ABILITIES: tuple[Any, ...] = (
    ChangesValues, ChangesLength, ChangesImages, ChangesSize, ChangesEncoding, ChangesDelivery,
    ChangesRate, ChangesEndpoints, ChangesWorld, ChangesPlanning, ChangesProcesses)
