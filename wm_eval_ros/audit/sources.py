"""Checkpoints of a bag and of its sidecar, each held against the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.audit.chain import LINK_BYTES
from wm_eval_ros.audit.checkpoint import Checkpoint, checkpoint_from_text, NO_PREVIOUS
from wm_eval_ros.audit.keys import key_id, signature_holds
from wm_eval_ros.audit.seal import SIDECAR
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.bag.seal import RECORD
from wm_eval_ros.config.bounded import open_regular
from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.errors import BagError

#: a longer line is none of ours [bytes]
_MAX_LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Checkpoints of one place, as far as they hold by themselves."""

    #: ``bag``, or the sidecar's name
    name: str
    checkpoints: tuple[Checkpoint, ...]
    #: what is wrong with the one after them; empty: nothing
    fault: str = ''

    @property
    def final(self) -> bool:
        """Whether the bag was closed, by these."""
        return bool(self.checkpoints) and self.checkpoints[-1].final

    @property
    def index(self) -> int:
        """Number of messages they vouch for."""
        return self.checkpoints[-1].index if self.checkpoints else 0

    @property
    def key(self) -> str:
        """Public key they are signed with, hexadecimal; empty: unsigned."""
        return self.checkpoints[0].key if self.checkpoints else ''

    def links(self) -> NDArray[np.uint64]:
        """Return the begin of each leaf, shape (index,)."""
        return np.frombuffer(b''.join(c.links for c in self.checkpoints), '<u8')

    def counts(self) -> Mapping[str, int]:
        """Return the messages they vouch for, by topic."""
        return self.checkpoints[-1].counts if self.checkpoints else {}


def bag_source(bag: Bag, pinned: bytes | None) -> Source:
    """
    Return the checkpoints in the metadata of a bag.

    :param pinned: public key that they must be signed with; None: any, or none
    """
    places = ((f'metadata at byte {at}', text) for at, text in bag.metadata_records(RECORD))
    return _held('bag', places, pinned)


def sidecar_source(path: Path, pinned: bytes | None) -> Source | None:
    """
    Return the checkpoints of the sidecar of a bag.

    A last line without an end was being written when the recorder died, and is left out.

    :param path: folder of the bag, or its storage file
    :returns: None where there is no sidecar
    :raises BagError: it cannot be read
    """
    sidecar = (path if path.is_dir() else path.parent) / SIDECAR
    if not sidecar.exists():
        return None
    try:
        return _held(SIDECAR, _lines(sidecar), pinned)
    except OSError as error:
        raise BagError(f'{sidecar}: cannot be read ({error.strerror})') from None


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with open_regular(path) as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b'\n') and len(line) < _MAX_LINE_BYTES:
                return
            try:
                text = parse_json(line.decode('utf-8'), f'line {number}', BagError)
            except (BagError, UnicodeDecodeError):
                text = None
            yield f'line {number}', text


def _held(name: str, found: Iterable[tuple[str, Any]], pinned: bytes | None) -> Source:
    """Take checkpoints as long as each follows from the one before."""
    held: list[Checkpoint] = []
    for place, text in found:
        where = f'{name}: {place}'
        if not isinstance(text, Mapping):
            return Source(name, tuple(held), f'{where}: no checkpoint')
        try:
            checkpoint = checkpoint_from_text(text, where)
        except BagError as error:
            if 'newer' in str(error):
                raise
            return Source(name, tuple(held), str(error))
        fault = _fault(checkpoint, held, pinned)
        if fault:
            return Source(name, tuple(held), f'{where}: checkpoint {checkpoint.number}: {fault}')
        held.append(checkpoint)
    return Source(name, tuple(held))


def _fault(this: Checkpoint, held: list[Checkpoint], pinned: bytes | None) -> str:
    """Say what does not follow; empty: all does."""
    before = held[-1] if held else None
    index, digest = (before.index, before.digest()) if before else (0, NO_PREVIOUS)
    first = held[0] if held else this
    if this.number != len(held):
        return f'{len(held)} should stand here'
    if before is not None and before.final:
        return 'follows the final one'
    if this.previous != digest:
        return 'does not follow from the one before'
    if this.salt != first.salt:
        return 'is of another bag'
    if len(this.links) != (this.index - index) * LINK_BYTES:
        return f'{len(this.links) // LINK_BYTES} links for {this.index - index} messages'
    if sum(this.counts.values()) != this.index:
        return 'its counts do not add up'
    if this.key != first.key:
        return 'is signed with another key than those before'
    if not this.key:
        return ''
    public = bytes.fromhex(this.key)
    if not signature_holds(public, bytes.fromhex(this.signature), this.canonical()):
        return 'its signature does not hold'
    if pinned is not None and public != pinned:
        return f'is signed by {key_id(public)}, not by the given key {key_id(pinned)}'
    return ''
