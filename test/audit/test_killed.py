"""A writer killed at any instant leaves a bag that verifies to its last checkpoint."""

from __future__ import annotations

from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from wm_eval_ros.audit.seal import SIDECAR
from wm_eval_ros.audit.verify import Outcome, verify
from wm_eval_ros.cli.main import main
from wm_eval_ros.errors import BagError

KILLS = 6
WRITER = """
import sys
from pathlib import Path
from wm_eval_ros.audit.seal import seal_of
from wm_eval_ros.bag.writer import BagWriter
folder = Path(sys.argv[1])
writer = BagWriter(folder, seal=seal_of(folder, audit=True, signing_key=''))
writer.add_topic('/data', 'std_msgs/msg/UInt64')
number = 0
while True:
    number += 1
    writer.write('/data', b'\\0\\1\\0\\0' + number.to_bytes(8, 'little') * 20, 10**18 + number)
    if number % 50 == 0:
        writer.sync()
"""


def killed(folder: Path, after_s: float) -> Path:
    writer = subprocess.Popen([sys.executable, '-c', WRITER, str(folder)])
    end = time.monotonic() + 30
    while not (folder / SIDECAR).exists():
        assert time.monotonic() < end, 'nothing was ever written'
        assert writer.poll() is None, 'the writer ended by itself'
        time.sleep(0.001)
    time.sleep(after_s)
    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=10)
    return folder


def test_a_killed_bag_and_what_is_recovered_of_it_are_open_never_tampered(
    tmp_path: Path, capsys: Any,
) -> None:
    rng = random.Random(0)
    for number in range(KILLS):
        bag = killed(tmp_path / f'b{number}', rng.uniform(0.0, 0.2))
        try:
            found = verify(bag)
        except BagError as error:  # killed before the first chunk
            assert 'empty' in str(error)
            continue
        assert found.outcome is Outcome.OPEN, found
        # what is acknowledged is in the sidecar, and what is in the sidecar is in the bag
        lines = (bag / SIDECAR).read_bytes().count(b'\n')
        assert found.checkpoints >= lines
        assert found.messages >= found.sealed >= 50 * lines - 50
        again = tmp_path / f'r{number}'
        assert main(['recover', str(bag), '--out', str(again)]) in (0, 3)
        recovered = verify(again)
        assert recovered.outcome is Outcome.OPEN
        assert (recovered.messages, recovered.sealed) == (found.messages, found.sealed)
        assert main(['verify', str(again)]) == 3
        assert 'ended without a final seal' in ' '.join(capsys.readouterr().out.split())


def test_a_recovered_bag_that_lost_a_sealed_message_is_not_as_recorded(tmp_path: Path) -> None:
    bag = killed(tmp_path / 'b', 0.1)
    lines = (bag / SIDECAR).read_bytes().splitlines(keepends=True)
    if len(lines) < 2:
        pytest.skip('killed before the second checkpoint')
    file = next(bag.glob('*.mcap'))
    data = file.read_bytes()
    # before the chunk with message 51, the first of the second checkpoint
    at = data.index((51).to_bytes(8, 'little') * 20)
    file.write_bytes(data[:at])
    found = verify(bag)
    assert found.outcome is Outcome.TAMPERED
    assert found.bad is not None
    assert (found.bad.change.value, found.bad.index) == ('truncation', 50)
