"""
Provenance of a scorecard: an in-toto Statement v1, and the DSSE envelope that signs it.

The statement binds files by their SHA-256 to what is said of them. See the in-toto Attestation
Framework (Statement v1) and the Dead Simple Signing Envelope (DSSE v1).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
import json
from pathlib import Path
from typing import Any

from wm_eval_ros.audit.keys import key_id, signature_holds, Signer
from wm_eval_ros.config.bounded import open_regular
from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.errors import BagError, SecurityError

STATEMENT_TYPE = 'https://in-toto.io/Statement/v1'
#: what the predicate is; its layout is in the documentation
PREDICATE_TYPE = 'urn:wm_eval_ros:scorecard:v1'
PAYLOAD_TYPE = 'application/vnd.in-toto+json'
#: larger files are no statement [bytes]
_MAX_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """
    Return the SHA-256 of a file, hexadecimal.

    :raises BagError: it cannot be read
    """
    digest = sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise BagError(f'{path}: cannot be read ({error.strerror})') from None
    return digest.hexdigest()


def subjects(scorecard: Path, bag: Path) -> list[dict[str, Any]]:
    """
    Return what is attested: the scorecard, and every file of the bag, by name and digest.

    :raises BagError: one cannot be read
    """
    files = sorted(p for p in bag.iterdir() if p.is_file()) if bag.is_dir() else [bag]
    named = [(scorecard.name, scorecard), *((f'{bag.name}/{p.name}' if bag.is_dir() else p.name, p)
                                            for p in files)]
    return [{'name': name, 'digest': {'sha256': file_digest(path)}} for name, path in named]


def statement(subject: Sequence[Mapping[str, Any]], predicate: Mapping[str, Any]) -> bytes:
    """Return an in-toto Statement v1 as JSON."""
    return (json.dumps({'_type': STATEMENT_TYPE, 'subject': list(subject),
                        'predicateType': PREDICATE_TYPE, 'predicate': dict(predicate)},
                       sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
            + '\n').encode()


def envelope(payload: bytes, signer: Signer) -> bytes:
    """Return a DSSE envelope around a statement."""
    signature = signer.sign(pre_authentication(payload))
    return (json.dumps({
        'payload': base64.b64encode(payload).decode(), 'payloadType': PAYLOAD_TYPE,
        'signatures': [{'keyid': key_id(signer.public),
                        'sig': base64.b64encode(signature).decode()}]}, indent=1)
        + '\n').encode()


def pre_authentication(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """
    Return what a DSSE signature is over.

    >>> pre_authentication(b'hello world', 'http://example.com/HelloWorld')
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b'DSSEv1 %d %b %d %b' % (len(kind), kind, len(payload), payload)


def read_statement(path: Path, key: bytes | None) -> tuple[dict[str, Any], str]:
    """
    Read a statement, or the one in an envelope, whose signature is checked.

    :param key: public key, 32 bytes; None: an envelope's signature is not looked at
    :returns: the statement, and the name of the key that signed it; empty: not checked
    :raises BagError: neither of both
    :raises SecurityError: a key was given and it did not sign this
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MAX_BYTES)
        found = parse_json(text.decode('utf-8'), 'the file', BagError)
        if not isinstance(found, dict):
            raise ValueError('no object')
        signed = 'payload' in found
        payload = base64.b64decode(found['payload'], validate=True) if signed else text
        inner = parse_json(payload.decode('utf-8'), 'the payload', BagError)
        if inner.get('_type') != STATEMENT_TYPE or inner.get('predicateType') != PREDICATE_TYPE:
            raise ValueError(f'not a {STATEMENT_TYPE} of {PREDICATE_TYPE}')
        digests = [(str(s['name']), str(s['digest']['sha256'])) for s in inner['subject']]
        if not digests:
            raise ValueError('without a subject')
        signatures = [base64.b64decode(s['sig'], validate=True) for s in found['signatures']] if (
            signed) else []
        kind = str(found['payloadType']) if signed else ''
    except OSError as error:
        raise BagError(f'{path}: cannot be read ({error.strerror})') from None
    except (KeyError, TypeError, ValueError, AttributeError, BagError) as error:
        raise BagError(f'{path}: no provenance statement of this package '
                       f'({type(error).__name__}: {error}); `wm-eval attest` writes one') from None
    if key is None:
        return inner, ''
    to_sign = pre_authentication(payload, kind)
    if kind != PAYLOAD_TYPE or not any(signature_holds(key, s, to_sign) for s in signatures):
        raise SecurityError(f'{path}: {"not signed" if not signed else "the signature is not"} '
                            f'by the given key {key_id(key)}; do not trust it')
    return inner, key_id(key)


def unlike(found: Mapping[str, Any], subject: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is not as the statement has it, one sentence each."""
    said = {s['name']: s['digest']['sha256'] for s in found['subject']}
    have = {s['name']: s['digest']['sha256'] for s in subject}
    return ([f'{name}: not there' for name in said if name not in have]
            + [f'{name}: not in the statement' for name in have if name not in said]
            + [f'{name}: sha256 is {have[name][:16]}..., the statement has {said[name][:16]}...'
               for name in said if name in have and said[name] != have[name]])
