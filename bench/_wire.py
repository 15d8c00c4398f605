"""A wire between two interfaces: what it is to do to frames, its program, what it did to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
#: numbers a frame in the log: way, came [ns], left [ns] or one of the two below, bytes
_COLUMNS = 4
_LOST, _DROPPED = -1, -2


@dataclass(frozen=True)
class Way:
    """What is done to the frames of one direction."""

    delay_ms: float = 0.0
    #: the delay is drawn evenly from so much less to so much more
    jitter_ms: float = 0.0
    #: share that never arrives
    loss: float = 0.0
    #: share that is held by `late_ms` more: later ones overtake it
    late: float = 0.0
    late_ms: float = 0.0

    def words(self) -> list[str]:
        """Return what the program is told of it."""
        def whole_ns(time_ms: float) -> str:
            return str(round(time_ms * 1e6))

        return [whole_ns(self.delay_ms), whole_ns(self.jitter_ms), repr(self.loss),
                repr(self.late), whole_ns(self.late_ms)]

    def netem(self) -> list[str]:
        """Return what `tc` is told of it for what leaves the interface `eth`."""
        delay_ms = self.delay_ms + self.late_ms if self.late else self.delay_ms
        words = ['qdisc', 'add', 'dev', 'eth', 'root', 'netem', 'limit', '100000',
                 'delay', f'{delay_ms:g}ms', f'{self.jitter_ms:g}ms', 'loss', f'{self.loss:%}']
        # netem sends the others at once
        return [*words, 'reorder', f'{1.0 - self.late:%}'] if self.late else words


@dataclass(frozen=True)
class Frames:
    """What the wire did to the frames of one direction."""

    #: how long each that arrived was held [ms]
    held_ms: NDArray[np.float64]
    lost: int
    #: those that were overtaken by a later one
    overtaken: int
    #: those that came too fast to be taken: lost, and not by order
    dropped: int


def netem_unavailable() -> str:
    """Say why the kernel cannot impair frames itself; empty: it can."""
    tried = subprocess.run(['unshare', '--net', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem',
                            'delay', '1ms'], capture_output=True, text=True)
    return '' if tried.returncode == 0 else f'no tc netem: {tried.stderr.strip()}'


def compiler() -> str | None:
    """Return the C compiler, None without one."""
    return next((found for name in ('cc', 'gcc', 'clang') if (found := shutil.which(name))), None)


def compiled(folder: Path, source: str, *words: str) -> Path:
    """Compile a source of this folder into another one, once."""
    made = folder / Path(source).stem.lstrip('_')
    if not made.exists():
        subprocess.run([str(compiler()), '-O2', '-Wall', '-Wextra', '-Werror', '-o', str(made),
                        str(HERE / source), *words], check=True)
    return made


def wire(folder: Path, log: Path, seed: int, ends: Sequence[str], ways: Sequence[Way],
         ) -> list[str]:
    """Return the command line of the wire between two interfaces, out and back."""
    return [str(compiled(folder, '_wire.c')), str(log), str(seed), *ends,
            *(word for way in ways for word in way.words())]


def frames(log: Path, way: int) -> Frames:
    """Return what became of the frames of one direction."""
    rows = np.fromfile(log, np.int64).reshape(-1, _COLUMNS)
    rows = rows[rows[:, 0] == way]
    there = rows[rows[:, 2] > 0]
    # in the order in which they left
    there = there[np.argsort(there[:, 2], kind='stable')]
    overtaken = there[:, 1] < np.maximum.accumulate(there[:, 1])
    return Frames((there[:, 2] - there[:, 1]) / 1e6, int(np.sum(rows[:, 2] == _LOST)),
                  int(np.sum(overtaken)), int(np.sum(rows[rows[:, 2] == _DROPPED, 3])))
