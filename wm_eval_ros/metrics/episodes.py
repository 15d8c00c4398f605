"""Episodes put together from their events, whatever the order these arrived in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
import math

from wm_eval_ros.records import EpisodeEvent, EventKind, SOLVED_AT_START, TERMINAL


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode as its START and its first terminal event tell it."""

    number: int
    #: [ns, ROS]; None where no START was recorded
    start_ns: int | None
    #: [ns, ROS]; None where it was still open when the record ended
    end_ns: int | None
    #: None while open
    outcome: EventKind | None
    seed: int | None
    #: the start already met the success predicate
    solved_at_start: bool
    #: task time from START to the end [s]; None while open or unknown
    time_s: float | None
    #: reason given with the end
    label: str = ''

    def holds(self, stamp_ns: int) -> bool:
        """Say whether an instant lies between START and end, both included [ns, ROS]."""
        return ((self.start_ns is None or self.start_ns <= stamp_ns)
                and (self.end_ns is None or stamp_ns <= self.end_ns))


def order(event: EpisodeEvent) -> tuple[int, int, int, str, str, str]:
    """Sort key of events: time first, and never the order of arrival."""
    return (event.stamp_ns, event.episode, int(event.kind), event.label, event.source,
            repr(event.value))


def _task_time(end: EpisodeEvent, start_ns: int | None) -> float | None:
    if math.isfinite(end.value) and end.value > 0:
        return end.value
    return None if start_ns is None else max(0, end.stamp_ns - start_ns) / 1e9


def _episode(number: int, events: list[EpisodeEvent]) -> Episode | None:
    start = next((e for e in events if e.kind == EventKind.START), None)
    end = next((e for e in events if e.kind in TERMINAL), None)
    if start is None and end is None:
        return None
    start_ns = start.stamp_ns if start else None
    return Episode(
        number, start_ns, end.stamp_ns if end else None, end.kind if end else None,
        int(start.value) if start and math.isfinite(start.value) else None,
        bool(start and start.label == SOLVED_AT_START),
        _task_time(end, start_ns) if end else None, end.label if end else '')


def episodes(events: Iterable[EpisodeEvent]) -> tuple[Episode, ...]:
    """
    Group events into episodes, by number.

    A second START or a second end of an episode changes nothing: the first in time stands.
    """
    groups: dict[int, list[EpisodeEvent]] = defaultdict(list)
    for event in sorted(events, key=order):
        groups[event.episode].append(event)
    found = (_episode(number, groups[number]) for number in sorted(groups))
    return tuple(episode for episode in found if episode is not None)


def window(found: tuple[Episode, ...]) -> tuple[int | None, int | None]:
    """
    Return the span in which slots count as due [ns, ROS]; None: unbounded on that side.

    From the first START to the last end of an episode; to the end of the record while an
    episode is still open.
    """
    starts = [e.start_ns for e in found if e.start_ns is not None]
    ends = [e.end_ns for e in found]
    last = None if None in ends else max((e for e in ends if e is not None), default=None)
    return min(starts, default=None), last
