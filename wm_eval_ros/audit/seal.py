"""Seals a bag while it is written: the chain, and a checkpoint of it before each fsync."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import os
from pathlib import Path
import secrets
import time
from typing import BinaryIO

from wm_eval_ros.audit.chain import Chain, leaf, LINK_BYTES, topic_digest
from wm_eval_ros.audit.checkpoint import Checkpoint, NO_PREVIOUS, signed
from wm_eval_ros.audit.keys import load_signing_key, Signer
from wm_eval_ros.errors import ConfigError

#: name of the sidecar in the folder of a bag
SIDECAR = 'audit.jsonl'
_SALT_BYTES = 16


class AuditSeal:
    """
    The guest of :class:`wm_eval_ros.bag.writer.BagWriter` that makes a bag tamper-evident.

    A checkpoint goes into the sidecar only once the bag's own bytes up to it are on the disk: a
    bag that is shorter than its sidecar says was cut, never merely killed.
    """

    def __init__(
        self, sidecar: Path, signer: Signer | None = None, *,
        clock: Callable[[], int] = time.time_ns, salt: bytes | None = None,
    ) -> None:
        """
        Begin a chain; the sidecar is made with the first checkpoint.

        :param sidecar: file that is only appended to; one JSON object a line
        :param signer: private key; None: the chain is unsigned, whoever can write can forge it
        :param clock: system time [ns]
        :param salt: 16 bytes that name this bag; None: drawn from the system
        """
        self._sidecar, self._signer, self._clock = sidecar, signer, clock
        self._salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
        self._chain = Chain(self._salt)
        self._topics: dict[str, bytes] = {}
        self._links = bytearray()
        self._number = 0
        self._previous = NO_PREVIOUS
        self._pending: Checkpoint | None = None
        self._file: BinaryIO | None = None

    def declare(self, topic: str, type_name: str, text: str) -> None:
        """Learn type and definition of a topic."""
        self._topics[topic] = topic_digest(topic, type_name, text)

    def take(
        self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int,
    ) -> None:
        """Take one message as the file holds it, in the order of the file."""
        digest = leaf(self._topics[topic], log_ns, publish_ns, sequence, data)
        self._chain.add(topic, digest)
        self._links += digest[:LINK_BYTES]

    def checkpoint(self) -> Mapping[str, str]:
        """Return a checkpoint; empty where nothing came since the last."""
        if self._number and not self._links:
            return {}
        return self._make(final=False)

    def durable(self) -> None:
        """
        Append the last checkpoint to the sidecar and wait until it is on the disk.

        :raises OSError: it cannot be written
        """
        if self._pending is None:
            return
        if self._file is None:
            self._file = self._sidecar.open('xb')
        self._file.write(self._pending.line().encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        final = self._pending.final
        self._pending = None
        if final:
            self._file.close()

    def close(self) -> Mapping[str, str]:
        """Return the final seal."""
        return self._make(final=True)

    def _make(self, *, final: bool) -> Mapping[str, str]:
        chain = self._chain
        made = signed(Checkpoint(
            number=self._number, index=chain.index, head=chain.head.hex(),
            counts=dict(chain.counts), links=bytes(self._links), salt=self._salt.hex(),
            previous=self._previous, time_ns=self._clock(), final=final), self._signer)
        self._links.clear()
        self._number += 1
        self._previous = made.digest()
        self._pending = made
        return made.text()


def seal_of(folder: Path, *, audit: bool, signing_key: str) -> AuditSeal | None:
    """
    Return the seal that the recorder's settings ask for.

    :param folder: of the bag
    :param audit: whether there is one
    :param signing_key: file of the private key, empty: unsigned
    :raises ConfigError: a key without a seal
    :raises SecurityError: the key cannot be used
    :raises MissingExtraError: a key, and `cryptography` is not installed
    """
    if not audit:
        if signing_key:
            raise ConfigError('recorder.signing_key: there is nothing to sign with '
                              'recorder.audit: false; leave one of them out')
        return None
    signer = load_signing_key(Path(signing_key)) if signing_key else None
    return AuditSeal(folder / SIDECAR, signer)
