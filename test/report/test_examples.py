"""The examples in the documentation of the report."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize('name', ['markdown', 'parts', 'text', 'units', 'plots.base',
                                  'plots.states'])
def test_the_examples_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f'wm_eval_ros.report.{name}'))
    assert found.attempted > 0 and found.failed == 0
