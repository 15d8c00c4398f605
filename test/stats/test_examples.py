"""The examples in the docstrings."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path
import pkgutil

import pytest

import wm_eval_ros.stats

MODULES = sorted(found.name for found in pkgutil.iter_modules(
    [str(Path(next(iter(wm_eval_ros.stats.__path__))))]))


@pytest.mark.parametrize('name', MODULES)
def test_the_examples_hold(name: str) -> None:
    failed, _ = doctest.testmod(import_module(f'wm_eval_ros.stats.{name}'))
    assert failed == 0
