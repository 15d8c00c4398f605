"""Whether new nominal episodes still are like those of the calibration."""

from __future__ import annotations

from dataclasses import dataclass
import math

from wm_eval_ros.records import (
    ALARM,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Record,
    TAKEN_OVER,
)
from wm_eval_ros.stats.exchangeable import PowerJumper, RankedScores
from wm_eval_ros.surprise.calibration import Calibration

_ENDED = frozenset({EventKind.SUCCESS, EventKind.FAILURE, EventKind.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Loss:
    """The calibration no longer holds."""

    #: first episode after which that was shown
    episode: int
    #: the e-value that was reached
    evidence: float
    #: nominal episodes looked at
    episodes: int
    #: p-value of the last of them
    p: float

    @property
    def label(self) -> str:
        """Say it in one line."""
        return (f'nominal episodes are not those of the calibration: e-value '
                f'{self.evidence:.4g} after {self.episodes}, the last has p {self.p:.4g}')


@dataclass(slots=True)
class _Open:
    """An episode that goes on."""

    largest: float = -math.inf
    ended: bool = False
    perturbed: bool = False
    #: stamp [ns, ROS] and label of the first take-over
    taken_over: tuple[int, str] | None = None


class CalibrationWatch:
    """
    Bets against the largest scores of nominal episodes being exchangeable with those ranked.

    One number an episode: its largest joint score, or infinity where that is an alarm, since what
    comes after an alarm depends on who takes over. Episodes that were perturbed, as far as events
    say, and those in which somebody first took over for another reason than an alarm, are no
    evidence and are left out, whatever their scores. An episode is looked at when a later one
    begins: then all of its records are here.

    :param alpha: probability of ever calling a calibration lost that holds
    """

    def __init__(self, calibration: Calibration, alpha: float) -> None:
        self._threshold, self._limit = calibration.threshold, 1 / alpha
        self._ranks = RankedScores(
            math.inf if m > self._threshold else m for m in calibration.maxima)
        self._process = PowerJumper()
        self._open: dict[int, _Open] = {}
        self._done = -1
        self._episodes = 0
        self.lost: Loss | None = None

    @property
    def evidence(self) -> float:
        """The e-value now."""
        return self._process.value

    def update(self, record: Record) -> Loss | None:
        """Take one record in; return the loss when it is found, once."""
        if isinstance(record, CycleRecord):
            if record.status is not CycleStatus.WARMUP and record.episode > self._done:
                self._score(self._open.setdefault(record.episode, _Open()), record)
        elif isinstance(record, EpisodeEvent) and record.episode > self._done:
            return self._event(record)
        return None

    def finish(self) -> Loss | None:
        """Look at the episodes that have ended; return the loss if that shows it."""
        return self._close(2**63)

    def _score(self, episode: _Open, cycle: CycleRecord) -> None:
        if not math.isnan(cycle.surprise):
            episode.largest = max(episode.largest, cycle.surprise)

    def _event(self, event: EpisodeEvent) -> Loss | None:
        if event.kind is EventKind.START:
            found = self._close(event.episode)
            self._open.setdefault(event.episode, _Open())
            return found
        episode = self._open.setdefault(event.episode, _Open())
        episode.ended |= event.kind in _ENDED
        episode.perturbed |= event.kind is EventKind.PERTURB_ON
        if event.kind in TAKEN_OVER:
            over = (event.stamp_ns, event.label)
            episode.taken_over = min(episode.taken_over or over, over)
        return None

    def _close(self, before: int) -> Loss | None:
        found = None
        for number in sorted(n for n in self._open if n < before):
            episode = self._open.pop(number)
            self._done = max(self._done, number)
            found = self._bet(number, episode) or found
        return found

    def _bet(self, number: int, episode: _Open) -> Loss | None:
        over = episode.taken_over
        unfit = episode.perturbed or (over is not None and not over[1].startswith(ALARM))
        if unfit or not episode.ended or episode.largest == -math.inf:
            return None
        alarmed = episode.largest > self._threshold
        p = self._ranks.p_value(math.inf if alarmed else episode.largest)
        evidence = self._process.update(p)
        self._episodes += 1
        if self.lost is not None or evidence < self._limit:
            return None
        self.lost = Loss(number, evidence, self._episodes, p)
        return self.lost
