"""Bags to a mined data set: read, look for hard cases, cut the windows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
from typing import Any

from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.episodes import episodes, order
from wm_eval_ros.records import CycleStatus, EpisodeEvent, RunInfo
from wm_eval_ros.training.dataset import (
    dataset_of,
    read_recording,
    Recording,
    require_states,
    run_info_of,
    trajectories,
)
from wm_eval_ros.training.distinct import require_different_contents, require_different_places
from wm_eval_ros.training.hard_cases import Candidate, candidates, HAND_OVERS, Piece
from wm_eval_ros.training.selection import MineSettings, select, Window
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.wire.codec import event_from_msg, EVENT_TYPE

_STORAGE = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """A bag that is mined."""

    name: str
    sha256: str
    info: RunInfo
    data: Dataset
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Mined:
    """Windows of bags, and where each comes from."""

    data: Dataset
    #: everything the manifest says but the hash of the data
    manifest: dict[str, Any]


def mine(paths: Sequence[Path], settings: MineSettings) -> Mined:
    """
    Cut the hard cases out of bags of one interface and period.

    Windows of one episode stay one episode, so that what is held out in training is so whole.
    Equal bags and settings give equal results, whatever the place of the bags.

    :raises BagError: a bag holds no run, lacks a topic, is of another interface or period, or is
        given twice; or nothing in them is a hard case
    """
    require_different_places(paths)
    sources = [read_source(path) for path in paths]
    first = sources[0].data
    for source, path in zip(sources, paths, strict=True):
        if (source.data.interface, source.data.dt_s) != (first.interface, first.dt_s):
            raise BagError(f'{path}: another interface or period than {paths[0]}; mine bags of '
                           'one scenario')
    require_different_contents(paths, [source.data.sha256 for source in sources])
    owners = [n for n, source in enumerate(sources) for _ in source.pieces]
    pieces = [piece for source in sources for piece in source.pieces]
    found = candidates(pieces, settings.near)
    windows = select([len(p.cycles) for p in pieces], found, settings)
    if not windows:
        raise BagError(_nothing(paths, pieces, found, settings))
    return Mined(_cut(first, sources, pieces, owners, windows),
                 _manifest(settings, first, sources, pieces, owners, windows))


def read_source(path: Path) -> Source:
    """
    Read a bag: slots, executed commands and events.

    :raises BagError: not the bag of a run, a topic is missing, or what was executed is not known
    """
    with open_bag(path) as bag:
        info = run_info_of(bag)
        recording = read_recording(bag)
        events = _events(bag)
    require_states(recording, path)
    _require_executed(path, recording, events)
    return Source(path.name, _sha256(path), info, dataset_of(recording, path),
                  tuple(_pieces(recording, events)))


def _events(bag: Bag) -> tuple[EpisodeEvent, ...]:
    found = [topic for topic, kind in bag.topics.items() if kind == EVENT_TYPE]
    if not found:
        raise BagError(f'{bag.path}: no {EVENT_TYPE}, so neither hand-overs nor how an episode '
                       'ended are known; mine bags that `wm-eval run` recorded')
    return tuple(sorted((event_from_msg(msg) for _, msg in bag.decoded(found)), key=order))


def _require_executed(path: Path, recording: Recording, events: Sequence[EpisodeEvent]) -> None:
    """Refuse a bag in which the commands of a fallback cannot be told from the planner's."""
    taken = {kind for kinds in HAND_OVERS for kind in kinds}
    if recording.commands is None and any(e.kind in taken for e in events):
        raise BagError(f'{path}: {recording.interface.command.type} carries no stamp, so it is '
                       'not known what a hand-over executed; mine runs without one')


def _pieces(recording: Recording, events: tuple[EpisodeEvent, ...]) -> list[Piece]:
    cycles = {(c.episode, c.stamp_ns): c for c in recording.cycles
              if c.status is not CycleStatus.WARMUP}
    known = {e.number: e for e in episodes(events)}
    found = []
    for piece in trajectories(recording):
        assert piece.stamps is not None
        own = tuple(cycles[piece.episode, stamp] for stamp in piece.stamps.tolist())
        inside = tuple(e for e in events if e.episode == piece.episode)
        found.append(Piece(piece, own, known.get(piece.episode), inside))
    return found


def _nothing(paths: Sequence[Path], pieces: Sequence[Piece], found: Sequence[Candidate],
             settings: MineSettings) -> str:
    total = sum(len(p.cycles) for p in pieces)
    where = str(paths[0]) if len(paths) == 1 else f'{len(paths)} bags'
    if found:
        return (f'{where}: no window of {settings.before + settings.after + 1} slots fits into '
                f'{settings.share:g} of {total} slots; raise the share or cut shorter windows')
    return (f'{where}: no hard case in {total} slots: no scores, no errors, no hand-over, no '
            'failure, nothing near a limit')


def _cut(first: Dataset, sources: Sequence[Source], pieces: Sequence[Piece],
         owners: Sequence[int], windows: Sequence[Window]) -> Dataset:
    numbers: dict[tuple[int, int], int] = {}
    kept: list[Trajectory] = []
    for w in windows:
        t = pieces[w.piece].trajectory
        number = numbers.setdefault((owners[w.piece], t.episode), len(numbers))
        assert t.stamps is not None
        kept.append(Trajectory(
            t.features[w.begin:w.end], t.actions[w.begin:w.end],
            t.actions[w.begin - 1] if w.begin else t.before, number, t.stamps[w.begin:w.end]))
    names = ', '.join(source.info.run_id for source in sources)
    return replace(first, trajectories=tuple(kept),
                   sources=(f'{len(kept)} windows mined from {names}',))


def _manifest(settings: MineSettings, data: Dataset, sources: Sequence[Source],
              pieces: Sequence[Piece], owners: Sequence[int],
              windows: Sequence[Window]) -> dict[str, Any]:
    return {
        'settings': to_plain(settings),
        'interface': to_plain(data.interface), 'feature_names': list(data.feature_names),
        'dt_s': data.dt_s, 'slots': sum(len(p.cycles) for p in pieces),
        'mined': sum(w.end - w.begin for w in windows),
        'bags': [_bag(source) for source in sources],
        'windows': [_window(pieces[w.piece], owners[w.piece], w) for w in windows]}


def _bag(source: Source) -> dict[str, Any]:
    info = source.info
    return {'run_id': info.run_id, 'name': source.name, 'sha256': source.sha256,
            'scenario': info.scenario, 'task': info.task, 'clock': info.clock.value,
            'seed': info.seed, 'model_sha256': str(info.model.get('sha256', '')),
            'slots': sum(len(p.cycles) for p in source.pieces)}


def _window(piece: Piece, bag: int, window: Window) -> dict[str, Any]:
    cycles = piece.cycles[window.begin:window.end]
    return {'bag': bag, 'episode': piece.trajectory.episode,
            'seed': None if piece.episode is None else piece.episode.seed,
            'first_slot': cycles[0].slot, 'last_slot': cycles[-1].slot,
            'slots': len(cycles), 'reasons': _scores(window.reasons)}


def _scores(reasons: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): score for name, score in sorted(reasons.items())}


def _sha256(path: Path) -> str:
    """Return the hash of a bag's storage files, in the order of their names."""
    files = [path] if path.is_file() else sorted(
        p for p in path.iterdir() if p.name.endswith(_STORAGE))
    digest = hashlib.sha256()
    for file in files:
        with file.open('rb') as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
