"""
Ed25519 keys: read from files that standard tools write, and used through `cryptography`.

``openssl genpkey -algorithm ed25519`` and ``ssh-keygen -t ed25519`` both write what is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
import stat
from typing import Any, TYPE_CHECKING

from wm_eval_ros.config.bounded import open_regular
from wm_eval_ros.errors import MissingExtraError, SecurityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: larger files hold no key [bytes]
_MAX_BYTES = 64 << 10
_KEY_BYTES = 32
_HOW = 'make one with `openssl genpkey -algorithm ed25519 -out FILE`'


class Signer:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Hold the key."""
        self._key = key
        #: public key, 32 bytes
        self.public = key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes (RFC 8032)."""
        return self._key.sign(data)


def key_id(public: bytes) -> str:
    """
    Return a short name of a public key: the begin of the SHA-256 of its 32 bytes.

    >>> key_id(bytes(32))
    'ed25519:66687aadf862bd77'
    """
    return f'ed25519:{sha256(public).hexdigest()[:16]}'


def load_signing_key(path: Path) -> Signer:
    """
    Read a private key: PEM (PKCS #8) or OpenSSH, without a passphrase.

    :raises SecurityError: unreadable, readable by others, no Ed25519 key, or under a passphrase
    :raises MissingExtraError: `cryptography` is not installed
    """
    _library(f'signing_key {path}')
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_ssh_private_key,
    )
    data = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecurityError(f'{path}: others than its owner may read or change this private key '
                            f'(mode {mode:04o}); run `chmod 600 {path}`, or make a new key')
    found = _first(path, data, (load_pem_private_key, load_ssh_private_key), password=None)
    if not isinstance(found, Ed25519PrivateKey):
        raise SecurityError(f'{path}: {type(found).__name__}, only Ed25519 is used; {_HOW}')
    return Signer(found)


def load_public_key(path: Path) -> bytes:
    """
    Read a public key: PEM, or a line of OpenSSH.

    :returns: 32 bytes
    :raises SecurityError: unreadable, or no Ed25519 key
    :raises MissingExtraError: `cryptography` is not installed
    """
    _library(f'--key {path}')
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        load_pem_public_key,
        load_ssh_public_key,
    )
    data = _read(path)
    if b'PRIVATE KEY' in data:
        raise SecurityError(f'{path}: is a private key; give the public one, '
                            f'`openssl pkey -in {path} -pubout`')
    found = _first(path, data, (load_pem_public_key, load_ssh_public_key))
    if not isinstance(found, Ed25519PublicKey):
        raise SecurityError(f'{path}: {type(found).__name__}, only Ed25519 is used')
    return found.public_bytes_raw()


def signature_holds(public: bytes, signature: bytes, data: bytes) -> bool:
    """
    Say whether a signature is that of a key over some data.

    :raises MissingExtraError: `cryptography` is not installed
    """
    _library('a signature')
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _library(what: str) -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError(f'{what}: cryptography is not installed: '
                                'pip install "wm_eval_ros[audit]"') from None


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SecurityError(f'{path}: the key cannot be read ({error.strerror}); {_HOW}') from None
    if len(data) > _MAX_BYTES:
        raise SecurityError(f'{path}: over {_MAX_BYTES} bytes, no key is so large')
    return data


def _first(
    path: Path, data: bytes, loaders: tuple[Callable[..., Any], ...], **options: Any,
) -> Any:
    """Return what the first loader that understands the file makes of it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    for load in loaders:
        try:
            return load(data, **options)
        except TypeError:
            raise SecurityError(f'{path}: under a passphrase, which nobody could type while a '
                                'node starts; give a key without one') from None
        except (ValueError, UnsupportedAlgorithm):
            continue
    raise SecurityError(f'{path}: neither a PEM nor an OpenSSH key of Ed25519; {_HOW}')
