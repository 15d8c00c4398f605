"""The progress bar: silent at first, in place on a terminal, a line a quarter elsewhere."""

from __future__ import annotations

import io

import pytest

from wm_eval_ros.cli import progress
from wm_eval_ros.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_at_first() -> None:
    stream = Terminal()
    bar = Progress('x', 10, stream)
    bar.update(5)
    bar.close()
    assert stream.getvalue() == ''


def test_a_terminal_sees_the_bar_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, 'PATIENCE_S', 0.0)
    stream = Terminal()
    bar = Progress('x', 10, stream)
    bar.update(0)
    assert stream.getvalue().count('.') == 30
    bar.update(10, 'done')
    bar.close()
    last = stream.getvalue().rpartition('\r')[2]
    assert last.count('#') == 30
    assert last.endswith('10/10 done\x1b[K\n')


def test_elsewhere_a_line_comes_at_every_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, 'PATIENCE_S', 0.0)
    stream = io.StringIO()
    bar = Progress('x', 100, stream)
    for done in range(101):
        bar.update(done)
    bar.close()
    assert stream.getvalue().splitlines() == [
        'x: 25/100 ', 'x: 50/100 ', 'x: 75/100 ', 'x: 100/100 ']
