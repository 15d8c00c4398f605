"""How node processes end."""

from __future__ import annotations

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


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeProcess:
    """Return a node that does not hear SIGINT."""
    script = tmp_path / 'node'
    script.write_text(DEAF.format(python=sys.executable), encoding='utf-8')
    script.chmod(0o755)
    monkeypatch.setattr(processes, 'END_S', 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(processes.sys, 'executable', str(script))
        node = NodeProcess('monitor', {}, tmp_path / 'log', os.environ)
    end = time.monotonic() + 20
    while 'deaf' not in node.log.read_text(encoding='utf-8') and time.monotonic() < end:
        time.sleep(0.01)
    return node


def test_a_node_that_does_not_end_leaves_its_stack_in_the_log(deaf: NodeProcess) -> None:
    deaf.interrupt()
    assert deaf.wait() == -signal.SIGABRT
    assert 'in hung' in deaf.log.read_text(encoding='utf-8')
    text = str(failure(deaf))
    assert text.startswith('monitor node was killed by signal 6: it did not end within 0.2 s')
    assert str(deaf.log) in text
