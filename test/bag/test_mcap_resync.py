"""Looking for records costs little, whatever the damaged bytes look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from wm_eval_ros.bag import mcap_resync
from wm_eval_ros.bag.mcap_record import MAGIC, RecordFile
from wm_eval_ros.bag.mcap_resync import next_record

MIB = 1 << 20
#: a footer, and what stands before it in every file
END = pack('<BQI', 15, 4, 0) + pack('<BQQQI', 2, 20, 0, 0, 0) + MAGIC


def labels() -> np.ndarray:
    """Return bytes of a label image: most are zero, some a small number."""
    rng = np.random.default_rng(0)
    return np.where(rng.random(MIB) < 0.05, rng.integers(1, 16, MIB), 0).astype(np.uint8)


def every(step: int, *values: int) -> np.ndarray:
    """Return zeros with the values at every so many bytes."""
    found = np.zeros(MIB, np.uint8)
    for at, value in enumerate(values):
        found[at::step] = value
    return found


@pytest.mark.parametrize('noise', [
    pytest.param(labels(), id='label image'),
    pytest.param(every(9, 3), id='empty schemas'),
    pytest.param(every(40, 6), id='chunks'),
    pytest.param(every(23, 3, 14), id='schemas of no name'),
])
def test_few_places_of_a_label_image_are_tried(
        noise: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'a.mcap'
    path.write_bytes(noise.tobytes() + b'\xff' * 64 + END)
    tried, fields = counted(monkeypatch, '_chain_begins'), [0]
    read = mcap_resync._Contents.read

    def reading(self: mcap_resync._Contents, size: int) -> bytes:
        fields[0] += 1
        return read(self, size)

    monkeypatch.setattr(mcap_resync._Contents, 'read', reading)
    file = RecordFile(path)
    try:
        # records of the noise that are whole, and follow each other, are records
        whole = bool(noise[1] == 14)
        assert next_record(file, 0, file.size, None) == (0 if whole else MIB + 64)
    finally:
        file.close()
    assert len(tried) <= mcap_resync._TRIES
    assert fields[0] <= 20_000


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Keep the places at which a function of the module was called."""
    found: list[int] = []
    own: Callable[..., object] = getattr(mcap_resync, name)

    def calling(file: RecordFile, at: int, *rest: object) -> object:
        found.append(at)
        return own(file, at, *rest)

    monkeypatch.setattr(mcap_resync, name, calling)
    return found
