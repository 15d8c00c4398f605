"""`wm-eval recover`: what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path

import pytest

from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.cli.main import main


def write(folder: Path, *, closed: bool) -> Path:
    writer = BagWriter(folder)
    writer.add_topic('/u', 'std_msgs/msg/Empty')
    for k in range(10):
        writer.write('/u', bytes([0, 1, 0, k]), k + 1)
        writer.flush()
    if closed:
        writer.close()
    else:
        writer._disk.close()
    return folder


def test_an_unclosed_bag_is_recovered_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write(tmp_path / 'bag', closed=False)
    assert main(['recover', str(folder), '--json']) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found['bag'] == str(tmp_path / 'bag_recovered')
    assert (found['outcome'], found['messages'], found['lost_bytes']) == ('full', 10, 0)
    assert found['topics'][0] == {'topic': '/u', 'type': 'std_msgs/msg/Empty', 'messages': 10,
                                  'bytes': 40, 'lost_at_least': 0}
    assert 'not closed' in said.err


def test_what_is_lost_and_nothing_have_exit_codes_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write(tmp_path / 'bag', closed=False)
    path = folder / 'bag_0.mcap'
    path.write_bytes(path.read_bytes()[:-5])
    assert main(['recover', str(folder), '--out', str(tmp_path / 'new')]) == 3
    assert 'lossy: ' in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:30])
    assert main(['recover', str(folder), '--out', str(tmp_path / 'newer')]) == 1
    assert not (tmp_path / 'newer').exists()
    assert main(['recover', str(tmp_path / 'nowhere')]) == 2
    assert main(['recover', str(write(tmp_path / 'c', closed=True)), '--out', str(folder)]) == 74
    assert 'Traceback' not in capsys.readouterr().err


def link(sidecar: Path) -> None:
    (secret := sidecar.parent.parent / 'secret').write_text('mine')
    sidecar.symlink_to(secret)


def bomb(sidecar: Path) -> None:
    sidecar.touch()
    os.truncate(sidecar, 1 << 40)


@pytest.mark.parametrize(('make', 'why'), [
    (link, 'a link to'), (bomb, 'larger than'), (os.mkfifo, 'no regular file')])
def test_a_sidecar_is_copied_unless_it_leads_away_or_is_none(
    make: Callable[[Path], object], why: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write(tmp_path / 'bag', closed=True)
    make(folder / 'audit.jsonl')
    assert main(['recover', str(folder), '--out', str(tmp_path / 'new')]) == 0
    note, = capsys.readouterr().err.splitlines()
    assert 'audit.jsonl: ' in note
    assert why in note
    assert not (tmp_path / 'new' / 'audit.jsonl').exists()
