"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType

from hypothesis import settings
import pytest

from wm_eval_ros.cli.processes import reserved_domain

# how long an example takes says more of the machine than of the code
settings.register_profile('untimed', deadline=None)
settings.load_profile('untimed')

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that nobody on this host is in, also for the processes the test starts."""
    with reserved_domain(None) as domain:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
        yield domain


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
