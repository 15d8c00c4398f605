"""Errors of forecasts by the slot they were made for, in 8 bytes a pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.metrics.base import Floats, Ints

Singles = NDArray[np.float32]

#: slots kept in one array
_BLOCK = 256
#: error of the model, error of persistence
_KINDS = 2


class ErrorTable:
    """
    Two errors for each slot and number of steps; NaN where there is none.

    An error that is no number is kept as infinite. Single precision: the latents have no more.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, Singles] = {}
        #: most steps of any error
        self.steps = 0

    def put(self, slots: Ints, steps: int, model: Floats, persistence: Floats) -> None:
        """
        Set errors of forecasts of that many steps.

        :param slots: the slots they were made for, shape (M,)
        :param model: shape (M,)
        :param persistence: shape (M,)
        """
        self.steps = max(self.steps, steps)
        with np.errstate(over='ignore'):
            errors = _told(np.stack([model, persistence], axis=1)).astype(np.float32)
        numbers = slots // _BLOCK
        for number in np.unique(numbers).tolist():
            own = numbers == number
            self._block(number, steps)[slots[own] % _BLOCK, steps - 1] = errors[own]

    def clear(self, slot: int) -> None:
        """Forget the errors of forecasts for a slot, and of those made in it."""
        for steps in range(self.steps + 1):
            block = self._blocks.get((slot + steps) // _BLOCK)
            if block is None:
                continue
            row = block[(slot + steps) % _BLOCK]
            row[slice(None) if steps == 0 else slice(steps - 1, steps)] = np.nan

    def at(self, steps: int) -> tuple[Ints, Floats]:
        """
        Return all errors at a number of steps.

        :returns: slots in which the forecasts were made, ascending, shape (M,); error of the
            model and of persistence, shape (2, M)
        """
        slots, errors = [np.zeros(0, np.int64)], [np.zeros((0, _KINDS))]
        for number in sorted(self._blocks):
            block = self._blocks[number]
            if block.shape[1] >= steps:
                rows = np.flatnonzero(~np.isnan(block[:, steps - 1, 0]))
                slots.append(number * _BLOCK + rows - steps)
                errors.append(block[rows, steps - 1].astype(float))
        return np.concatenate(slots), np.concatenate(errors).T

    def _block(self, number: int, width: int) -> Singles:
        block = self._blocks.get(number)
        if block is None or block.shape[1] < width:
            wider = np.full((_BLOCK, self.steps, _KINDS), np.nan, np.float32)
            if block is not None:
                wider[:, :block.shape[1]] = block
            self._blocks[number] = block = wider
        return block


def _told(errors: Floats) -> Floats:
    return np.where(np.isnan(errors), np.inf, errors)
