"""Nominal episodes out of the records of runs, and what makes runs unfit to calibrate from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
import hashlib

import numpy as np

from wm_eval_ros.errors import CalibrationError
from wm_eval_ros.records import (
    ALARM,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Record,
    RunInfo,
    TERMINAL,
)
from wm_eval_ros.stats.distance import Singles
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.bias import RunningError
from wm_eval_ros.surprise.calibration import Source
from wm_eval_ros.surprise.driver import Drivers
from wm_eval_ros.surprise.effect import Driven
from wm_eval_ros.surprise.scope import decisive, difference, interface_sha256, Scope
from wm_eval_ros.surprise.streams import residual, Window

#: a run that lost more of its slots than this was not recorded well enough
MOST_LOST = 0.01
#: gives the records of one run from the begin, every time it is called
Recording = Callable[[], Iterable[Record]]


@dataclass(frozen=True)
class NominalEpisode:
    """An episode that may be calibrated with."""

    #: which recording it is of, and its number there
    recording: int
    number: int
    #: encoded states of its slots, shape (N, D), and one-step errors of the driven ones, (M, D)
    latents: Singles
    residuals: Singles
    #: their running means in predicted spreads, (M, D)
    biases: Floats
    #: the errors by the commands that they followed
    driven: Driven


@dataclass(frozen=True)
class Material:
    """All nominal episodes of some recordings, in an order that is theirs and not the caller's."""

    recordings: tuple[Recording, ...]
    infos: tuple[RunInfo, ...]
    scope: Scope
    episodes: tuple[NominalEpisode, ...]
    #: episodes of each recording that were left out, since somebody else drove in them
    foreign: tuple[int, ...]

    def sources(self) -> tuple[Source, ...]:
        """Return the identity of each recording."""
        found = []
        for at, info in enumerate(self.infos):
            own = [e for e in self.episodes if e.recording == at]
            digest = hashlib.sha256(b''.join(e.latents.tobytes() for e in own)).hexdigest()
            found.append(Source(run_id=info.run_id, seed=info.seed, episodes=len(own),
                                foreign=self.foreign[at], sha256=digest))
        return tuple(found)


