"""Shadow mode: how far proposals agree with what drove, and who would have stepped in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.metrics.base import Bools, count_value, Floats, Ints, Values
from wm_eval_ros.metrics.dependence import share_of_slots, slot_distribution
from wm_eval_ros.metrics.rows import pack_row, ROW, Rows
from wm_eval_ros.metrics.spells import FALLBACK, overlapped, spells
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, NEVER_NS

#: a field agrees up to this share of its range
TOLERANCE = 0.1
#: a command older than this many periods drives no more
STALE_PERIODS = 2
_NONE = 'no slot with a proposal while somebody drove'


@dataclass(frozen=True)
class Driving:
    """The commands that really drove, in order of their arrival."""

    #: arrival at the recorder [ns, system], ascending, shape (N,)
    logs: Ints
    #: in the command's units, shape (N, A)
    actions: Floats
    #: names and limits of the fields, shape (A,)
    fields: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, times: Ints, longest: Ints) -> Floats:
        """
        Return the command in force at some times, shape (M, A); NaN where nobody drove.

        :param times: [ns, system], shape (M,)
        :param longest: how long a command stays in force [ns], shape (M,)
        """
        found = np.full((len(times), len(self.fields)), np.nan)
        if len(self.logs):
            last = np.searchsorted(self.logs, times, side='right') - 1
            held = (last >= 0) & (times - self.logs[last] <= longest)
            found[held] = self.actions[last[held]]
        return found


def shadow(cycles: Sequence[CycleRecord], events: Sequence[EpisodeEvent],
           driving: Driving) -> Values:
    """
    Compare every proposal with the command that was in force when it was sent.

    :param cycles: slots of one run, in any order
    :param events: in order of time
    """
    sent = sorted((c for c in cycles if c.publish_system_ns != NEVER_NS
                   and c.status is not CycleStatus.WARMUP
                   and len(c.action) == len(driving.fields)), key=lambda c: (c.slot, c.stamp_ns))
    rows = np.frombuffer(b''.join(map(pack_row, sent)), ROW)
    actions = np.array([c.action for c in sent], float).reshape(len(sent), len(driving.fields))
    difference = np.abs(actions - driving.at(rows['publish_system'],
                                             STALE_PERIODS * rows['period']))
    driven = ~np.isnan(difference).any(axis=1)
    reach = TOLERANCE * (np.array(driving.high) - np.array(driving.low))
    near = (difference <= reach).all(axis=1)
    taken = _fallback(rows, events)
    return (
        share_of_slots('shadow_agreement', near[driven], rows[driven], _NONE),
        *(v for index, field in enumerate(driving.fields)
          for v in slot_distribution(f'shadow_difference[{field}]', '', difference[:, index], rows,
                                     _NONE)),
        share_of_slots('shadow_fallback', taken, rows, 'no slot with a proposal'),
        count_value('shadow_fallbacks', sum(e.kind is FALLBACK[0] for e in events), len(sent)),
        count_value('shadow_undriven', int(np.sum(~driven)), len(sent)))


def _fallback(rows: Rows, events: Sequence[EpisodeEvent]) -> Bools:
    """Say in which slots the supervisor would have commanded in the planner's place."""
    last_ns = max([0, *rows['stamp'].tolist(), *(e.stamp_ns for e in events)])
    return overlapped(rows['stamp'], rows['stamp'] + rows['period'],
                      spells(events, *FALLBACK, last_ns))
