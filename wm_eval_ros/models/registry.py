"""
A registry: versions of one model in one folder, one of them in force.

``versions/<n>`` are checkpoint folders that never change, ``current.json`` names the one in force
and is replaced in one step, ``history.jsonl`` only grows. A version appears whole or not at all:
it is written beside and renamed. The history holds the hashes a version was added with, and what
has others since is not used. All of a registry lies in its folder: nothing is read or written
through a link in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import time
from typing import Any, IO

from wm_eval_ros.config.bounded import read_bounded, shown, text_of
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.json_text import load_json, parse_json
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import CheckpointError, RecordingError
from wm_eval_ros.models.checkpoint import (
    load_spec,
    MAX_SPEC_BYTES,
    MAX_WEIGHT_BYTES,
    SPEC,
    WEIGHTS,
)
from wm_eval_ros.models.protocol import WorldModelSpec

CURRENT = 'current.json'
HISTORY = 'history.jsonl'
VERSIONS = 'versions'
#: what happened to a version
ADDED, PROMOTED, REJECTED, ROLLED_BACK = 'added', 'promoted', 'rejected', 'rolled_back'
#: starts that a version learnt from or was judged on
USED = 'used'
#: key of a promotion before which the pointer could not be read
_LOST = 'pointer_lost'
#: key of an addition, the file whose sha256 it is, and the largest that is read [bytes];
#: histories of the first layout hold that of the weights alone
_HASHES = (('sha256', WEIGHTS, MAX_WEIGHT_BYTES), ('spec_file_sha256', SPEC, MAX_SPEC_BYTES))
_MAX_BYTES = 1 << 16
_MAX_HISTORY_BYTES = 64 << 20
#: names of the folders of versions
_NUMBER = re.compile(r'[1-9][0-9]{0,18}')


@dataclass(frozen=True)
class Registry:
    """The versions of one model; ``folder`` is made with the first of them."""

    folder: Path

    def versions(self) -> tuple[int, ...]:
        """
        Return the numbers of all versions, ascending.

        :raises CheckpointError: the folder is a checkpoint itself, or a link is in it
        """
        self._require_own()
        found = [p for p in (self.folder / VERSIONS).glob('*') if _NUMBER.fullmatch(p.name)]
        for path in found:
            _refuse_links(path)
        return tuple(sorted(int(p.name) for p in found if p.is_dir()))

    def path(self, version: int) -> Path:
        """
        Return the checkpoint folder of a version, which is as it was added.

        :raises CheckpointError: there is none of that number, or it was changed since
        """
        folder = self._place(version)
        if (changed := self.changed(version)) is not None:
            raise CheckpointError(f'{folder}: {changed}; the file was changed or damaged: add the '
                                  'model anew, or promote another version')
        return folder

    def changed(self, version: int) -> str | None:
        """
        Return in what a version is not what the history says was added; None: in nothing.

        :raises CheckpointError: there is none of that number, or the history is damaged
        """
        folder = self._place(version)
        noted: dict[str, Any] = next((e for e in reversed(self.history()) if e.get('what') == ADDED
                                      and e['version'] == version), {})
        if not isinstance(noted.get('sha256'), str):
            return f'{HISTORY} does not say with which sha256 it was added'
        for key, name, limit in _HASHES:
            if key not in noted:
                continue
            try:
                have = _sha256(folder / name, limit)
            except CheckpointError as error:
                return str(error)
            if have != noted[key]:
                return (f'sha256 of {name} is {have[:16]}..., {HISTORY} has '
                        f'{shown(noted[key])[1:17]}...')
        return None

    def current(self) -> int | None:
        """
        Return the version in force; None: none was promoted yet.

        :raises CheckpointError: the pointer is damaged, or names a version that is not there
        """
        self._require_own()
        path = self.folder / CURRENT
        if not path.exists():
            return None
        try:
            found = load_json(path, CheckpointError, max_bytes=_MAX_BYTES)
            version = found.get('version') if isinstance(found, dict) else None
            if type(version) is not int:
                raise CheckpointError(f'{path}: names no version')
            self._place(version)
        except CheckpointError as error:
            raise CheckpointError(f'{error}; promote one anew') from None
        return version

    def add(self, write: Callable[[Path], object], facts: Mapping[str, Any]) -> int:
        """
        Add a version; it is not in force until promoted.

        :param write: writes the checkpoint into the folder it is given
        :param facts: what the history says of it
        :returns: its number
        :raises CheckpointError: its interface is not that of the versions that are there
        :raises RecordingError: it cannot be written
        """
        known = self.versions()
        # the history tells one version of a number: that of one that was taken away is not free
        number = 1 + max((*known, *(e['version'] for e in self.history()
                                    if e.get('what') == ADDED)), default=0)
        home = self.folder / VERSIONS
        beside = home / f'.{number}.{os.getpid()}'
        try:
            home.mkdir(parents=True, exist_ok=True)
            write(beside)
            self._require_like(known, load_spec(beside))
            hashes = {key: _sha256(beside / name, limit) for key, name, limit in _HASHES}
            # an empty folder only would be replaced: a version that is there stays
            beside.rename(home / str(number))
        except OSError as error:
            raise RecordingError(f'{home}: cannot be written ({error.strerror or error})'
                                 ) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._note(ADDED, number, {**facts, **hashes})
        return number

    def promote(self, version: int, facts: Mapping[str, Any]) -> None:
        """
        Put a version in force, also where the pointer to the one before is damaged.

        To promote the one in force again adds to the history and leaves what a rollback goes to.

        :raises CheckpointError: there is none of that number, or it was changed since it was added
        """
        self.path(version)
        before: dict[str, Any] = {}
        try:
            before['before'] = self.current()
        except CheckpointError:
            before |= {'before': None, _LOST: True}
        self._note(PROMOTED, version, {**before, **facts})
        self._point(version)

    def reject(self, version: int, facts: Mapping[str, Any]) -> None:
        """Note that a version was tried and is not put in force; what is in force stays."""
        self._place(version)
        self._note(REJECTED, version, {'current': self.current(), **facts})

    def rollback(self, facts: Mapping[str, Any]) -> int:
        """
        Put the version in force again that was before the last promotion still standing.

        :returns: the version now in force
        :raises CheckpointError: there was none before, or it was changed since it was added
        """
        standing = self._standing()
        if len(standing) < 2:
            raise CheckpointError(f'{self.folder}: no version was in force before the present '
                                  'one; there is nothing to roll back to')
        self.path(standing[-2])
        self._note(ROLLED_BACK, standing[-2], {'before': standing[-1], **facts})
        self._point(standing[-2])
        return standing[-2]

    def use_starts(self, version: int, seeds: Iterable[range]) -> None:
        """Note seeds that are about to decide on a version: they are fresh for no later one."""
        self._note(USED, version, {'seeds': [[block.start, block.stop] for block in seeds]})

    def used_starts(self) -> tuple[range, ...]:
        """
        Return the seeds that were noted as used.

        :raises CheckpointError: the history is damaged
        """
        try:
            return tuple(range(start, stop) for entry in self.history()
                         if entry.get('what') == USED for start, stop in entry['seeds'])
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f'{self.folder / HISTORY}: seeds of an entry cannot be read; '
                                  'the registry was changed by something else') from None

    def history(self) -> tuple[dict[str, Any], ...]:
        """
        Return everything that happened, in order.

        A last line that was cut off while it was written is left out.
        """
        self._require_own()
        path = self.folder / HISTORY
        if not path.exists():
            return ()
        data = read_bounded(path, _MAX_HISTORY_BYTES, CheckpointError)
        lines = text_of(data, path, CheckpointError).split('\n')[:-1]
        found = tuple(parse_json(line, f'{path}, line {number}', CheckpointError)
                      for number, line in enumerate(lines, 1))
        for number, entry in enumerate(found, 1):
            if not isinstance(entry, dict) or type(entry.get('version')) is not int:
                raise CheckpointError(f'{path}, line {number}: no entry of a history; the '
                                      'registry was changed by something else')
        return found

    def _require_own(self) -> None:
        """Refuse a folder that is loaded as a checkpoint, or whose parts lie elsewhere."""
        if os.path.lexists(self.folder / SPEC):
            raise CheckpointError(f'{self.folder}: is itself a checkpoint ({SPEC}), which is '
                                  'loaded whatever a registry in it has in force; give another '
                                  'folder')
        for name in (VERSIONS, CURRENT, HISTORY):
            _refuse_links(self.folder / name, deep=False)

    def _place(self, version: int) -> Path:
        """Return the folder of a version, changed or not."""
        self._require_own()
        folder = self.folder / VERSIONS / str(version)
        _refuse_links(folder)
        if not folder.is_dir():
            have = ', '.join(map(str, self.versions())) or 'none'
            raise CheckpointError(f'{self.folder}: no version {version}; there are: {have}')
        return folder

    def _require_like(self, known: Iterable[int], spec: WorldModelSpec) -> None:
        """Refuse a model that does not run where the first of the versions does that is whole."""
        for version in known:
            try:
                first = load_spec(self.path(version))
            except CheckpointError:
                continue
            if (part := _differing(spec.interface, first.interface)) is not None:
                raise CheckpointError(
                    f'{self.folder}: the interface of model {shown(spec.name)} differs in '
                    f'{part} from that of version {version}, {shown(first.name)}; a registry '
                    'holds versions of one model: give it one of its own')
            return

    def _standing(self) -> list[int]:
        """Return the promotions that were not taken back, in order, up to the one in force."""
        moves = [e for e in self.history() if e.get('what') in (PROMOTED, ROLLED_BACK)]
        # what ended between the note and the pointer did not come to pass: the next move, or the
        # pointer after the last, does not begin with it; where the pointer was lost in between,
        # the note stands
        then = [*(moves[i]['version'] if e.get(_LOST) else e.get('before')
                  for i, e in enumerate(moves[1:])), self.current()]
        found: list[int] = []
        for entry, after in zip(moves, then, strict=False):
            # a move to the version that was in force is none
            if entry['version'] != after or found[-1:] == [entry['version']]:
                continue
            if entry['what'] == PROMOTED:
                found.append(entry['version'])
            else:
                del found[-1:]
        return found

    def _note(self, what: str, version: int, facts: Mapping[str, Any]) -> None:
        line = json.dumps({'time_ns': time.time_ns(), 'what': what, 'version': version, **facts},
                          sort_keys=True, ensure_ascii=False)
        self._require_own()
        path = self.folder / HISTORY
        _cut_torn_line(path)
        with _writing(path, os.O_APPEND) as file:
            file.write(f'{line}\n')

    def _point(self, version: int) -> None:
        beside = self.folder / f'.{CURRENT}.{os.getpid()}'
        with _writing(beside, os.O_TRUNC) as file:
            file.write(json.dumps({'version': version}) + '\n')
        beside.replace(self.folder / CURRENT)


def _refuse_links(path: Path, *, deep: bool = True) -> None:
    """Refuse a link, and with ``deep`` any in a folder: it leads to what is no version."""
    for found in (path, *(path.rglob('*') if deep and not path.is_symlink() else ())):
        if found.is_symlink():
            raise CheckpointError(f'{found}: a link; nothing of a registry is read or written '
                                  'through one: put a copy of what it leads to in its place, or '
                                  'take it away')


def _sha256(path: Path, limit: int) -> str:
    return hashlib.sha256(read_bounded(path, limit, CheckpointError)).hexdigest()


def _differing(mine: Interface, theirs: Interface) -> str | None:
    """
    Return the first part of an interface for which a run would refuse a model.

    As in a run, topics may differ, and streams that nobody sees matter where there are any.
    """
    one, other = to_plain(mine), to_plain(theirs)
    for name in ('observations', 'images', 'unseen', 'command'):
        if name == 'unseen' and not other[name]:
            continue
        if _without_topics(one[name]) != _without_topics(other[name]):
            return name
    return None


def _without_topics(plain: Any) -> list[dict[str, Any]]:
    streams = [plain] if isinstance(plain, dict) else plain
    return [{key: value for key, value in stream.items() if key != 'topic'} for stream in streams]


@contextmanager
def _writing(path: Path, flag: int) -> Iterator[IO[str]]:
    """Open a file and see it through to the disk before it is closed."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flag, 0o644)
        with os.fdopen(number, 'w', encoding='utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None


def _cut_torn_line(path: Path) -> None:
    """Take away a last line that a crash cut off, so that the next does not go on in it."""
    data = read_bounded(path, _MAX_HISTORY_BYTES, CheckpointError) if path.exists() else b''
    if data and not data.endswith(b'\n'):
        try:
            os.truncate(path, data.rfind(b'\n') + 1)
        except OSError as error:
            raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None


def registry_of(root: Path, name: str) -> Registry:
    """
    Return the registry of a model in a folder of registries.

    :param name: of the model; untrusted, it comes from a checkpoint
    :raises CheckpointError: the name cannot name a folder
    """
    if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}', name):
        raise CheckpointError(f'model name {shown(name)} cannot name a folder of a registry; '
                              'letters, digits, _ . and - only')
    return Registry(root / name)


def require_as_added(folder: Path) -> None:
    """
    Refuse a folder that is a version of a registry and not as it was added.

    :raises CheckpointError: saying what was changed
    """
    own = folder.absolute()
    above = own.parent.parent
    if own.parent.name == VERSIONS and _NUMBER.fullmatch(own.name) and (above / HISTORY).is_file():
        Registry(above).path(int(own.name))


def in_force(folder: Path) -> Path | None:
    """
    Return the checkpoint in force in a folder; None where the folder is no registry.

    :raises CheckpointError: the pointer is damaged, no version was promoted yet, or that in force
        is not as it was added
    """
    if not (folder / VERSIONS).is_dir():
        return None
    registry = Registry(folder)
    version = registry.current()
    if version is None:
        raise CheckpointError(f'{folder}: no version of this registry is in force; name one of '
                              f'{folder / VERSIONS}')
    return registry.path(version)
