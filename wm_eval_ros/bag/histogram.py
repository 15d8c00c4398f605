"""How many values of which size, in memory that does not grow with their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: bins from one power of two to the next: a bin is 1.1 % wide
_FINE = 64
_OCTAVES = 64
#: the same for the windows of a rate, 2.2 % wide, from about a microsecond to an hour
_COARSE = 32
_LOW_OCTAVE, _HIGH_OCTAVE = 10, 42
_WINDOWS = 16
#: a window is at least this long [ns]
_LEAST_WINDOW_NS = 1 << 30


class LogHistogram:
    """
    Counts and sums of positive whole numbers in bins of equal ratio.

    A quantile is the mean of the values in its bin: exact where these are equal, and never off by
    more than the width of the bin, 1.1 %.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts = np.zeros(_FINE * _OCTAVES, np.int64)
        self._sums = np.zeros(_FINE * _OCTAVES)

    def __len__(self) -> int:
        """Return the number of values."""
        return int(self._counts.sum())

    def add(self, values: Ints, octaves: Floats | None = None) -> None:
        """
        Take values in.

        :param values: > 0, shape (N,)
        :param octaves: their logarithms to the base 2, where they are known
        """
        if len(values) == 0:
            return
        size = values.astype(np.float64)
        bins = ((np.log2(size) if octaves is None else octaves) * _FINE).astype(np.int64)
        first = int(bins.min())
        counts = np.bincount(bins - first)
        self._counts[first:first + len(counts)] += counts
        self._sums[first:first + len(counts)] += np.bincount(bins - first, size)

    def quantile(self, share: float) -> float | None:
        """
        Return the value that a share of all do not exceed, by nearest rank; None where none is.

        >>> found = LogHistogram()
        >>> found.add(np.array([10, 10, 10, 900]))
        >>> found.quantile(0.5)
        10.0
        """
        total = len(self)
        if total == 0:
            return None
        rank = max(1, int(np.ceil(share * total)))
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        return float(self._sums[at] / self._counts[at])

    def above(self, limit: float) -> tuple[int, float]:
        """Return how many values exceed a limit, and their sum; a bin counts by its mean."""
        with np.errstate(invalid='ignore', divide='ignore'):
            over = self._sums / self._counts > limit
        return int(self._counts[over].sum()), float(self._sums[over].sum())


class Rates:
    """
    Intervals between messages by their time: at most 16 windows of equal length.

    When a message lies beyond the last window, neighbours are put together and all are twice as
    long: what comes out depends on the messages alone, not on how they were handed in.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._start_ns: int | None = None
        self._width_ns = _LEAST_WINDOW_NS
        self._counts = np.zeros((_WINDOWS, (_HIGH_OCTAVE - _LOW_OCTAVE) * _COARSE), np.int32)

    def add(self, times_ns: Ints, steps_ns: Ints, octaves: Floats) -> None:
        """
        Take intervals in.

        :param times_ns: when each ended, none before the first of all [ns], shape (N,)
        :param steps_ns: how long each was, > 0 [ns], shape (N,)
        :param octaves: its logarithm to the base 2, shape (N,)
        """
        if len(times_ns) == 0:
            return
        if self._start_ns is None:
            self._start_ns = int(times_ns[0] - steps_ns[0])
        ages = times_ns - self._start_ns
        while int(ages.max()) >= _WINDOWS * self._width_ns:
            self._widen()
        bins = ((octaves - _LOW_OCTAVE) * _COARSE).astype(np.int64)
        size = self._counts.shape[1]
        places = np.clip(bins, 0, size - 1) + size * np.maximum(ages // self._width_ns, 0)
        first = int(places.min())
        counts = np.bincount(places - first)
        self._counts.reshape(-1)[first:first + len(counts)] += counts.astype(np.int32)

    def medians(self, least: int, regular: float) -> list[tuple[float, int]]:
        """
        Return median interval and begin of the windows that have one, both [ns].

        :param least: intervals a window needs
        :param regular: a window whose 90 % quantile is over this many of its 10 % quantiles has no
            rate
        """
        found = []
        for number, counts in enumerate(self._counts):
            total = np.cumsum(counts)
            if total[-1] < least:
                continue
            low, middle, high = (int(np.searchsorted(total, q * total[-1])) for q in (.1, .5, .9))
            if high - low <= np.log2(regular) * _COARSE:
                begin = (self._start_ns or 0) + number * self._width_ns
                found.append((float(2 ** ((middle + 0.5) / _COARSE + _LOW_OCTAVE)), begin))
        return found

    def _widen(self) -> None:
        half = _WINDOWS // 2
        self._counts[:half] = self._counts[0::2] + self._counts[1::2]
        self._counts[half:] = 0
        self._width_ns *= 2
