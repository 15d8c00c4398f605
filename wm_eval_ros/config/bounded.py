"""Reading untrusted files: regular ones only, never more of them than a limit."""

from __future__ import annotations

import errno
import os
from pathlib import Path
import reprlib
import stat
from typing import BinaryIO

from wm_eval_ros.errors import WmEvalError


def read_bounded(path: Path, limit: int, error: type[WmEvalError]) -> bytes:
    """
    Return the contents of a regular file.

    It is opened without waiting and looked at before it is read: a pipe nobody writes to, a device
    or a folder of that name is refused and not waited for, and a file that grows is cut off.

    :param limit: a larger file is refused [bytes]
    :param error: class of the error that is raised
    """
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except OSError as failed:
        raise error(f'{path}: cannot be read ({failed.strerror or failed})') from None
    except ValueError:
        raise error(f'{str(path)!r}: no path: it holds a NUL character') from None
    if len(data) > limit:
        raise error(f'{path}: larger than {limit} bytes, at most so many are read')
    return data


def open_regular(path: Path) -> BinaryIO:
    """
    Open a regular file to read it.

    :raises OSError: it cannot be opened, or is a folder, a pipe or a device
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, 'rb')
    os.close(descriptor)
    raise OSError(errno.EINVAL, 'no regular file')


def text_of(data: bytes, path: Path, error: type[WmEvalError]) -> str:
    """Return bytes of a file as text; what is not UTF-8 is refused with its place."""
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as failed:
        raise error(f'{path}: not UTF-8 text (byte {failed.start})') from None


def shown(value: object) -> str:
    """
    Return an untrusted value for an error message: on one line, and not a long one.

    >>> shown('a'), shown([0] * 1000)
    ("'a'", '[0, 0, 0, 0, ...]')
    """
    return ' '.join(_SHORT.repr(value).split())


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxlevel = 4
