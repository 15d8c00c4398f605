"""Sealed bags, and what changes them as somebody would who knows the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
import shutil
import subprocess
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.audit.seal import AuditSeal, SIDECAR
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.seal import RECORD
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.records import NO_SEQUENCE


@dataclass(frozen=True)
class Message:
    """A message as it stands in a file."""

    topic: str
    type: str
    text: str
    data: bytes
    log_ns: int
    publish_ns: int
    sequence: int


@dataclass(frozen=True)
class Content:
    """A bag as a list: messages in the order of the file, and seals by messages before them."""

    messages: tuple[Message, ...]
    seals: tuple[tuple[int, Mapping[str, str]], ...]


class Replayed:
    """A seal that says what it is given."""

    def __init__(self, said: Mapping[str, str] | None = None) -> None:
        self.said = said or {}

    def declare(self, topic: str, type_name: str, text: str) -> None:
        pass

    def take(self, *_: object) -> None:
        pass

    def checkpoint(self) -> Mapping[str, str]:
        return self.said

    def durable(self) -> None:
        self.said = {}

    def close(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class Tools:
    """What the tests do to bags."""

    folder: Path

    def content(self, bag: Path) -> Content:
        with open_bag(bag) as opened:
            messages = tuple(
                Message(m.topic, m.type, m.connection.text, m.data, m.log_ns, m.publish_ns,
                        m.sequence)
                for _, columns in opened.stored() for m in columns.messages(opened.connections))
            seals = tuple((int(text['index']), text)
                          for _, text in opened.metadata_records(RECORD))
        return Content(messages, seals)

    def write(self, name: str, content: Content, sidecar: Path | None) -> Path:
        """Write a content as a bag with valid checksums, index and metadata."""
        seal = Replayed()
        folder = self.folder / name
        with BagWriter(folder, seal=seal) as writer:
            left = list(content.seals)
            for number, message in enumerate(content.messages):
                self._say(writer, seal, left, number)
                writer.add_topic(message.topic, message.type, text=message.text)
                writer.write(message.topic, message.data, message.log_ns, message.publish_ns,
                             message.sequence)
            self._say(writer, seal, left, 2**62)
        if sidecar is not None:
            shutil.copy(sidecar, folder / SIDECAR)
        return folder

    @staticmethod
    def _say(writer: BagWriter, seal: Replayed, left: list[Any], number: int) -> None:
        while left and left[0][0] <= number:
            seal.said = left.pop(0)[1]
            writer.sync()

    def sealed(self, name: str, records: Sequence[Any], write: Callable[..., Path], *,
               every: int = 7, signer: Any = None) -> Path:
        """Write a run's records as a sealed bag with a checkpoint after every so many."""
        plain = self.content(write(records, f'{name}_plain'))
        return self.seal(name, plain.messages, every=every, signer=signer)

    def seal(self, name: str, messages: Sequence[Message], *, every: int = 7,
             signer: Any = None) -> Path:
        folder = self.folder / name
        seal = AuditSeal(folder / SIDECAR, signer)
        with BagWriter(folder, seal=seal) as writer:
            for number, message in enumerate(messages, 1):
                writer.add_topic(message.topic, message.type, text=message.text)
                writer.write(message.topic, message.data, message.log_ns, message.publish_ns,
                             message.sequence)
                if number % every == 0:
                    writer.sync()
        return folder


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


@pytest.fixture
def run_messages(tools: Tools, scenes: ModuleType) -> tuple[Message, ...]:
    """The messages of two episodes of twelve slots, in the order of the file."""
    records: list[Any] = [scenes.info(episodes=2, seed=3)]
    for e in range(2):
        records += [scenes.event('START', e, 600.0 * e, '', 3 + e),
                    *(scenes.cycle(12 * e + k, episode=e) for k in range(12)),
                    scenes.event('SUCCESS', e, 600.0 * e + 590, '', 0.59)]
    bag = scenes.write_bag(tools.folder / 'plain', records)
    # sequences as a middleware counts them
    return tuple(replace(m, sequence=n + 1 if m.sequence == NO_SEQUENCE else m.sequence)
                 for n, m in enumerate(tools.content(bag).messages))


@pytest.fixture(scope='session')
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of key pairs `a` and `b`, made as the documentation says."""
    folder = tmp_path_factory.mktemp('keys')
    for name in 'ab':
        for words in (['genpkey', '-algorithm', 'ed25519', '-out', f'{name}.pem'],
                      ['pkey', '-in', f'{name}.pem', '-pubout', '-out', f'{name}.pub']):
            subprocess.run(['openssl', *words], cwd=folder, check=True, capture_output=True)
        (folder / f'{name}.pem').chmod(0o600)
    return folder


@pytest.fixture
def signer(keys: Path) -> Iterator[Any]:
    pytest.importorskip('cryptography')
    from wm_eval_ros.audit.keys import load_signing_key
    return load_signing_key(keys / 'a.pem')
