"""How far two hosts' system clocks are apart, from four-stamp exchanges."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints, missing, NS_PER_MS, Values
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.records import Interval, MetricValue

#: share of the exchanges, those with the smallest round trips, that the offset is taken from
BEST = 0.05
_METHOD = 'half a round trip'


@dataclass(frozen=True)
class Offset:
    """A device's system clock less the host's."""

    #: [ns]
    offset_ns: float
    #: the offset is no further off than this, whatever part of a round trip each way takes [ns]
    uncertainty_ns: float
    #: smallest round trip [ns]
    round_trip_ns: float
    n: int


def round_trips(rows: Rows) -> Floats:
    """Return what each exchange took but for the device's own time [ns], shape (N,)."""
    taken = (rows['received'] - rows['sent']) - (rows['answered'] - rows['asked'])
    return np.asarray(taken, np.float64)


def offsets(rows: Rows) -> Floats:
    """
    Return what each exchange says of the device's clock less the host's [ns], shape (N,).

    ((t2 - t1) + (t3 - t4)) / 2 of RFC 5905: exact where both ways take equally long.
    """
    out: Ints = rows['asked'] - rows['sent']
    back: Ints = rows['answered'] - rows['received']
    return (out + back) / 2.0


def offset_of(rows: Rows) -> Offset | None:
    """
    Return the offset of a device's clock: the median over the exchanges with the least delay.

    What one exchange says is off by half its round trip at most, and so the median by half the
    largest round trip among those that it is taken over.

    Exchanges whose round trip is not positive are of a clock that was set meanwhile, and left out.

    :returns: None without an exchange
    """
    taken = round_trips(rows)
    rows, taken = rows[taken > 0], taken[taken > 0]
    if len(rows) == 0:
        return None
    best = np.argsort(taken, kind='stable')[:max(1, math.ceil(BEST * len(taken)))]
    return Offset(float(np.median(offsets(rows[best]))), float(taken[best[-1]]) / 2.0,
                  float(taken[best[0]]), len(rows))


def clock_values(server: str, found: Offset | None, exchanges: int) -> Values:
    """Return the offset with its uncertainty, and the smallest round trip."""
    name, trip = f'clock_offset[{server}]', f'clock_round_trip[{server}].min'
    if found is None:
        why = 'no exchange of stamps took a positive time: a clock was set meanwhile'
        return missing(name, 'ms', why, exchanges), missing(trip, 'ms', why, exchanges)
    value, half = found.offset_ns / NS_PER_MS, found.uncertainty_ns / NS_PER_MS
    return (MetricValue(name, value, 'ms', found.n,
                        Interval(value - half, value + half, 1.0, _METHOD)),
            MetricValue(trip, found.round_trip_ns / NS_PER_MS, 'ms', found.n,
                        why='the smallest seen'))
