"""Spells of time between an ON and an OFF event."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wm_eval_ros.metrics.base import Bools, Ints
from wm_eval_ros.records import EpisodeEvent, EventKind, TERMINAL

#: begin and end [ns, ROS]
Spell = tuple[int, int]

FALLBACK = (EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF)
DEGRADED = (EventKind.DEGRADED_ON, EventKind.DEGRADED_OFF)
STOPPED = (EventKind.STOPPED_ON, EventKind.STOPPED_OFF)
INTERVENTION = (EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF)
PERTURBATION = (EventKind.PERTURB_ON, EventKind.PERTURB_OFF)


def spells(events: Sequence[EpisodeEvent], on: EventKind, off: EventKind,
           end_ns: int) -> list[Spell]:
    """
    Return begin and end [ns, ROS] of each spell, in order.

    A second ON within a spell does not begin another; a spell still on ends with the record.
    What hears of an episode's end a moment late may stamp an ON behind it, and the OFF that
    follows with the end itself. By stamps that OFF comes first and finds nothing on: it ends the
    next spell of its episode where that begins, which would else reach into the next episode.

    :param events: in order of time, with the ends of the episodes
    :param end_ns: end of the record
    """
    found: list[Spell] = []
    begin: int | None = None
    over: set[int] = set()
    ahead: set[int] = set()
    for event in events:
        if event.kind in TERMINAL:
            over.add(event.episode)
        elif event.kind == on and begin is None:
            if event.episode in ahead:
                ahead.remove(event.episode)
                found.append((event.stamp_ns, event.stamp_ns))
            else:
                begin = event.stamp_ns
        elif event.kind == off and begin is not None:
            found.append((begin, event.stamp_ns))
            begin = None
        elif event.kind == off and event.episode in over:
            ahead.add(event.episode)
    return found if begin is None else [*found, (begin, max(begin, end_ns))]


def overlapped(begins: Ints, ends: Ints, found: Sequence[Spell]) -> Bools:
    """
    Say which half-open intervals share time with a spell.

    :param begins: shape (N,)
    :param ends: shape (N,)
    :param found: apart from each other, in order

    >>> overlapped(np.array([0, 10, 20]), np.array([10, 20, 30]), [(12, 20)]).tolist()
    [False, True, False]
    """
    if not found:
        return np.zeros(len(begins), bool)
    on, off = np.array(found, np.int64).T
    last = np.searchsorted(on, ends) - 1
    return np.asarray((last >= 0) & (off[last] > begins))
