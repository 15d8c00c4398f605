"""Perturbations as they were really applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.spells import PERTURBATION, Spell, spells
from wm_eval_ros.records import EpisodeEvent, EventKind

#: first part of a label: a change that should not matter, and is no anomaly
NUISANCE = 'nuisance'
#: kind of a label without a first part
OTHER = 'other'
_UNNAMED = 'unnamed'
_ON = EventKind.PERTURB_ON


@dataclass(frozen=True, slots=True)
class Applied:
    """One perturbation in one episode."""

    episode: int
    label: str
    #: value of the ON event; of several ONs in one spell the first
    severity: float
    #: [ns, ROS]; ended by its OFF, by the episode's end, or by the end of the record
    begin_ns: int
    end_ns: int

    @property
    def kind(self) -> str:
        """
        Return what is perturbed: the part of the label before its first dot.

        `physical` (body or world), `visual` (cameras), `sensor`, `command`, `timing`, `nuisance`;
        `other` where the label has none.
        """
        head, dot, _ = self.label.partition('.')
        return head if dot and head else OTHER


def applied(events: Sequence[EpisodeEvent], episodes: Sequence[Episode],
            last_ns: int) -> dict[int, tuple[Applied, ...]]:
    """
    Return the perturbations of each episode that had any, in order of time.

    An ON outside its episode perturbed nothing that counts.

    :param events: in order of time
    :param last_ns: end of the record, for an episode that is still open [ns, ROS]
    """
    own: dict[int, dict[str, list[EpisodeEvent]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event.kind in PERTURBATION:
            own[event.episode][event.label or _UNNAMED].append(event)
    found = {e.number: _of_episode(e, own[e.number], last_ns)
             for e in episodes if e.number in own}
    return {number: done for number, done in found.items() if done}


def _of_episode(episode: Episode, labels: dict[str, list[EpisodeEvent]],
                last_ns: int) -> tuple[Applied, ...]:
    end_ns = last_ns if episode.end_ns is None else episode.end_ns
    done = []
    for label, events in labels.items():
        inside = [e for e in events if episode.holds(e.stamp_ns)]
        severity = {e.stamp_ns: e.value for e in reversed(inside) if e.kind == _ON}
        done += [Applied(episode.number, label, severity[begin], begin, end)
                 for begin, end in spells(inside, *PERTURBATION, end_ns)]
    return tuple(sorted(done, key=lambda a: (a.begin_ns, a.label)))


def windows(done: Sequence[Applied]) -> list[Spell]:
    """Return the spells in which any of the perturbations was on, apart and in order."""
    found: list[Spell] = []
    for each in sorted((a.begin_ns, a.end_ns) for a in done):
        if found and each[0] <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], each[1]))
        else:
            found.append(each)
    return found
