"""A bag as a Rerun recording, with what the plans imagined laid over what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.errors import MissingExtraError, RecordingError
from wm_eval_ros.metrics.base import Floats, NS_PER_MS
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    NEVER_NS,
    RunInfo,
)
from wm_eval_ros.report.exports.numbers import numbers
from wm_eval_ros.report.exports.space import Space
from wm_eval_ros.scoring.scorecard import clean

#: name of the timeline of the stamps, and of that of the planner's slots
TIME, SLOT = 'ros_time', 'slot'
#: steps ahead that are drawn as lines over what happened
STEPS = (1, 5, 10)
#: values gathered before they are written
_BATCH = 20_000


def library() -> Any:
    """
    Return the Rerun library.

    :raises MissingExtraError: it is not installed
    """
    try:
        import rerun
    except ImportError:
        raise MissingExtraError("--rerun: rerun-sdk is not installed: "
                                "pip install 'wm_eval_ros[rerun]'") from None
    return rerun


@dataclass
class _Series:
    """Numbers of one entity, gathered."""

    stamps: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class RerunLog:
    """
    Writes one recording, message by message; a file that is there is whole.

    Stamps are wall time on hardware and in real time, else the time of the simulation.
    """

    def __init__(self, path: Path, info: RunInfo | None) -> None:
        """
        Open the file.

        :param info: the run's manifest, None: not recorded
        :raises MissingExtraError: rerun-sdk is not installed
        :raises RecordingError: the file cannot be written
        """
        self._rr = library()
        self._path, self._part = path, path.with_name(f'{path.name}.part')
        #: stamps are simulated time: a message without one has no place on the timeline
        self.simulated = info is not None and info.clock != ClockMode.REALTIME
        self._space = Space(info)
        self._series: dict[tuple[str, bool], _Series] = {}
        self._held = 0
        self._paths: dict[int, list[tuple[int, Floats]]] = {}
        self._mode = ''
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._part.write_bytes(b'')
        except OSError as error:
            raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None
        name = 'wm_eval_ros' if info is None else f'wm_eval_ros: {info.scenario}'
        self._stream = self._rr.RecordingStream(
            name, recording_id=info.run_id if info is not None else path.stem)
        self._stream.save(str(self._part))
        self._stream.send_blueprint(view())
        if info is not None:
            self._manifest(info)

    def cycle(self, record: CycleRecord) -> None:
        """Take one slot in: its times, its score, its state and its plan."""
        for name, value in _planner(record):
            self._number(f'planner/{name}', record.stamp_ns, value, record.slot)
        if record.status not in (CycleStatus.OK, CycleStatus.WARMUP):
            self._text('planner/log', record.stamp_ns, f'slot {record.slot}: '
                       f'{record.status.name} {record.reason}'.strip(), 'WARN')
        if record.mode.name != self._mode and record.status != CycleStatus.WARMUP:
            self._mode = record.mode.name
            self._text('planner/log', record.stamp_ns, f'commands: {self._mode}', 'INFO')
        if record.latent is not None and record.status != CycleStatus.WARMUP:
            self._state(record, record.latent)

    def event(self, record: EpisodeEvent) -> None:
        """Take one event in."""
        level = 'ERROR' if record.kind.name in ('FAILURE', 'ABORT') else 'INFO'
        text = f'episode {record.episode}: {record.kind.name} {record.label}'.strip()
        self._text('events', record.stamp_ns, f'{text} ({record.value:g})', level)

    def message(self, topic: str, stamp_ns: int, msg: Any) -> None:
        """Take a payload message in: its numbers, as far as they are few."""
        entity = f'topics{topic if topic.startswith("/") else f"/{topic}"}'
        for name, value in numbers(msg):
            self._number(f'{entity}/{name}', stamp_ns, value)

    def encoded_image(self, topic: str, stamp_ns: int, data: bytes, media_type: str) -> None:
        """Take an image in as the bytes of a file."""
        self._at(stamp_ns)
        self._stream.log(f'camera/{topic.strip("/")}',
                         self._rr.EncodedImage(contents=data, media_type=media_type))

    def image(self, topic: str, stamp_ns: int, pixels: NDArray[np.uint8]) -> None:
        """Take an image in as pixels: blue, green, red."""
        self._at(stamp_ns)
        self._stream.log(f'camera/{topic.strip("/")}',
                         self._rr.Image(pixels, color_model='BGR'))

    def note(self, topic: str, stamp_ns: int, text: str) -> None:
        """Say why a message of a topic is not shown."""
        self._text('events', stamp_ns, f'{topic}: {text}', 'WARN')

    def __enter__(self) -> RerunLog:
        """Return it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rest and give the file its name; after an error leave nothing behind."""
        try:
            if kind is None:
                self._close()
        finally:
            self._stream.disconnect()
            if kind is not None:
                self._part.unlink(missing_ok=True)
        if kind is None:
            self._name()

    def _close(self) -> None:
        for path in self._paths.values():
            self._walked(path)
        self._flush()
        self._stream.flush()

    def _name(self) -> None:
        try:
            if not self._part.stat().st_size:
                raise RecordingError(f'{self._path}: nothing was written; is the disk full?')
            self._part.replace(self._path)
        except OSError as error:
            raise RecordingError(
                f'{self._path}: cannot be written ({error.strerror})') from None

    def _state(self, record: CycleRecord, latent: NDArray[np.float32]) -> None:
        space, rollout = self._space, record.rollout
        seen = space.physical(latent)
        for name, value in zip(space.names(len(latent)), seen, strict=True):
            self._number(f'state/{name}/actual', record.stamp_ns, float(value), record.slot)
        if rollout is None or rollout.ndim != 2 or rollout.shape[1] != len(latent):
            self._place(record, seen, None)
            return
        imagined = space.physical(rollout)
        for steps in STEPS:
            if steps <= len(imagined):
                stamp = record.stamp_ns + steps * record.period_ns
                for name, value in zip(space.names(len(latent)), imagined[steps - 1], strict=True):
                    self._number(f'state/{name}/imagined {steps} ahead', stamp, float(value),
                                 record.slot + steps)
        self._place(record, seen, imagined)

    def _place(self, record: CycleRecord, seen: Floats, imagined: Floats | None) -> None:
        """Draw where the thing is, and where the plan takes it."""
        here = self._space.point(seen)
        if here is None:
            return
        self._paths.setdefault(record.episode, []).append((record.stamp_ns, here))
        self._at(record.stamp_ns, record.slot)
        self._stream.log('world/position', self._rr.Points3D(
            [here], colors=[(27, 32, 39)], radii=[self._rr.Radius.ui_points(5)]))
        if imagined is not None:
            strip = np.stack([here, *(p for z in imagined
                                      if (p := self._space.point(z)) is not None)])
            self._stream.log('world/imagined', self._rr.LineStrips3D(
                [strip], colors=[(11, 95, 192)], radii=[self._rr.Radius.ui_points(2)]))

    def _walked(self, path: Sequence[tuple[int, Floats]]) -> None:
        """Draw the whole path of an episode, from its first slot on."""
        self._at(path[0][0])
        self._stream.log('world/actual', self._rr.LineStrips3D(
            [np.stack([point for _, point in path])], colors=[(138, 147, 158)],
            radii=[self._rr.Radius.ui_points(1.5)]))

    def _at(self, stamp_ns: int, slot: int | None = None) -> None:
        self._stream.reset_time()
        kind = {'duration': np.timedelta64(stamp_ns, 'ns')} if self.simulated else {
            'timestamp': np.datetime64(stamp_ns, 'ns')}
        self._stream.set_time(TIME, **kind)
        if slot is not None:
            self._stream.set_time(SLOT, sequence=slot)

    def _text(self, entity: str, stamp_ns: int, text: str, level: str) -> None:
        self._at(stamp_ns)
        self._stream.log(entity, self._rr.TextLog(text, level=level))

    def _number(self, entity: str, stamp_ns: int, value: float, slot: int | None = None) -> None:
        if not np.isfinite(value):
            return
        series = self._series.setdefault((entity, slot is not None), _Series())
        series.stamps.append(stamp_ns)
        series.values.append(value)
        if slot is not None:
            series.slots.append(slot)
        self._held += 1
        if self._held >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        for (entity, _), series in self._series.items():
            self._stream.send_columns(_path(entity), self._columns(series),
                                      self._rr.Scalars.columns(scalars=series.values))
        self._series.clear()
        self._held = 0

    def _columns(self, series: _Series) -> list[Any]:
        stamps = np.array(series.stamps, np.int64)
        kind = {'duration': stamps.astype('timedelta64[ns]')} if self.simulated else {
            'timestamp': stamps.astype('datetime64[ns]')}
        found = [self._rr.TimeColumn(TIME, **kind)]
        if series.slots:
            found.append(self._rr.TimeColumn(SLOT, sequence=series.slots))
        return found

    def _manifest(self, info: RunInfo) -> None:
        facts = {name: clean(getattr(info, name)) for name in RunInfo.__slots__}
        text = '```json\n' + json.dumps(facts, indent=1, ensure_ascii=False) + '\n```'
        self._stream.log('manifest', self._rr.TextDocument(
            text, media_type=self._rr.MediaType.MARKDOWN), static=True)


def view() -> Any:
    """Return how a recording is laid out: paths and camera, curves, what was said."""
    from rerun import blueprint as rrb
    seen = rrb.Vertical(rrb.Spatial3DView(origin='world', name='actual and imagined path'),
                        rrb.Spatial2DView(origin='camera', name='camera'))
    measured = rrb.Vertical(
        rrb.TimeSeriesView(origin='/', name='latency [ms]', contents=[
            '/planner/plan_latency_ms', '/planner/decision_latency_ms',
            '/planner/deadline_ms']),
        rrb.TimeSeriesView(origin='/', name='surprise', contents=[
            '/planner/surprise', '/planner/surprise_threshold']),
        rrb.TimeSeriesView(origin='state', name='state, actual and imagined'))
    said = rrb.Vertical(rrb.TextLogView(origin='/', name='events', contents=[
        '/events', '/planner/log']), rrb.TextDocumentView(origin='manifest'))
    return rrb.Blueprint(rrb.Horizontal(seen, measured, said, column_shares=[3, 4, 2]))


def _planner(record: CycleRecord) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a slot; NaN where there is none."""
    def span(begin: int, end: int) -> float:
        return np.nan if NEVER_NS in (begin, end) else (end - begin) / NS_PER_MS

    yield 'plan_latency_ms', span(record.infer_start_ns, record.infer_end_ns)
    yield 'decision_latency_ms', span(record.start_ns, record.publish_ns)
    yield 'deadline_ms', record.deadline_ns / NS_PER_MS
    yield 'cpu_ms', record.cpu_ns / NS_PER_MS
    yield 'cost', record.cost
    yield 'surprise', record.surprise
    yield 'surprise_threshold', record.surprise_threshold
    yield 'status', float(record.status)
    yield 'mode', float(record.mode)
    for at, value in enumerate(record.action):
        yield f'action/{at}', value


def _path(entity: str) -> str:
    """Return a path with what Rerun gives a meaning escaped, part by part."""
    import rerun
    return '/'.join(rerun.escape_entity_path_part(part) for part in entity.split('/') if part)
