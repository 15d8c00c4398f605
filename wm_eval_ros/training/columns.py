"""
Which columns of a recorded moment are what.

A row holds the numbers of the observations, then the pixels of the images, then the numbers of
the streams that no model sees. A model sees the first two; its latents decode to the first and
the last, which have names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.wire.fields import joined_names


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one interface."""

    #: names of the features that latents decode to, in order, (P,)
    names: tuple[str, ...]
    #: numbers of the observations
    numbers: int
    #: numbers of all images
    pixels: int

    @classmethod
    def of(cls, interface: Interface) -> Columns:
        """Return those of an interface."""
        first, last = joined_names(interface.observations), joined_names(interface.unseen)
        return cls(first + last, len(first), interface.pixels)

    @property
    def seen(self) -> int:
        """Length of the vector a model sees: the first columns."""
        return self.numbers + self.pixels

    def named(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the columns that have names, (..., F) to (..., P)."""
        if not self.pixels:
            return rows
        return torch.cat([rows[..., :self.numbers], rows[..., self.seen:]], -1)
