"""How a run of the graph ends: with real processes, which do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sys

import pytest

from wm_eval_ros.cli import processes
from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.config.scenario import find_scenario, load_scenario

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
