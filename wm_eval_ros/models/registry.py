"""
A registry: versions of one model in one folder, one of them in force.

``versions/<n>`` are checkpoint folders that never change, ``current.json`` names the one in force
and is replaced in one step, ``history.jsonl`` only grows. A version appears whole or not at all:
it is written beside and renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import shutil
import time
from typing import Any, IO

from wm_eval_ros.config.bounded import read_bounded, shown, text_of
from wm_eval_ros.config.json_text import load_json, parse_json
from wm_eval_ros.errors import CheckpointError, RecordingError
from wm_eval_ros.models.checkpoint import load_spec

CURRENT = 'current.json'
HISTORY = 'history.jsonl'
VERSIONS = 'versions'
#: what happened to a version
ADDED, PROMOTED, REJECTED, ROLLED_BACK = 'added', 'promoted', 'rejected', 'rolled_back'
#: starts that a version learnt from or was judged on
USED = 'used'
#: key of a promotion before which the pointer could not be read
_LOST = 'pointer_lost'
_MAX_BYTES = 1 << 16
_MAX_HISTORY_BYTES = 64 << 20


@dataclass(frozen=True)
class Registry:
    """The versions of one model; ``folder`` is made with the first of them."""

    folder: Path

    def versions(self) -> tuple[int, ...]:
        """Return the numbers of all versions, ascending."""
        return tuple(sorted(int(p.name) for p in (self.folder / VERSIONS).glob('*')
                            if p.name.isdecimal()))

    def path(self, version: int) -> Path:
        """
        Return the checkpoint folder of a version.

        :raises CheckpointError: there is none of that number
        """
        if version not in self.versions():
            have = ', '.join(map(str, self.versions())) or 'none'
            raise CheckpointError(f'{self.folder}: no version {version}; there are: {have}')
        return self.folder / VERSIONS / str(version)

    def current(self) -> int | None:
        """
        Return the version in force; None: none was promoted yet.

        :raises CheckpointError: the pointer is damaged, or names a version that is not there
        """
        path = self.folder / CURRENT
        if not path.exists():
            return None
        try:
            found = load_json(path, CheckpointError, max_bytes=_MAX_BYTES)
            version = found.get('version') if isinstance(found, dict) else None
            if type(version) is not int:
                raise CheckpointError(f'{path}: names no version')
            self.path(version)
        except CheckpointError as error:
            raise CheckpointError(f'{error}; promote one anew') from None
        return version

    def add(self, write: Callable[[Path], object], facts: Mapping[str, Any]) -> int:
        """
        Add a version; it is not in force until promoted.

        :param write: writes the checkpoint into the folder it is given
        :param facts: what the history says of it
        :returns: its number
        :raises RecordingError: it cannot be written
        """
        number = max(self.versions(), default=0) + 1
        home = self.folder / VERSIONS
        beside = home / f'.{number}.{os.getpid()}'
        try:
            home.mkdir(parents=True, exist_ok=True)
            write(beside)
            # an empty folder only would be replaced: a version that is there stays
            beside.rename(home / str(number))
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise RecordingError(f'{home}: cannot be written ({error.strerror})') from None
        self._note(ADDED, number, {'sha256': load_spec(home / str(number)).sha256, **facts})
        return number

    def promote(self, version: int, facts: Mapping[str, Any]) -> None:
        """
        Put a version in force, also where the pointer to the one before is damaged.

        To promote the one in force again adds to the history and leaves what a rollback goes to.

        :raises CheckpointError: there is none of that number
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
        self.path(version)
        self._note(REJECTED, version, {'current': self.current(), **facts})

    def rollback(self, facts: Mapping[str, Any]) -> int:
        """
        Put the version in force again that was before the last promotion still standing.

        :returns: the version now in force
        :raises CheckpointError: there was none before
        """
        standing = self._standing()
        if len(standing) < 2:
            raise CheckpointError(f'{self.folder}: no version was in force before the present '
                                  'one; there is nothing to roll back to')
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
        path = self.folder / HISTORY
        _cut_torn_line(path)
        with _writing(path, os.O_APPEND) as file:
            file.write(f'{line}\n')

    def _point(self, version: int) -> None:
        beside = self.folder / f'.{CURRENT}.{os.getpid()}'
        with _writing(beside, os.O_TRUNC) as file:
            file.write(json.dumps({'version': version}) + '\n')
        beside.replace(self.folder / CURRENT)


@contextmanager
def _writing(path: Path, flag: int) -> Iterator[IO[str]]:
    """Open a file and see it through to the disk before it is closed."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o644)
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


def in_force(folder: Path) -> Path | None:
    """
    Return the checkpoint in force in a folder; None where the folder is no registry.

    :raises CheckpointError: the pointer is damaged, or no version was promoted yet
    """
    if not (folder / VERSIONS).is_dir():
        return None
    registry = Registry(folder)
    version = registry.current()
    if version is None:
        raise CheckpointError(f'{folder}: no version of this registry is in force; name one of '
                              f'{folder / VERSIONS}')
    return registry.path(version)
