"""
The recorder killed at any instant, and on a disk that is full at any byte.

The counts of the contract (300 kills, 100 positions) are run with ``WM_EVAL_KILLS=300`` and
``WM_EVAL_FULL_DISKS=100``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from rosbags.rosbag2 import Reader

from wm_eval_ros.bag.disk import DiskFile
from wm_eval_ros.bag.limits import Limits
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.recorder_checks import last_word
from wm_eval_ros.bag.recording import Recording
from wm_eval_ros.bag.recover import Outcome, recover
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.wire.topics import TELEMETRY

CHILD = Path(__file__).with_name('fed_recording.py')
KILLS = int(os.environ.get('WM_EVAL_KILLS', '6'))
FULL_DISKS = int(os.environ.get('WM_EVAL_FULL_DISKS', '20'))


@pytest.fixture(scope='module')
def fed() -> ModuleType:
    spec = spec_from_file_location('fed_recording', CHILD)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(folder: Path, sync_ms: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(sync_ms)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})


def check(folder: Path, fed: ModuleType, acknowledged: dict[str, int]) -> None:
    """Hold a bag against what was put in: whole, in order, and all that was acknowledged."""
    counts: Counter[str] = Counter()
    with open_bag(folder) as bag:
        for message in bag.messages(list(fed.SIZES)):
            number = counts[message.topic]
            assert message.data == fed.payload(message.topic, number)
            assert message.sequence == number + 1
            counts[message.topic] += 1
    for topic, count in acknowledged.items():
        assert counts[topic] >= count, f'{topic}: acknowledged and lost'
    with Reader(folder) as reader:
        assert reader.message_count >= sum(counts.values())


def test_killed_at_any_instant_nothing_acknowledged_is_lost(
    tmp_path: Path, fed: ModuleType,
) -> None:
    pick = random.Random(20260730 + KILLS)
    acks = 0
    for number in range(KILLS):
        folder, new = tmp_path / f'b{number}', tmp_path / f'r{number}'
        child = start(folder, pick.choice([10, 50, 200]))
        assert child.stdout is not None
        assert child.stdout.readline() == 'begun\n'
        time.sleep(pick.uniform(0.0, 0.8))
        child.send_signal(signal.SIGKILL)
        said = child.communicate()[0].splitlines()
        acks += len(said)
        # a line may be cut by the kill: what was not said whole was not acknowledged
        last = json.loads(said[-1]) if said and said[-1].endswith('}') else {}
        found = recover(folder, new)
        if found.outcome is Outcome.NOTHING:
            assert not any(last.values())
            continue
        check(new, fed, last)
    assert acks > KILLS, 'the kills came before anything was acknowledged'


class Positioned:
    """A raw file whose disk is full from a byte on."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file, self._left = file, limit
        self.full_at: float | None = None

    def write(self, data: memoryview) -> int:
        if self._left == 0:
            self.full_at = self.full_at or time.monotonic()
            raise OSError(28, 'No space left on device')
        taken = int(self._file.write(data[:self._left]))
        self._left -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def full_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Positioned]]:
    """Return what makes the disk of the next file full from a byte on."""
    made: list[Positioned] = []
    real = DiskFile.__init__

    def patch(limit: int) -> list[Positioned]:
        def begin(self: DiskFile, path: Path) -> None:
            real(self, path)
            made.append(Positioned(self._raw, limit))
            self._raw = made[-1]  # type: ignore[assignment]
            monkeypatch.setattr(DiskFile, '__init__', real)

        monkeypatch.setattr(DiskFile, '__init__', begin)
        return made

    return patch


def test_a_disk_full_at_any_byte_is_surfaced_and_what_was_before_is_readable(
    tmp_path: Path, fed: ModuleType, full_at: Callable[[int], list[Positioned]],
) -> None:
    pick = random.Random(7)
    slowest = 0.0
    for number in range(FULL_DISKS):
        made = full_at(pick.randrange(5_000, 400_000))
        folder = tmp_path / f'b{number}'
        recording = Recording(
            folder, Limits(free_bytes=0, free_share=0.0, sync_ns=20_000_000), '/recorder_status')
        recording.add_topic('/planner_cycle', 'std_msgs/msg/Empty', TELEMETRY)
        end = time.monotonic() + 20
        count, durable = 0, 0
        while not recording.failure and time.monotonic() < end:
            for _ in range(20):
                recording.put('/planner_cycle', fed.payload('/planner_cycle', count), 1 + count,
                              1 + count, 1 + count)
                count += 1
            for status, _ in recording.statuses():
                durable = status.durable[0] if status.durable else 0
            time.sleep(0.002)
        seen = time.monotonic()
        assert 'No space left' in recording.failure
        with pytest.raises(RecordingError) as raised:
            recording.close()
        assert raised.value.exit_code == 74
        disk = made.pop()
        assert disk.full_at is not None
        slowest = max(slowest, seen - disk.full_at)
        found = recover(folder, tmp_path / f'r{number}')
        if found.outcome is Outcome.NOTHING:
            assert durable == 0
            continue
        check(tmp_path / f'r{number}', fed, {'/planner_cycle': durable})
        with open_bag(folder, salvage=True) as bag:
            assert bag.lost_bytes == 0, 'the file ends with a whole piece'
        with open_bag(tmp_path / f'r{number}') as bag:
            told = last_word(bag)
        assert told is not None
        assert 'No space left' in told.reason
    assert slowest < 1.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return what mounts a file system of a size; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f'disk{len(mounted)}'
        folder.mkdir()
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(folder)],
                              capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f'no file system may be mounted here: {done.stderr.decode().strip()}')
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.mark.slow
def test_on_a_real_full_disk_the_process_ends_with_74(
    small_disk: Callable[[int], Path], tmp_path: Path, fed: ModuleType,
) -> None:
    pick = random.Random(11)
    for number in range(max(3, FULL_DISKS // 4)):
        disk = small_disk(4096 * pick.randrange(30, 500))
        child = start(disk / 'bag', 20)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 74, err
        assert 'No space left' in err
        assert len(err.strip().splitlines()) == 1
        *acks, last = [json.loads(line) for line in out.splitlines()[1:]]
        assert last['surfaced_s'] < 1.0
        found = recover(disk / 'bag', tmp_path / f'r{number}')
        if found.outcome is Outcome.NOTHING:
            assert not any(any(ack.values()) for ack in acks)
            continue
        check(tmp_path / f'r{number}', fed, acks[-1] if acks else {})
