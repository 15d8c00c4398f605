"""The makers of runs are shared with the scorer's tests."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / 'scoring' / 'scenes.py'
    if 'scenes' in sys.modules:
        return sys.modules['scenes']
    spec = spec_from_file_location('scenes', path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules['scenes'] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def scenes() -> ModuleType:
    """Makers of records, runs and bags."""
    return load()
