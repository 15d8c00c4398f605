"""What spoils a latency: every look answers on any machine, and says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

from wm_eval_ros.cli import doctor_realtime
from wm_eval_ros.cli.doctor import Finding
from wm_eval_ros.cli.main import main


def test_every_look_answers_and_names_a_remedy_where_it_warns(
    capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['doctor', '--realtime', '--json']) == 0, 'it only warns'
    found = json.loads(capsys.readouterr().out)
    assert {'kernel', 'SCHED_FIFO', 'timers', 'swap', 'socket buffers'} <= {
        each['name'] for each in found}
    for each in found:
        assert each['found']
        assert not each['needed'] or each['ok']
        assert bool(each['remedy']) is not each['ok']


@pytest.mark.parametrize(('files', 'look', 'good'), [
    ({'/proc/swaps': 'Filename Type\n/dev/sda2 partition'}, '_swap', False),
    ({'/proc/swaps': 'Filename Type'}, '_swap', True),
    ({'/sys/kernel/mm/transparent_hugepage/enabled': '[always] madvise never'}, '_pages', False),
    ({'/sys/kernel/mm/transparent_hugepage/enabled': 'always [madvise] never'}, '_pages', True),
    ({'/sys/fs/cgroup/cpu.max': '150000 100000'}, '_quota', False),
    ({'/sys/fs/cgroup/cpu.max': 'max 100000'}, '_quota', True),
    ({'/proc/sys/net/core/rmem_max': '212992'}, '_buffers', False),
    ({'/proc/sys/net/core/rmem_max': '4194304'}, '_buffers', True),
    ({'/proc/sys/kernel/sched_rt_runtime_us': '950000',
      '/proc/sys/kernel/sched_rt_period_us': '1000000'}, '_throttling', False),
    ({'/proc/sys/kernel/sched_rt_runtime_us': '-1',
      '/proc/sys/kernel/sched_rt_period_us': '1000000'}, '_throttling', True),
    ({'/sys/kernel/realtime': '1'}, '_kernel', True),
    ({}, '_throttling', True), ({}, '_buffers', True), ({}, '_swap', True),
])
def test_what_the_kernel_says_is_read(
    files: dict[str, str], look: str, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_realtime, 'text_of', lambda path: files.get(path, ''))
    found: Finding = getattr(doctor_realtime, look)()
    assert found.ok is good
    assert not found.needed


def test_sleeps_never_end_early_but_for_rounding() -> None:
    found = doctor_realtime.overshoots(20)
    assert found == sorted(found)
    assert len(found) == 20
    assert found[0] > -0.01


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert doctor_realtime.text_of(str(tmp_path / 'none')) == ''


def test_a_process_may_or_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: Any = doctor_realtime._tried
    assert tried('pass')
    assert not tried('raise PermissionError')
