"""`wm-eval shadow`: a bag of proposals and of somebody else's commands."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.records import Mode, RunInfo

COMMAND = {'topic': 'cmd', 'type': 'geometry_msgs/msg/PointStamped', 'fields': ['point.x'],
           'low': [-1.0], 'high': [1.0]}
INTERFACE: dict[str, Any] = {'observations': [], 'command': COMMAND}


def bag(scenes: ModuleType, folder: Path, mode: Mode, topic: str = '/cmd') -> str:
    """Two slots whose proposals are 0.1 and 0.9; what drives is 0.0 (a point at the origin)."""
    info: RunInfo = replace(scenes.info(), settings={'interface': INTERFACE})
    cycles = [scenes.cycle(k, action=(value,), mode=mode.name)
              for k, value in enumerate([0.1, 0.9])]
    return str(scenes.write_bag(folder / 'bag', [
        info, scenes.event('START'), *cycles, *(scenes.sample(topic, at) for at in (0.0, 50.0)),
        scenes.event('TIMEOUT', 0, 100.0)]))


def test_agreement_comes_from_the_bag_alone(
    scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['shadow', bag(scenes, tmp_path, Mode.SHADOW), '--json']) == 0
    found = {v['name']: v for v in json.loads(capsys.readouterr().out)['values']}
    assert found['shadow_agreement']['value'] == 0.5
    assert found['shadow_difference[point.x].max']['value'] == 0.9
    assert found['shadow_fallbacks']['value'] == 0.0


def test_the_table_names_every_figure(
    scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['shadow', bag(scenes, tmp_path, Mode.SHADOW)]) == 0
    assert 'shadow_agreement' in capsys.readouterr().out


@pytest.mark.parametrize(('mode', 'topic', 'text'), [
    pytest.param(Mode.PLANNER, '/cmd', 'no slots in shadow mode', id='no-shadow'),
    pytest.param(Mode.SHADOW, '/other', 'what really drove was not recorded', id='nobody'),
])
def test_a_bag_without_the_evidence_is_refused_with_one_line(
    scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: Mode,
    topic: str, text: str,
) -> None:
    assert main(['shadow', bag(scenes, tmp_path, mode, topic)]) == 2
    said = capsys.readouterr().err.strip()
    assert text in said
    assert '\n' not in said
