"""
ROS security: refuse to start where it is asked for and cannot be had. No ROS is imported.

rcl takes a strategy it does not know for the permissive one, a misspelt `ROS_SECURITY_ENABLE` for
off, and under `Permissive` a missing enclave for none: an operator believes to be protected and is
not. Here what is asked for is either there or the node does not start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
import sys

from wm_eval_ros.errors import SecurityError

ENABLE, STRATEGY = 'ROS_SECURITY_ENABLE', 'ROS_SECURITY_STRATEGY'
KEYSTORE, OVERRIDE = 'ROS_SECURITY_KEYSTORE', 'ROS_SECURITY_ENCLAVE_OVERRIDE'
#: what an enclave's folder holds; keys and certificates may be PKCS 11 instead
FILES = ('identity_ca.cert.pem', 'cert.pem', 'key.pem', 'permissions_ca.cert.pem',
         'governance.p7s', 'permissions.p7s')
#: what the middleware says that was built without DDS security
_ABSENT = b'have the security libraries'
_LIBRARY = 'librmw_fastrtps_shared_cpp.so'


def enabled(environ: Mapping[str, str]) -> bool:
    """
    Say whether ROS security is asked for.

    :raises SecurityError: the variable has a value that rcl takes for no
    """
    value = environ.get(ENABLE, '')
    if value not in ('', 'true', 'false'):
        raise SecurityError(f'{ENABLE}={value!r}: rcl takes that for false; write true or false')
    return value == 'true'


def enforced(environ: Mapping[str, str]) -> bool:
    """
    Say whether nothing may run without security.

    :raises SecurityError: the strategy has a value that rcl takes for the permissive one
    """
    value = environ.get(STRATEGY, '')
    if value not in ('', 'Enforce', 'Permissive'):
        raise SecurityError(f'{STRATEGY}={value!r}: rcl takes that for Permissive; write Enforce '
                            'or Permissive')
    return enabled(environ) and value == 'Enforce'


def require_enclave(environ: Mapping[str, str], argv: Sequence[str]) -> None:
    """
    Refuse to start under `Enforce` without the keys of the node's enclave.

    :param argv: the node's command line, which names the enclave
    :raises SecurityError: no keystore, no such enclave, or one that lacks a file
    """
    if not enforced(environ):
        return
    store = environ.get(KEYSTORE, '')
    if not store:
        raise SecurityError(f'{STRATEGY}=Enforce and no {KEYSTORE}; make one with `ros2 security '
                            'create_keystore` (docs/security.md) and name its folder')
    path = _enclave(environ, argv)
    folder = Path(store) / 'enclaves' / path.strip('/')
    missing = [name for name in FILES if not any(
        (folder / each).is_file() for each in (name, name.replace('.pem', '.p11')))]
    if missing:
        raise SecurityError(
            f'{folder}: enclave {path} has no {", ".join(missing)}; make it with `ros2 security '
            'create_enclave`, or start the node with `--ros-args --enclave` and the path of its '
            'own (docs/security.md)')


def middleware_has_security(folders: Sequence[Path] = (Path(sys.prefix) / 'lib',)) -> bool | None:
    """Say whether the Fast DDS of these folders was built with DDS security; None: not found."""
    for folder in folders:
        if (folder / _LIBRARY).is_file():
            return _ABSENT not in (folder / _LIBRARY).read_bytes()
    return None


def refusal(text: str) -> str:
    """Return in one line what the middleware says when it is to be secure and cannot."""
    if _ABSENT.decode() in text:
        return (f'{ENABLE}=true, and this Fast DDS was built without DDS security (that of the '
                'wheels is): use a ROS 2 distribution, or unset the variable')
    return ' '.join(text.partition(', at ')[0].split())


def _enclave(environ: Mapping[str, str], argv: Sequence[str]) -> str:
    if environ.get(OVERRIDE):
        return environ[OVERRIDE]
    named = [value for flag, value in pairwise(argv)
             if flag in ('-e', '--enclave')]
    return named[-1] if named else '/'
