"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import random
import sys
from types import ModuleType

from hypothesis import settings
import pytest

# how long an example takes says more of the machine than of the code
settings.register_profile('untimed', deadline=None)
settings.load_profile('untimed')

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """A DDS domain of this test's own, also for the processes it starts."""
    # 0 is everybody's default; above 101 the ports run into Linux' ephemeral range.
    domain = random.SystemRandom().randint(1, 101)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    return domain


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of the real robot recordings, beside the repository."""
    folder = ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no robot recordings: {folder} is not there')
    return folder


@pytest.fixture(scope='session')
def scenes() -> ModuleType:
    """Makers of records, runs and bags, shared by the tests of scoring and of what shows it."""
    # `test` is a module of the standard library: a helper below it cannot be imported by name
    spec = spec_from_file_location('scenes', ROOT / 'test' / 'scoring' / 'scenes.py')
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules['scenes'] = module
    spec.loader.exec_module(module)
    return module
