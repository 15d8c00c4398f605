"""What a micro-controller's clock says of the host's, from exchanges over a serial line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.metrics.clock import FASTEST
from wm_eval_ros.metrics.rows import Rows

#: the micro-controller's clock has steps of so much [ns]
STEP_NS = 1000.0


@dataclass(frozen=True)
class Bounds:
    """
    Between what a micro-controller's clock less the host's lies, at any time of the former.

    An exchange bounds it: the question had not come before it was sent, nor the answer set out
    after it came. Away from the exchange the bounds part by FASTEST, as any two crystals may; at
    each time the tightest of all exchanges hold, before or after it.
    """

    #: taken off times and differences, so that floats hold what is left [ns]
    begin_ns: int
    offset_ns: int
    #: by the micro-controller's clock, in order, shape (N,)
    times: Floats
    #: tightest low and high bound of the exchanges up to each, shape (N,), and from each on
    before: tuple[Floats, Floats]
    after: tuple[Floats, Floats]

    @property
    def hold(self) -> bool:
        """Say whether the exchanges agree: one clock can be what all of them say."""
        low, high = self._at(self.times)
        return bool(np.all(low <= high))

    def host(self, times_ns: Ints) -> tuple[Ints, Floats]:
        """
        Return the host's times at times of the micro-controller, and how far off they may be.

        :param times_ns: shape (M,)
        :returns: [ns], shape (M,) each
        """
        low, high = self._at(np.asarray(times_ns - self.begin_ns, np.float64))
        middle = np.round((low + high) / 2.0).astype(np.int64)
        return np.asarray(times_ns - self.offset_ns - middle), (high - low) / 2.0

    def offsets(self) -> Floats:
        """Return low and high bound at each exchange [ns], shape (2, N)."""
        return np.stack(self._at(self.times)) + self.offset_ns

    def _at(self, times: Floats) -> tuple[Floats, Floats]:
        """Return low and high bound at times, shape (M,) each."""
        last = np.searchsorted(self.times, times, side='right') - 1
        earlier, later = np.maximum(last, 0), np.minimum(last + 1, len(self.times) - 1)
        drift = FASTEST * times
        (low, high), (low_on, high_on) = self.before, self.after
        # beyond the first or the last exchange only one side holds any
        none, all_ = last < 0, last + 1 >= len(self.times)
        return (np.maximum(np.where(none, -np.inf, low[earlier] - drift),
                           np.where(all_, -np.inf, low_on[later] + drift)),
                np.minimum(np.where(none, np.inf, high[earlier] + drift),
                           np.where(all_, np.inf, high_on[later] - drift)))


def bounds_of(rows: Rows) -> Bounds | None:
    """
    Return what exchanges say of the clock.

    :param rows: fields as in EXCHANGE, in any order
    :returns: None without an exchange
    """
    if len(rows) == 0:
        return None
    rows = rows[np.argsort(rows['asked'], kind='stable')]
    begin_ns, offset_ns = int(rows['asked'][0]), int(rows['asked'][0] - rows['sent'][0])
    times = (rows['asked'] - begin_ns).astype(np.float64)
    # the two bounds are of two instants of one exchange
    slack = STEP_NS + FASTEST * np.abs(rows['answered'] - rows['asked'])
    high = (rows['asked'] - rows['sent'] - offset_ns) + slack
    low = (rows['answered'] - rows['received'] - offset_ns) - slack
    drift = FASTEST * times
    return Bounds(
        begin_ns, offset_ns, times,
        (np.maximum.accumulate(low + drift), np.minimum.accumulate(high - drift)),
        (np.maximum.accumulate((low - drift)[::-1])[::-1],
         np.minimum.accumulate((high + drift)[::-1])[::-1]))
