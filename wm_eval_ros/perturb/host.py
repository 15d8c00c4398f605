"""What the place that perturbations act in can do: its channels and abilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from wm_eval_ros.perturb.protocol import Floats


class Role(Enum):
    """What a channel carries."""

    OBSERVATION = 'observation'
    CAMERA = 'camera'
    COMMAND = 'command'


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic that messages can be perturbed on."""

    topic: str
    role: Role
    #: an ordinary change of each number, shape (F,); empty: no numbers
    unit: Floats = field(default_factory=lambda: np.zeros(0))
    #: why messages cannot be dropped, held back or made unreadable here; empty: they can
    in_step: str = ''
    #: whether its numbers stand in lists, which can be too short
    lists: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """The channels, and what cannot be done here."""

    channels: tuple[Channel, ...]
    #: ability, of :mod:`.protocol` -> why the host has it not
    lacks: Mapping[Any, str] = field(default_factory=dict)
