"""Which slots of a run are worth training on again: one candidate a slot and reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.spells import Spell, spells
from wm_eval_ros.records import CycleRecord, EpisodeEvent, EventKind, NameEnum, NEVER_NS
from wm_eval_ros.training.trajectory import Trajectory


class Reason(NameEnum):
    """Why a slot is a hard case; in this order the reasons take their turns."""

    #: the detectors' joint score
    SURPRISE = 'surprise'
    #: mean squared error of the imagined next latent where the planner drove
    PREDICTION_ERROR = 'prediction_error'
    #: somebody else drove: 1 in the first slot of the spell, then 1/2, 1/3, ...
    HAND_OVER = 'hand_over'
    #: the episode ended in FAILURE or TIMEOUT: 1 at its end, down to 0 at its start
    FAILURE = 'failure'
    #: share of the deadline that the decision took, from `near` on
    DEADLINE = 'deadline'
    #: largest executed command in half ranges, from `near` on
    LIMIT = 'limit'
    #: the gate refused the command of this slot
    REFUSED = 'refused'


#: spells in which not the planner's newest command was in force
HAND_OVERS = (
    (EventKind.DEGRADED_ON, EventKind.DEGRADED_OFF),
    (EventKind.FALLBACK_ON, EventKind.FALLBACK_OFF),
    (EventKind.STOPPED_ON, EventKind.STOPPED_OFF),
    (EventKind.INTERVENTION_ON, EventKind.INTERVENTION_OFF))
#: outcomes in which the task was not done
_FAILED = frozenset({EventKind.FAILURE, EventKind.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One slot that is worth training on."""

    #: index of the trajectory, and row in it
    piece: int
    row: int
    reason: Reason
    #: the higher the harder; compared with those of its own reason alone
    score: float


@dataclass(frozen=True)
class Piece:
    """A gapless part of an episode and the records of its slots."""

    trajectory: Trajectory
    #: the planner's record of each row
    cycles: tuple[CycleRecord, ...]
    episode: Episode | None
    #: in order of time, of the whole bag
    events: tuple[EpisodeEvent, ...]

    def handed_over(self) -> list[Spell]:
        """Return the spells in which somebody else drove, of all kinds, in order of time."""
        last = self.cycles[-1].stamp_ns
        return sorted(s for kinds in HAND_OVERS for s in spells(self.events, *kinds, last))


def candidates(pieces: Sequence[Piece], near: float) -> list[Candidate]:
    """
    Return every slot with every reason for which it counts.

    :param near: share of a deadline, or of half the command range, from which a slot is a near
        miss
    """
    return [Candidate(at, row, reason, score) for at, piece in enumerate(pieces)
            for row, reason, score in _of_piece(piece, near) if math.isfinite(score)]


def _of_piece(piece: Piece, near: float) -> Iterator[tuple[int, Reason, float]]:
    foreign = _foreign(piece)
    for row, cycle in enumerate(piece.cycles):
        yield row, Reason.SURPRISE, cycle.surprise
        if row and not foreign[row - 1]:
            yield row, Reason.PREDICTION_ERROR, _error(piece.cycles[row - 1], cycle)
        if foreign[row]:
            yield row, Reason.HAND_OVER, 1.0 / foreign[row]
        if (used := _used(cycle)) >= near:
            yield row, Reason.DEADLINE, used
        if (reach := float(np.abs(piece.trajectory.actions[row]).max())) >= near:
            yield row, Reason.LIMIT, reach
        if (left := _failing(piece.episode, cycle)) is not None:
            yield row, Reason.FAILURE, left
    yield from ((row, Reason.REFUSED, 1.0) for row in _refused(piece))


def _foreign(piece: Piece) -> list[int]:
    """Count, for each row, the slots since somebody else took over, 1 in the first; 0: nobody."""
    found = [0] * len(piece.cycles)
    for begin, end in piece.handed_over():
        count = 0
        for row, cycle in enumerate(piece.cycles):
            if cycle.stamp_ns + cycle.period_ns > begin and cycle.stamp_ns < end:
                count += 1
                found[row] = count if not found[row] else min(found[row], count)
    return found


def _error(before: CycleRecord, cycle: CycleRecord) -> float:
    """Return how far the latent lies from the one imagined a slot before; NaN: unknown."""
    if cycle.latent is None or before.rollout is None or not len(before.rollout) \
            or cycle.slot != before.slot + 1:
        return math.nan
    return float(np.mean(np.square(cycle.latent.astype(np.float64) - before.rollout[0])))


def _used(cycle: CycleRecord) -> float:
    if NEVER_NS in (cycle.publish_ns, cycle.due_ns) or cycle.deadline_ns <= 0:
        return -math.inf
    return (cycle.publish_ns - cycle.due_ns) / cycle.deadline_ns


def _failing(episode: Episode | None, cycle: CycleRecord) -> float | None:
    if episode is None or episode.outcome not in _FAILED or episode.end_ns is None \
            or episode.start_ns is None or not episode.holds(cycle.stamp_ns):
        return None
    return (cycle.stamp_ns - episode.start_ns) / max(1, episode.end_ns - episode.start_ns)


def _refused(piece: Piece) -> Iterator[int]:
    stamps = np.array([c.stamp_ns for c in piece.cycles], np.int64)
    for event in piece.events:
        if event.kind is EventKind.COMMAND_REFUSED:
            row = int(np.searchsorted(stamps, event.stamp_ns, side='right')) - 1
            if row >= 0 and event.stamp_ns < stamps[row] + piece.cycles[row].period_ns:
                yield row
