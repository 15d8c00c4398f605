"""The example of docs/plugins.md is run as it stands."""

from __future__ import annotations

import dataclasses
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
import re
from typing import Any

import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.models.checkpoint import GROUP, load_checkpoint, save_checkpoint
from wm_eval_ros.planning.cem import CemPlanner

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'plugins.md'


def test_the_example_is_short_loads_and_plans(
    spec: Any, interface: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, checker = re.findall(r'```python\n(.*?)```', PAGE.read_text(encoding='utf-8'),
                                  re.S)[:2]
    assert len(example.strip().splitlines()) <= 30
    (tmp_path / 'my_package.py').write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint('drift', 'my_package:DriftModel', GROUP)
    monkeypatch.setattr(plugins, 'entry_points', lambda group: EntryPoints([point]))
    spec = dataclasses.replace(spec, family='drift', architecture={})
    save_checkpoint(tmp_path / 'drift', spec, {'effect': torch.tensor(
        [[0.0, 0.0, 0.5], [0.1, 0.0, 0.0]])})
    model = load_checkpoint(tmp_path / 'drift', interface=interface)
    exec(checker, {'model': model})
    settings = PlannerSettings(objective=(
        ObjectiveTerm(features=('joint_states.velocity[elbow]',), target=('1.0',)),))
    plan = CemPlanner(settings, model, interface).plan(torch.zeros(3), torch.zeros(0), 2**62)
    assert plan.rollout is not None
    assert float(plan.rollout[-1, 2]) == pytest.approx(1.0, abs=0.3)
