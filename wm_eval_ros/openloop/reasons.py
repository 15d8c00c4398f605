"""Why a sample is not used."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


class Reason(IntFlag):
    """Why a sample, a grid point or a window is masked; several may hold at once."""

    #: NaN or infinite
    NOT_FINITE = 1
    #: an isolated spike far off its neighbours
    OUTLIER = 2
    #: a command that is a mark of "no command"
    SENTINEL = 4
    #: a message that repeats the value before it, of a topic whose value is new less often
    STALE_REPEAT = 8
    #: the state was silent for longer than its value holds
    STATE_SILENCE = 16
    #: it was silent for at least `loss_s`
    SENSOR_LOSS = 32
    #: the last command was older than it holds
    COMMAND_SILENCE = 64

    @property
    def label(self) -> str:
        """Name of one reason in figures, tables and findings."""
        return str(self.name).lower()


def mark(codes: Codes, where: NDArray[np.bool_] | NDArray[np.int64], reason: Reason) -> None:
    """Add a reason to the codes at some places."""
    codes[where] |= np.uint8(reason)


def among(codes: Codes, reasons: Reason) -> Codes:
    """Return the codes with only these reasons left."""
    return np.asarray(codes & np.uint8(reasons))


def counts(codes: Codes) -> dict[Reason, int]:
    """Count how many codes hold each reason; reasons that never occur are left out."""
    found = {reason: int(np.count_nonzero(among(codes, reason))) for reason in Reason}
    return {reason: count for reason, count in found.items() if count}
