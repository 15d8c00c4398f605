"""The surprise of a run, slot by slot: the same fold in the planner and over a bag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
import math

from wm_eval_ros import plugins
from wm_eval_ros.records import CycleRecord, CycleStatus, Mode
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.detectors import Detector, GROUP
from wm_eval_ros.surprise.joint import Components, Scale
from wm_eval_ros.surprise.streams import StreamFold


class SurpriseFold:
    """
    Fills scores, joint score and threshold into the records of a run, in order of their slots.

    Warm-up calls among them say that the planner's process was started anew. The detectors then
    begin anew as its own do, and go on with the band in the slot of the episode where it is.

    :param streams: streams to log; those of the calibration where one is given
    :param h_steps: slots ``h_step`` looks ahead; that of the calibration where one is given
    :param calibration: None: scores are logged, and none is an alarm
    """

    def __init__(self, streams: Sequence[str], h_steps: int,
                 calibration: Calibration | None = None) -> None:
        self._components: Components | None = None
        self._threshold = math.nan
        if calibration is not None:
            streams, h_steps = calibration.streams, calibration.h_steps
            self._components = Components(calibration.band, make_detectors(calibration.detectors))
            self._scale = calibration.scale
            self._threshold = calibration.threshold
        reference = None if calibration is None else calibration.nominal.reference()
        self._streams = StreamFold(streams, h_steps, reference)
        #: record before this of the planner's process
        self._before: CycleRecord | None = None
        #: the running episode, and its first slot that has a record
        self._begun: tuple[int, int] | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self._streams.names

    def resume(self, episode: int, first_slot: int) -> None:
        """Go on in an episode that another process began with this slot."""
        self._begun = (episode, first_slot)

    def update(self, cycle: CycleRecord,
               measured: Mapping[str, float] | None = None) -> CycleRecord:
        """
        Score the next slot; a warm-up call is none and stays as it is.

        :param measured: scores the model gave itself, by stream; None: as logged in the record
        """
        if cycle.status is CycleStatus.WARMUP:
            self._before = None
            self._streams.begin()
            return cycle
        raw = self._streams.update(cycle, measured)
        surprise = self._joint(cycle, raw)
        self._before = cycle
        return replace(cycle, scores=tuple(raw.tolist()), surprise=surprise,
                       surprise_threshold=self._threshold)

    def _joint(self, cycle: CycleRecord, raw: Floats) -> float:
        components = self._components
        if components is None:
            return math.nan
        begun = self._begun
        if begun is None or begun[0] != cycle.episode or cycle.slot < begun[1]:
            self._begun = begun = (cycle.episode, cycle.slot)
        return joint(components, self._scale, self._before, cycle, raw, begun[1])


def advance(components: Components, before: CycleRecord | None, cycle: CycleRecord,
            first: int | None = None) -> None:
    """
    Bring the detectors to a slot: begin an episode, pass lost slots by, notice who drove.

    :param before: the record before this; None: this is the first, or of a planner started anew
    :param first: number of the first slot of the episode; None: where the detectors begin
    """
    if before is None or before.episode != cycle.episode or cycle.slot <= before.slot:
        components.begin(0 if first is None else cycle.slot - first)
        return
    components.pass_by(cycle.slot - before.slot - 1)
    if cycle.mode is not Mode.PLANNER:
        components.interrupt()


def joint(components: Components, scale: Scale, before: CycleRecord | None, cycle: CycleRecord,
          raw: Floats, first: int | None = None) -> float:
    """
    Return the joint score of the next slot; infinite where its observation cannot be read.

    :param before: as for `advance`, as is `first`
    :param raw: scores of the streams, shape (S,)
    """
    advance(components, before, cycle, first)
    found = scale.joint(components.update(raw))
    return math.inf if components.unreadable.update(cycle) else found


def make_detectors(names: Iterable[str]) -> list[Detector]:
    """
    Make detectors by the names of their plug-ins.

    :raises UnknownNameError: nobody registered one
    """
    return [_made(name) for name in names]


def _made(name: str) -> Detector:
    kind = plugins.load(GROUP, name)
    with plugins.making(GROUP, name):
        made: Detector = kind()
    return made


def rescored(cycles: Iterable[CycleRecord], fold: SurpriseFold) -> Iterable[CycleRecord]:
    """Score a run again from its records; equal to what was logged, bit for bit."""
    return (fold.update(cycle) for cycle in cycles)
