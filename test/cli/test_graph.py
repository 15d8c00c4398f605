"""How a run of the graph ends: with real processes, which do nothing."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from wm_eval_ros.cli import graph, processes
from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import RecordingError

#: a node that ends after SIGINT, the recorder 2 s after it; the plant is done once all are there
NODE = """#!{python}
import pathlib, signal, sys, time
folder, name = pathlib.Path('{folder}'), sys.argv[2].rpartition('.')[2]
def end(*_):
    time.sleep(2.0 * (name == 'recorder'))
    sys.exit(0)
signal.signal(signal.SIGINT, end)
(folder / name).touch()
while name == 'plant' and len(list(folder.iterdir())) < 5:
    time.sleep(0.01)
print('{{"done": 1}}', flush=True)
while True:
    time.sleep(1.0)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what runs the graph, with a second for each node to end and for each wait."""
    (tmp_path / 'there').mkdir()
    script = tmp_path / 'node'
    script.write_text(NODE.format(python=sys.executable, folder=tmp_path / 'there'),
                      encoding='utf-8')
    script.chmod(0o755)
    scenario = load_scenario(find_scenario('reacher'), {'recorder.stall_s': 1.0})

    def execute() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(processes.sys, 'executable', str(script))
            GraphRun(tmp_path / 'run').execute(scenario, lambda said: None)

    monkeypatch.setattr(processes, 'END_S', 1.0)
    return execute


def test_a_recorder_that_waits_for_a_slow_disk_at_the_end_is_not_aborted(
    run: Callable[[], None],
) -> None:
    run()


def test_a_recorder_that_not_even_sigkill_ends_does_not_hold_the_run_and_is_told_in_one_line(
    run: Callable[[], None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = []

    class InTheKernel(subprocess.Popen[Any]):
        """A process whose signals wait until its disk answers."""

        def send_signal(self, number: int) -> None:
            if 'wm_eval_ros.nodes.recorder' in self.args:  # type: ignore[operator]
                held.append(self)
            else:
                super().send_signal(number)

    monkeypatch.setattr(processes.subprocess, 'Popen', InTheKernel)
    monkeypatch.setattr(processes, 'ABORT_S', 0.2)
    monkeypatch.setattr(graph, 'LAST_WAITS', 0)
    begin = time.monotonic()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(RecordingError, match='disk does not answer') as raised:
            run()
        assert time.monotonic() - begin < 20
        assert held[0].returncode is None, 'it has not ended'
        assert signal.getsignal(signal.SIGINT) is handler, 'Ctrl-C is heard again'
    finally:
        os.kill(held[0].pid, signal.SIGKILL)
        held[0].wait()
    assert raised.value.exit_code == 74
    assert str(raised.value).startswith('recorder node did not end, not even by SIGKILL')
    assert '\n' not in str(raised.value)
