"""The examples of a service and a container: they start what exists, and end as nodes end."""

from __future__ import annotations

from configparser import ConfigParser
from importlib.metadata import entry_points
from pathlib import Path
import re
import shlex

import pytest

from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.errors import EXIT_BAD_INPUT

FOLDER = config_folder() / 'deploy'
UNITS = sorted(FOLDER.glob('*.service'))
SCRIPTS = {e.name for e in entry_points(group='console_scripts')
           if e.value.startswith('wm_eval_ros.')}


def unit(path: Path) -> ConfigParser:
    found = ConfigParser(strict=True, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(path.read_text(encoding='utf-8'))
    return found


def test_there_are_units_of_planner_and_supervisor() -> None:
    assert [p.stem for p in UNITS] == ['wm-eval-planner', 'wm-eval-supervisor']


@pytest.mark.parametrize('path', UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_node_that_exists_and_stops_it_as_nodes_are_stopped(path: Path) -> None:
    service = unit(path)['Service']
    program, *words = shlex.split(service['ExecStart'])
    assert Path(program).name in SCRIPTS
    assert words[0] == '--ros-args'
    assert any(word.startswith('scenario:=') for word in words)
    assert service['KillSignal'] == 'SIGINT'
    assert service['RestartPreventExitStatus'] == str(EXIT_BAD_INPUT)


def test_the_planner_starts_by_itself_and_behind_the_gate() -> None:
    planner = unit(FOLDER / 'wm-eval-planner.service')
    assert 'autostart:=true' in planner['Service']['ExecStart']
    assert 'wm-eval-supervisor.service' in planner['Unit']['After']


def test_the_container_runs_what_exists_and_is_stopped_by_sigint() -> None:
    text = (FOLDER / 'Containerfile').read_text(encoding='utf-8')
    assert 'STOPSIGNAL SIGINT' in text
    assert 'make setup' in text
    named = set(re.findall(r'wm_eval_ros (wm-eval|\w+_node)', text))
    assert named == {'wm-eval', 'planner_node'}
    assert named <= SCRIPTS
