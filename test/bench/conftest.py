"""The benches are scripts beside the package: their folder is put on the path for these tests."""

from __future__ import annotations

from collections.abc import Iterator
import importlib
from pathlib import Path
import sys
from types import ModuleType
from typing import Protocol

import pytest

BENCH = Path(__file__).resolve().parents[2] / 'bench'


class Load(Protocol):
    """Imports a module of the bench folder."""

    def __call__(self, name: str) -> ModuleType: ...


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import modules of the bench folder; they are gone after the test."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], '__file__', None) or '/').parent == BENCH:
            del sys.modules[name]