class _Listing:
    """First look at one recording."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: RunInfo | None = None
        self.perturbed = 0
        #: hand-overs that an alarm of an earlier calibration made
        self.alarmed = 0
        #: seeds of the starts, in order
        self.seeds: list[float] = []
        self.ended: set[int] = set()
        self.latents: dict[int, list[Singles]] = {}
        self.residuals: dict[int, list[Singles]] = {}
        self.biases: dict[int, list[Floats]] = {}
        self.driven: dict[int, Driven] = {}
        self.drivers = Drivers()
        self._running = RunningError()
        #: slots without a record, of how many
        self.lost = self.slots = 0
        self._window, self._last = Window(1), (-1, -1)

    def update(self, record: Record) -> None:
        if isinstance(record, RunInfo):
            self.info = self.info or record
            self.drivers.told(self.info.settings)
        elif isinstance(record, EpisodeEvent):
            self.perturbed += record.kind is EventKind.PERTURB_ON
            self.alarmed += record.kind is EventKind.FALLBACK_ON and ALARM in record.label
            self.drivers.event(record)
            if record.kind is EventKind.START:
                self.seeds.append(record.value)
            if record.kind in TERMINAL and record.kind is not EventKind.ABORT:
                self.ended.add(record.episode)
        elif isinstance(record, CycleRecord) and record.status is not CycleStatus.WARMUP:
            self._add(record)

    def _add(self, cycle: CycleRecord) -> None:
        self._window.push(cycle)
        episode, slot = self._last
        self.drivers.slot(cycle, begins=cycle.episode != episode)
        self.lost += max(0, cycle.slot - slot - 1) if cycle.episode == episode else 0
        self.slots += 1
        self._last = (cycle.episode, cycle.slot)
        latents = self.latents.setdefault(cycle.episode, [])
        residuals = self.residuals.setdefault(cycle.episode, [])
        if cycle.latent is not None:
            latents.append(cycle.latent)
        gap, made = residual(self._window), self._window.back(1)
        driven = self.driven.setdefault(cycle.episode, Driven())
        bias = self._running.update(gap, made)
        if gap is not None and made is not None and bias is not None:
            residuals.append(gap)
            driven.add(gap, made)
            self.biases.setdefault(cycle.episode, []).append(bias)

    def checked(self) -> RunInfo:
        """Return the manifest of a run that may be calibrated from."""
        info = self.info
        if info is None:
            raise CalibrationError(f'{self.name}: no manifest of the run in it, so that nobody '
                                   'knows its model; record it anew')
        if self.perturbed or info.settings.get('perturbations'):
            raise CalibrationError(
                f'{self.name}: perturbations were applied or scheduled ({self.perturbed} seen); '
                'calibrate from runs without any')
        if self.alarmed:
            raise CalibrationError(
                f'{self.name}: alarms of a detector handed over {self.alarmed} times, and cut off '
                'the scores that are to be ranked; calibrate from runs without a detector that '
                'acts')
        if self.drivers.cut:
            raise CalibrationError(
                f'{self.name}: in {self.drivers.cut} episodes the observation could not be read '
                'before somebody else drove; a detector alarms there, and such episodes can be '
                'neither ranked nor left out: mend the input and record anew')
        if self.lost > MOST_LOST * (self.slots + self.lost):
            raise CalibrationError(
                f'{self.name}: {self.lost} of {self.slots + self.lost} slots have no record; '
                'record it anew on a host that keeps up')
        if not info.model.get('sha256'):
            raise CalibrationError(f'{self.name}: its planner used no world model; there is '
                                   'nothing to be surprised at')
        return info


def gather(recordings: Sequence[tuple[str, Recording]]) -> Material:
    """
    List the nominal episodes of some runs.

    Episodes that were aborted, or not over when the record ended, and those in which somebody else
    than the planner drove, are left out.

    :param recordings: how to name each in an error, and its records
    :raises CalibrationError: perturbed, without a model, or not all of one model, task, ...
    """
    listings = []
    for name, recording in recordings:
        listing = _Listing(name)
        for record in recording():
            listing.update(record)
        listings.append((listing, listing.checked(), recording))
    listings.sort(key=lambda each: (each[1].run_id, each[1].seed))
    scope = _scope(listings[0][1])
    for listing, info, _ in listings[1:]:
        _require_same(scope, listings[0][0].name, _scope(info), listing.name)
    _refuse_twice([(listing, info) for listing, info, _ in listings])
    return Material(
        tuple(recording for *_, recording in listings), tuple(info for _, info, _ in listings),
        scope, tuple(episode for at, (listing, *_) in enumerate(listings)
                     for episode in _episodes(at, listing)),
        tuple(len(listing.ended & listing.drivers.taken_over.keys()) for listing, *_ in listings))


def _episodes(at: int, listing: _Listing) -> Iterator[NominalEpisode]:
    sizes = {row.shape for rows in listing.latents.values() for row in rows}
    if len(sizes) > 1:
        raise CalibrationError(f'{listing.name}: latents of several sizes: {sorted(sizes)}')
    good = (listing.ended & listing.latents.keys()) - listing.drivers.taken_over.keys()
    for number in sorted(good):
        latents = listing.latents[number]
        if latents:
            none = np.zeros((0, len(latents[0])), np.float32)
            gaps = listing.residuals[number]
            yield NominalEpisode(
                at, number, np.stack(latents), np.stack(gaps) if gaps else none,
                np.stack(listing.biases[number]) if gaps else none.astype(np.float64),
                listing.driven[number])


def _refuse_twice(listings: Sequence[tuple[_Listing, RunInfo]]) -> None:
    """Refuse starts that are there twice: copies count as one and say nothing of a fresh one."""
    seen: dict[object, str] = {}
    for listing, info in listings:
        # the seeds of a robot's episodes set nothing
        robot = info.settings.get('plant', {}).get('kind') == 'hardware'
        for at, seed in enumerate(listing.seeds):
            start: object = (info.run_id, at) if robot else seed
            if start in seen:
                raise CalibrationError(
                    f'{listing.name}: the start of seed {seed:g} is there twice, first in '
                    f'{seen[start]}; give each run once, with seeds of its own')
            seen[start] = listing.name


def _scope(info: RunInfo) -> Scope:
    settings = info.settings.get('planner', {})
    return Scope(
        model_sha256=str(info.model['sha256']), task=info.task,
        interface_sha256=interface_sha256(info.settings.get('interface')),
        period_ns=info.period_ns, clock=str(info.clock), planner=info.planner,
        horizon=int(settings.get('horizon', 0)), settings=decisive(info.settings))


def _require_same(first: Scope, name: str, other: Scope, other_name: str) -> None:
    found = difference(first, other)
    if found is not None:
        what, mine, theirs = found
        raise CalibrationError(f'{other_name}: {what} is not that of {name} ({theirs}, {mine}); '
                               'calibrate from runs of one model, task and set of settings')
