"""A figure, its interval, and what is missing of either."""

from __future__ import annotations

from typing import NamedTuple


class Estimate(NamedTuple):
    """A figure and its interval; None where the data does not say, with the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    #: why there is no figure, no interval, or what to hold against it
    why: str = ''
