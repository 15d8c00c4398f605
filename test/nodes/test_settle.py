"""What a process does to itself before its loop, where it is asked to and may."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip('rclpy')

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes import process


def scenario(**changes: Any) -> Scenario:
    return load_scenario(find_scenario('reacher'), {'clock': 'realtime', **changes})


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Make this process one of four processors; keep what it is set to."""
    given: list[set[int]] = []
    monkeypatch.setattr(process.os, 'sched_getaffinity', lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(process.os, 'sched_setaffinity', lambda pid, cpus: given.append(set(cpus)))
    monkeypatch.setattr(process.os, 'listdir', lambda path: ['7'])
    return given


@pytest.mark.parametrize(('name', 'pinned', 'want'), [
    ('planner', [2, 3], [{2, 3}]), ('recorder', [2, 3], [{0, 1}]), ('plant', [2, 9], [{0, 1, 3}]),
    ('planner', [], []), ('planner', [9], []), ('monitor', [9], []),
    ('monitor', [0, 1, 2, 3], []),
])
def test_the_planner_has_its_processors_and_the_others_the_rest(
    name: str, pinned: list[int], want: list[set[int]], affinity: list[set[int]]
) -> None:
    process.settle(name, scenario(pinned_cpus=pinned))
    assert affinity == want


def test_in_lockstep_nothing_is_pinned(affinity: list[set[int]]) -> None:
    process.settle('planner', scenario(pinned_cpus=[1], clock='lockstep'))
    assert affinity == []


@pytest.mark.parametrize('cpus', [[0, 0], [-1]])
def test_processors_are_named_once(cpus: list[int]) -> None:
    with pytest.raises(ConfigError, match='pinned_cpus'):
        scenario(pinned_cpus=cpus)


def test_memory_is_locked_as_it_is_touched() -> None:
    code = ('from wm_eval_ros.config.scenario import find_scenario, load_scenario\n'
            'from wm_eval_ros.nodes.manifest import _locked_kib\n'
            'from wm_eval_ros.nodes.process import settle\n'
            's = load_scenario(find_scenario("reacher"), {"lock_memory": True, '
            '"clock": "realtime"})\n'
            'before = _locked_kib(); settle("planner", s); print(before, _locked_kib())')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          timeout=120)
    before, after = map(int, done.stdout.split())
    if after == before:
        pytest.skip('this system does not allow it')
    assert before == 0
    assert after > 1000
