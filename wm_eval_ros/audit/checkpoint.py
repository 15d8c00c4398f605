"""Checkpoints of the chain, and their one form: text by name, in the bag and in the sidecar."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
import json
from typing import Any

from wm_eval_ros.audit.chain import LINK_BYTES
from wm_eval_ros.audit.keys import Signer
from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.errors import BagError

#: version of the form; a newer one is refused
VERSION = 1
#: what is signed begins with it: no signature over something else passes for one of these
_SIGNED = b'wm_eval_ros audit checkpoint 1\n'
#: sha256 of the checkpoint before the first
NO_PREVIOUS = '0' * 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the chain had come to at one moment."""

    #: 0 for the first of a bag
    number: int
    #: messages in the chain so far
    index: int
    #: of the chain, hexadecimal
    head: str
    #: messages so far by topic
    counts: Mapping[str, int]
    #: the first LINK_BYTES bytes of each leaf since the checkpoint before, one after the other
    links: bytes
    #: random number of the bag, hexadecimal
    salt: str
    #: digest of the checkpoint before, see `digest`
    previous: str
    #: when it was made [ns, system]
    time_ns: int
    #: whether the bag was closed with it
    final: bool
    #: public key, hexadecimal; empty: unsigned
    key: str = ''
    #: over everything else, hexadecimal
    signature: str = ''

    def text(self) -> dict[str, str]:
        """Return it as text by name, as MCAP metadata and a line of the sidecar hold it."""
        return {
            'version': str(VERSION), 'number': str(self.number), 'index': str(self.index),
            'head': self.head, 'counts': _json(dict(self.counts)),
            'links': base64.b64encode(self.links).decode(), 'salt': self.salt,
            'previous': self.previous, 'time_ns': str(self.time_ns),
            'final': str(int(self.final)), 'key': self.key, 'signature': self.signature}

    def canonical(self) -> bytes:
        """Return what is signed: the text without the signature, as JSON with sorted keys."""
        text = self.text()
        del text['signature']
        return _SIGNED + _json(text).encode()

    def digest(self) -> str:
        """Return the SHA-256 of what is signed, hexadecimal."""
        return sha256(self.canonical()).hexdigest()

    def line(self) -> str:
        """Return it as a line of the sidecar."""
        return _json(self.text()) + '\n'


def signed(checkpoint: Checkpoint, signer: Signer | None) -> Checkpoint:
    """Return the checkpoint under a signature; as it is without a key."""
    if signer is None:
        return checkpoint
    named = replace(checkpoint, key=signer.public.hex())
    return replace(named, signature=signer.sign(named.canonical()).hex())


def checkpoint_from_text(text: Mapping[str, Any], where: str) -> Checkpoint:
    """
    Read a checkpoint back.

    :param where: how to name it in an error
    :raises BagError: not of this form, or of a newer version
    """
    version = text.get('version')
    if isinstance(version, str) and version.isdecimal() and int(version) > VERSION:
        raise BagError(f'{where}: version {version}; this package reads {VERSION}: verify it with '
                       'a newer wm_eval_ros')
    try:
        found = Checkpoint(
            number=int(text['number']), index=int(text['index']), head=text['head'],
            counts=_counts(text['counts'], where),
            links=base64.b64decode(text['links'], validate=True),
            salt=text['salt'], previous=text['previous'], time_ns=int(text['time_ns']),
            final=text['final'] == '1', key=text['key'], signature=text['signature'])
        bytes.fromhex(found.head + found.salt + found.key + found.signature)
        # one form only: what is read is exactly what would be written
        if found.text() != dict(text) or len(found.links) % LINK_BYTES:
            raise ValueError('not in its canonical form')
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BagError(f'{where}: no checkpoint ({type(error).__name__}: {error})') from None
    return found


def _counts(text: str, where: str) -> dict[str, int]:
    found = parse_json(text, where, BagError)
    if not isinstance(found, dict) or not all(
            isinstance(n, int) and n >= 0 for n in found.values()):
        raise ValueError('counts are no mapping of topics to numbers')
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=True)


