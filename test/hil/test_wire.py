"""The wire does to frames what was asked for, keeps up with images, and says what it did."""

from __future__ import annotations

from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

#: so many datagrams, of so many bytes, at once, and the pause after them
SENDER = """
import socket, sys, time
bursts, at_once, size, pause_ms = map(int, sys.argv[2:])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(bursts):
    for _ in range(at_once):
        out.sendto(bytes(size), (sys.argv[1], 9))
    time.sleep(pause_ms / 1e3)
"""


def sent(two_hosts: ModuleType, folder: Path, asked: Any, seed: int, *shape: int) -> Any:
    """Return what became of the frames of datagrams from the host, sent in bursts."""
    folder.mkdir(exist_ok=True)
    with two_hosts.TwoHosts(folder, asked, asked, seed=seed) as hosts:
        words = [sys.executable, '-S', '-c', SENDER, two_hosts.ADDRESS.format(2)]
        sender = hosts.start(two_hosts.HOST, [*words, *map(str, shape)], folder / 'log')
        assert sender.wait(60.0) == 0, (folder / 'log').read_text()
        # what is held is put before the wire ends
        hosts.start(two_hosts.HOST, ['sleep', '0.2'], folder / 'rest').wait(10.0)
        hosts.cut()
    return hosts.frames(0)


def test_a_frame_is_held_lost_and_overtaken_as_often_as_was_asked_for(
    two_hosts: ModuleType, way: Any, tmp_path: Path,
) -> None:
    asked = way(delay_ms=5.0, jitter_ms=1.0, loss=0.1, late=0.2, late_ms=30.0)
    shape = (2000, 2, 100, 1)
    found = sent(two_hosts, tmp_path / 'first', asked, 1, *shape)
    assert found.dropped == 0
    assert found.lost + len(found.held_ms) == 4000
    assert 0.08 < found.lost / 4000 < 0.12
    assert 0.17 < np.mean(found.held_ms > 30.0) < 0.23
    assert found.held_ms.min() >= 4.0
    # evenly: a quarter of those not late is held for less than half a millisecond above the least
    assert 0.2 < np.mean(found.held_ms[found.held_ms < 30.0] < 4.5) < 0.3
    # each that is late is overtaken by the frames of 30 ms
    assert 0.17 < found.overtaken / len(found.held_ms) < 0.5
    # the same seed loses the same frames, another one others
    assert sent(two_hosts, tmp_path / 'again', asked, 1, *shape).lost == found.lost
    assert sent(two_hosts, tmp_path / 'other', asked, 2, *shape).lost != found.lost


def test_images_are_carried_as_fast_as_they_come(
    two_hosts: ModuleType, way: Any, tmp_path: Path,
) -> None:
    # 90 images of 0.9 MB, 30 a second, each of 15 datagrams in 44 frames
    found = sent(two_hosts, tmp_path, way(delay_ms=5.0, jitter_ms=1.0), 1, 90, 15, 62_000, 33)
    assert found.dropped == 0
    assert found.lost == 0
    assert len(found.held_ms) >= 90 * 15 * 42
    assert np.median(found.held_ms) < 7.0
