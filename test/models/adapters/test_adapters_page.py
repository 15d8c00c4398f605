"""The examples of docs/adapters.md run, with stand-ins for what they import from your side."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
import re
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.models import adapters
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.load import load_model
from wm_eval_ros.planning.cem import CemPlanner

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'adapters.md'
EXAMPLES = re.findall(r'```python\n(.*?)```', PAGE.read_text(encoding='utf-8'), re.S)


def test_every_adapter_has_an_example_of_a_few_lines() -> None:
    folder = Path(adapters.__file__).parent
    shared = {'__init__', 'adapter', 'window'}
    named = {m for code in EXAMPLES for m in re.findall(r'adapters\.(\w+) import', code)}
    assert named - shared == {p.stem for p in folder.glob('*.py')} - shared
    for code in EXAMPLES:
        body = code[code.index('class My'):].strip().splitlines()
        assert len(body) <= 12


@pytest.mark.parametrize('code', EXAMPLES, ids=lambda c: re.findall(r'class (\w+)', c)[0])
def test_an_example_defines_a_plug_in(code: str) -> None:
    found: dict[str, Any] = {}
    exec(code, found)
    kind = next(v for n, v in found.items() if n.startswith('My'))
    assert callable(kind.for_scenario)


def test_the_example_of_a_step_function_plans_as_it_stands(scenario: Scenario) -> None:
    found: dict[str, Any] = {}
    exec(EXAMPLES[-1], found)
    assert check_world_model(found['MyStep'].for_scenario(scenario)) == []


def test_the_example_of_tdmpc2_hands_on_what_it_imports(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Model(torch.nn.Module):
        def encode(self, obs: torch.Tensor, task: object) -> torch.Tensor:
            return obs.tanh()

        def next(self, z: torch.Tensor, a: torch.Tensor, task: object) -> torch.Tensor:
            return (z + a.sum(-1, keepdim=True)).tanh()

        def pi(self, z: torch.Tensor, task: object) -> tuple[None, dict[str, torch.Tensor]]:
            return None, {'mean': z[:, :2].tanh(), 'log_std': torch.zeros(len(z), 2)}

    own = ModuleType('my_tdmpc2')
    own.agent, own.readout = ModuleType('agent'), lambda z: z   # type: ignore[attr-defined]
    own.agent.model = Model()
    monkeypatch.setitem(sys.modules, 'my_tdmpc2', own)
    found: dict[str, Any] = {}
    exec(EXAMPLES[0], found)
    model = found['MyTdmpc2'].for_scenario(scenario)
    assert check_world_model(model) == []
    assert model.spec.name == 'reacher-1M'


def test_a_scenario_that_names_the_plug_in_plans_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    exec(EXAMPLES[-1], found)
    own = ModuleType('my_package')
    own.MyStep = found['MyStep']                                # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'my_package', own)
    points = EntryPoints([EntryPoint('mine', 'my_package:MyStep', GROUP)])
    monkeypatch.setattr(plugins, 'entry_points', lambda group: points)
    scenario = load_scenario(find_scenario('reacher'), {
        'planner.model': 'mine', 'planner.model_sha256': ''})
    model = load_model(scenario)
    planner = CemPlanner(scenario.planner, model, scenario.interface)
    planner.reset(0)
    features = torch.zeros(len(model.spec.feature_names))
    # the function moves everything by the same amount: the goal is one it can reach
    plan = planner.plan(model.encode(features[None])[0], torch.tensor([0.2, 0.2]), 2**62)
    assert plan.rollout is not None
    tip = plan.rollout[-1, [n.startswith('tip_pose') for n in model.spec.feature_names]]
    assert float((tip - 0.2).abs().max()) < 0.1
