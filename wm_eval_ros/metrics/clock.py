"""How far two hosts' system clocks are apart, from four-stamp exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
import math

import numpy as np

from wm_eval_ros.metrics.base import Floats, Ints, missing, NS_PER_MS, Values
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.records import Interval, MetricValue, NEVER_NS

#: share of the exchanges, those with the smallest round trips, that the offset is taken from
BEST = 0.05
#: a pause after which further exchanges are another burst [ns]
BURST_NS = 10**9
#: most that two clocks part from each other [s a second]: Linux slews one by half of it
FASTEST = 1e-3
#: bursts are followed whose least round trip is within this many of the smallest
_CLEAR = 2.0
#: what reading the clocks adds to the limits of an exchange [ns]
_GRAIN_NS = 1000.0
_METHOD = 'half a round trip'


@dataclass(frozen=True)
class Offset:
    """A device's system clock less the host's."""

    #: of a clock that moved that amid the run [ns]
    offset_ns: float
    #: the offset is no further off than this, whatever part of a round trip each way takes [ns]
    uncertainty_ns: float
    #: smallest round trip [ns]
    round_trip_ns: float
    n: int
    #: (host's system time [ns], offset then [ns]) of a clock that provably moved, in order; empty:
    #: one offset explains every exchange
    moved: tuple[tuple[int, float], ...] = ()
    #: a clock was set meanwhile, by about this [ns]: no offset holds
    set_ns: float = 0.0

    def at(self, times_ns: Ints) -> Floats:
        """
        Return the offset at times of the host's system clock [ns], shape (N,).

        A clock that moved is taken to have done so evenly from burst to burst, and on beyond them.
        """
        if len(self.moved) < 2:
            return np.full(len(times_ns), self.offset_ns)
        knots, values = np.array([t for t, _ in self.moved]), np.array([o for _, o in self.moved])
        first = np.clip(np.searchsorted(knots, times_ns) - 1, 0, len(knots) - 2)
        share = (times_ns - knots[first]) / (knots[first + 1] - knots[first])
        return np.asarray(values[first] + share * (values[first + 1] - values[first]))


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

    Where that is not one offset, the clock drifts: it is followed from burst to burst, each by its
    quickest exchange. Where no drift does that, a clock was set.

    Exchanges whose round trip is not positive are of a clock that was set meanwhile, and left out.

    :param rows: by time
    :returns: None without an exchange
    """
    taken = round_trips(rows)
    rows, taken = rows[taken > 0], taken[taken > 0]
    if len(rows) == 0:
        return None
    best = np.argsort(taken, kind='stable')[:max(1, math.ceil(BEST * len(taken)))]
    found = Offset(float(np.median(offsets(rows[best]))), float(taken[best[-1]]) / 2.0,
                   float(taken[best[0]]), len(rows))
    if _apart(rows, taken) <= _GRAIN_NS:
        return found
    return _followed(found, rows, taken)


def _apart(rows: Rows, taken: Floats) -> float:
    """Return how far the exchanges are from agreeing on one offset; not above 0: they do [ns]."""
    said = offsets(rows)
    return float(np.max(said - taken / 2.0) - np.min(said + taken / 2.0))


def _followed(found: Offset, rows: Rows, taken: Floats) -> Offset:
    """Return the offset of a clock that moved, burst by burst."""
    bursts = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows['sent']) > BURST_NS) + 1)
    for burst in bursts:
        apart = _apart(rows[burst], taken[burst])
        if apart > _GRAIN_NS + FASTEST * float(np.ptp(rows['sent'][burst])):
            return replace(found, set_ns=apart)
    quickest = np.array([burst[np.argmin(taken[burst])] for burst in bursts])
    quickest = quickest[taken[quickest] <= _CLEAR * found.round_trip_ns]
    times, said, half = rows['sent'][quickest], offsets(rows[quickest]), taken[quickest] / 2.0
    steps, reach = np.abs(np.diff(said)), half[1:] + half[:-1] + _GRAIN_NS
    jumped = steps - reach > FASTEST * np.diff(times)
    if np.any(jumped):
        return replace(found, set_ns=float(np.max(steps[jumped])))
    if len(quickest) < 2:
        # one burst that drifted within itself, or others too slow to say by how much
        return replace(found, uncertainty_ns=found.uncertainty_ns + _apart(rows, taken))
    middle = float(said.min() + said.max()) / 2.0
    return replace(found, offset_ns=middle, uncertainty_ns=float(half.max()),
                   moved=tuple(zip(times.tolist(), said.tolist(), strict=True)))


def best_of(exchanges: Mapping[str, Rows]) -> Offset | None:
    """Return the offset of the device: of several nodes that answered the one known best."""
    found = [o for rows in exchanges.values() if (o := offset_of(rows)) is not None]
    return min(found, key=lambda o: o.uncertainty_ns, default=None)


def in_host_time(slots: Rows, exchanges: Mapping[str, Rows]) -> Rows:
    """
    Return the slots of a device with its system times as the host's clock would have told them.

    So they stand beside the stamps of samples and events, which are the host's. A clock that is
    not shown to be off, or that was set meanwhile, is taken as it is. The stamps of commands stay:
    they are names by which messages are joined.

    :param slots: fields as in ROW
    """
    clock = best_of(exchanges)
    if clock is None or clock.set_ns or (
            not clock.moved and abs(clock.offset_ns) <= clock.uncertainty_ns):
        return slots
    told = slots.copy()
    for name in ('stamp', 'publish_system'):
        on = told[name] != NEVER_NS
        told[name][on] -= np.round(clock.at(told[name][on])).astype(np.int64)
    return np.asarray(told)


def clock_values(server: str, found: Offset | None, exchanges: int) -> Values:
    """Return the offset with its uncertainty, and the smallest round trip."""
    name, trip = f'clock_offset[{server}]', f'clock_round_trip[{server}].min'
    if found is None:
        why = 'no exchange of stamps took a positive time: a clock was set meanwhile'
        return missing(name, 'ms', why, exchanges), missing(trip, 'ms', why, exchanges)
    quickest = MetricValue(trip, found.round_trip_ns / NS_PER_MS, 'ms', found.n,
                           why='the smallest seen')
    if found.set_ns:
        return missing(name, 'ms', was_set(found), found.n), quickest
    value, half = found.offset_ns / NS_PER_MS, found.uncertainty_ns / NS_PER_MS
    said = [o / NS_PER_MS for _, o in found.moved] or [value]
    method = _METHOD if not found.moved else (
        f'{_METHOD}, and it moved by {said[-1] - said[0]:+.3g} ms meanwhile')
    return (MetricValue(name, value, 'ms', found.n,
                        Interval(min(said) - half, max(said) + half, 1.0, method)),
            quickest)


def was_set(found: Offset) -> str:
    """Say that a clock was set, and by how much."""
    return f'a clock was set meanwhile, by about {found.set_ns / NS_PER_MS:.3g} ms'
