"""The loop of a listener: it pauses only when nothing waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.nodes import process  # noqa: E402


class OneOfEachTopic:
    """
    An executor that is asked not to wait.

    It takes one message of each topic that has any, then ends the pass with a spin that takes
    none, as rclpy's does.
    """

    def __init__(self, waiting: dict[str, int]) -> None:
        self.waiting = waiting
        self.taken = 0
        self._pass: list[str] = []
        self._ending = False

    def spin_once(self, timeout_sec: float) -> None:
        assert timeout_sec == 0.0
        if not self._pass and not self._ending:
            self._pass = [topic for topic, count in self.waiting.items() if count]
        if self._pass:
            self.waiting[self._pass.pop()] -= 1
            self.taken += 1
            self._ending = not self._pass
        else:
            self._ending = False


def test_all_that_waits_is_taken_before_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = OneOfEachTopic({'/fast': 50, '/slow': 1})
    at_pause: list[int] = []
    monkeypatch.setattr(process.time, 'sleep', lambda seconds: at_pause.append(executor.taken))
    monkeypatch.setattr(process.os, 'sched_setscheduler', lambda *_: None)

    class Stop:
        def __bool__(self) -> bool:
            return len(at_pause) == 2

    process.spin_in_batches(
        executor, Stop(), lambda: executor.taken, lambda: None)  # type: ignore[arg-type]
    assert at_pause == [51, 51]


def test_a_pause_comes_between_two_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    pauses: list[int] = []

    class Idle:
        def spin_once(self, timeout_sec: float) -> None:
            nonlocal looks
            looks += 1

    monkeypatch.setattr(process.time, 'sleep', lambda seconds: pauses.append(looks))
    monkeypatch.setattr(process.os, 'sched_setscheduler', lambda *_: None)

    class Stop:
        def __bool__(self) -> bool:
            return len(pauses) == 3

    process.spin_in_batches(Idle(), Stop(), lambda: 0, lambda: None)  # type: ignore[arg-type]
    assert pauses == [2, 3, 4]


FAILING = """
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.nodes.process import run_node
def make():
    raise RecordingError('no space left')
raise SystemExit(run_node(make, ['node']))
"""


def test_a_log_on_a_full_disk_does_not_change_the_exit_code() -> None:
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([sys.executable, '-c', FAILING], stderr=full, check=False)
    assert done.returncode == 74
