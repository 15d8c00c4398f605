"""How node processes end."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import sys
import time

import pytest

from wm_eval_ros.cli import processes
from wm_eval_ros.cli.processes import failure, NodeProcess

DEAF = """#!{python}
import faulthandler, signal, time
faulthandler.enable()
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('deaf', flush=True)
def hung():
    time.sleep(60)
hung()
"""


HUNG = """#!{python}
import time
from wm_eval_ros.nodes.process import bound_teardown
bound_teardown(0.5)
def in_the_middleware():
    time.sleep(60)
in_the_middleware()
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], NodeProcess]:
    """Return what starts a node that runs the given script."""
    def start(text: str) -> NodeProcess:
        script = tmp_path / 'node'
        script.write_text(text.format(python=sys.executable), encoding='utf-8')
        script.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setattr(processes.sys, 'executable', str(script))
            return NodeProcess('monitor', {}, tmp_path / 'log', os.environ)

    return start


@pytest.fixture
def deaf(node: Callable[[str], NodeProcess], monkeypatch: pytest.MonkeyPatch) -> NodeProcess:
    """Return a node that does not hear SIGINT."""
    monkeypatch.setattr(processes, 'END_S', 0.2)
    found = node(DEAF)
    end = time.monotonic() + 20
    while 'deaf' not in found.log.read_text(encoding='utf-8') and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_a_node_that_does_not_end_leaves_its_stack_in_the_log(deaf: NodeProcess) -> None:
    deaf.interrupt()
    assert deaf.wait() == -signal.SIGABRT
    assert 'in hung' in deaf.log.read_text(encoding='utf-8')
    text = str(failure(deaf))
    assert text.startswith('monitor node was killed by signal 6: it did not end within 0.2 s')
    assert str(deaf.log) in text


def test_a_node_whose_middleware_hangs_after_its_work_has_finished(
    node: Callable[[str], NodeProcess],
) -> None:
    pytest.importorskip('rclpy')
    hung = node(HUNG)
    assert hung.wait() == -signal.SIGALRM
    assert hung.finished
    assert 'in in_the_middleware' in hung.log.read_text(encoding='utf-8')


def test_a_node_that_was_killed_has_not_finished(deaf: NodeProcess) -> None:
    deaf.wait()
    assert not deaf.finished
