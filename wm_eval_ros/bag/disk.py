"""A file that only grows, by all of a piece or by nothing of it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


class DiskFile:
    """
    A new file of whole pieces.

    There is no buffer: what was appended is the operating system's, and survives the death of
    this process. What the disk did not take whole is cut off again.
    """

    def __init__(self, path: Path) -> None:
        """
        Create the file.

        :raises OSError: it exists, or cannot be made
        """
        self._raw = path.open('xb', buffering=0)
        #: end of the last whole piece [bytes]
        self.size = 0

    def append(self, *parts: bytes | bytearray | memoryview) -> None:
        """
        Append the parts as one piece.

        :raises OSError: the disk did not take it; the file ends where it did
        """
        try:
            for part in parts:
                self._write(memoryview(part))
        except OSError:
            # where even that fails a reader finds a cut piece, as after a power cut
            with contextlib.suppress(OSError):
                self._raw.truncate(self.size)
                self._raw.seek(self.size)
            raise
        self.size += sum(map(len, parts))

    def sync(self) -> None:
        """
        Wait until the disk has it all.

        :raises OSError: it does not
        """
        os.fsync(self._raw.fileno())

    def close(self) -> None:
        """
        Close the file.

        :raises OSError: the last writes failed
        """
        self._raw.close()

    def _write(self, view: memoryview) -> None:
        while len(view):
            count = self._raw.write(view)
            if not count:
                raise OSError(errno.EIO, 'nothing was written')
            view = view[count:]
