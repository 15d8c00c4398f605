"""Which imagined futures were really driven: the planner's own commands, sent without a break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.metrics.base import Bools, Ints
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.rows import happened, row_of, Rows
from wm_eval_ros.metrics.spells import FALLBACK, INTERVENTION, overlapped, spells
from wm_eval_ros.records import EpisodeEvent, Mode

_EVER = 2**63 - 1


@dataclass(frozen=True)
class Driven:
    """What became of the commands of the due slots."""

    #: fields as in ROW, by slot
    rows: Rows
    #: the slot lies between START and end of its own episode, shape (N,)
    inside: Bools
    #: number of slots that sent no command up to each, shape (N + 1,)
    silent: Ints
    #: number of slots in which somebody else drove up to each, shape (N + 1,)
    foreign: Ints

    def pairs(self, slots: Ints, steps: int) -> tuple[Bools, Bools]:
        """
        Say of each pair of a slot and the one `steps` later what lay between.

        :param slots: the earlier slots, shape (M,)
        :returns: whether every slot from the earlier one up to the later has a record, in one
            episode, and sent a command; and whether the planner's commands were in force in all
            of them, shape (M,) each
        """
        first, last = row_of(self.rows, slots), row_of(self.rows, slots + steps)
        sent = (first >= 0) & (last >= 0) & (last - first == steps)
        episode = self.rows['episode']
        if len(self.rows):
            sent &= self.inside[first] & self.inside[last] & (episode[first] == episode[last])
        sent &= self.silent[first] == self.silent[last]
        return sent, self.foreign[first] == self.foreign[last]

    def episodes(self, slots: Ints) -> Ints:
        """Return the episode of each slot; all of them have a row."""
        return np.asarray(self.rows['episode'][row_of(self.rows, slots)])


def driven(rows: Rows, events: Sequence[EpisodeEvent], episodes: tuple[Episode, ...],
           last_ns: int) -> Driven:
    """
    Look up who drove in each slot.

    Somebody else did where the slot is not labelled PLANNER, or where a fallback or an
    intervention was on during any part of its period.

    :param rows: due slots, by slot
    :param events: in order of time
    :param last_ns: end of the record [ns, ROS]
    """
    others = rows['mode'] != Mode.PLANNER
    for kinds in (FALLBACK, INTERVENTION):
        others |= overlapped(rows['stamp'], rows['stamp'] + np.maximum(rows['period'], 1),
                             spells(events, *kinds, last_ns))
    return Driven(rows, inside_episode(rows, episodes), _counted(~happened(rows['publish'])),
                  _counted(others))


def inside_episode(rows: Rows, episodes: tuple[Episode, ...]) -> Bools:
    """Say which slots started between START and end of their own episode; all without any."""
    if not episodes:
        return np.ones(len(rows), bool)
    numbers = np.array([e.number for e in episodes])
    begins = np.array([-_EVER if e.start_ns is None else e.start_ns for e in episodes])
    ends = np.array([_EVER if e.end_ns is None else e.end_ns for e in episodes])
    at = np.minimum(np.searchsorted(numbers, rows['episode']), len(numbers) - 1)
    own, stamps = numbers[at] == rows['episode'], rows['stamp']
    return np.asarray(own & (stamps >= begins[at]) & (stamps <= ends[at]))


def _counted(which: Bools) -> Ints:
    return np.concatenate([[0], np.cumsum(which)])
