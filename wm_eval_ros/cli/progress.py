"""A progress bar on standard error, for anything that takes more than two seconds."""

from __future__ import annotations

import sys
import time
from typing import TextIO

#: nothing is drawn before [s]
PATIENCE_S = 2.0
_WIDTH = 30


class Progress:
    """Draws in place on a terminal; elsewhere prints a line at every quarter."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        """Begin; `total` is the count at which it is done."""
        self._label = label
        self._total = max(total, 1)
        self._stream = sys.stderr if stream is None else stream
        self._begun = time.monotonic()
        self._drawn = False
        self._quarter = 0

    def update(self, done: int, note: str = '') -> None:
        """Show how much is done."""
        if time.monotonic() - self._begun < PATIENCE_S:
            return
        share = min(1.0, done / self._total)
        if self._stream.isatty():
            filled = round(share * _WIDTH)
            bar = '#' * filled + '.' * (_WIDTH - filled)
            self._stream.write(f'\r{self._label} [{bar}] {done}/{self._total} {note}\x1b[K')
            self._drawn = True
        elif int(share * 4) > self._quarter:
            self._quarter = int(share * 4)
            self._stream.write(f'{self._label}: {done}/{self._total} {note}\n')
        self._stream.flush()

    def close(self) -> None:
        """End the line."""
        if self._drawn:
            self._stream.write('\n')
            self._stream.flush()
