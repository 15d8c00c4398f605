"""A planner that is started again goes on where its predecessor died."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.schedule import Schedule, Slot
from wm_eval_ros.planning.slot_mark import Mark, SlotMark

KILLED_AMID = """
import os, signal, sys
from pathlib import Path
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.planning.slot_mark import SlotMark
mark = SlotMark(Path(sys.argv[1]))
for k in range(43):
    mark.taken(Slot(k, 50 * k), 3 if k > 9 else 2)
    if k != 10:
        mark.recorded(k, 3 if k > 9 else 2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_new_file_holds_no_slot(tmp_path: Path) -> None:
    assert SlotMark(tmp_path / 'mark').read() is None


def test_what_was_written_is_there_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / 'mark'
    done = subprocess.run([sys.executable, '-c', KILLED_AMID, str(path)], env=os.environ,
                          timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    # slot 10, the first of episode 3, was taken and has no record
    assert SlotMark(path).read() == Mark(Slot(42, 2100), 3, 11)
    again = SlotMark(path)
    again.taken(Slot(43, 2150), 3)
    again.recorded(43, 3)
    assert again.read() == Mark(Slot(43, 2150), 3, 11), 'its episode began with its predecessor'
    again.taken(Slot(44, 2200), 4)
    assert again.read() == Mark(Slot(44, 2200), 4), 'of the next nothing is recorded yet'


def test_the_schedule_goes_on_with_the_next_number_on_the_same_grid() -> None:
    schedule = Schedule(50, first=43)
    schedule.anchor(2100 + 50)
    missed, slot = schedule.take(2100 + 4 * 50 + 10)
    assert [s.number for s in missed] == [43, 44, 45]
    assert slot == Slot(46, 2300)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'mark: cannot be opened \(No such file'):
        SlotMark(tmp_path / 'none' / 'mark')
