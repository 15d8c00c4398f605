"""A setting acts on the planners that heed it, and on no other."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points
import importlib.util
from pathlib import Path
import re
from typing import Any

import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import ConstraintTerm, ObjectiveTerm, PlannerSettings
from wm_eval_ros.planning.search import SearchPlanner

GROUP = 'wm_eval_ros.planners'
PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'planners.md'
START, GOAL, NEVER = torch.zeros(1), torch.tensor([0.25]), 2**62

#: settings of every search
SHARED: dict[str, Any] = {
    'samples': 5, 'iterations': 2, 'horizon': 5, 'terminal_weight': 3.0, 'control_weight': 5.0,
    'uncertainty_weight': 5.0, 'action_limit': 0.3, 'action_repeat': 2,
    'objective': (ObjectiveTerm(features=('state.position[0]',), target=('-0.4',)),),
    'constraints': (ConstraintTerm(feature='state.position[0]', high=0.1, weight=9.0),),
}
#: settings of some searches, which name them in `uses`
OWN: dict[str, Any] = {
    'elites': 2, 'noise_std': 0.2, 'fresh': 0.5, 'noise_floor': 0.4, 'noise_beta': 0.7,
    'noise_color': 0.5, 'elite_reuse': 0.9, 'sample_decay': 3.0, 'temperature': 2.0,
    'smoothing': 0.6, 'learning_rate': 0.2, 'gradient_steps': 4,
    'bins': 4, 'exploration': 9.0,
}
#: weights of what some models know; see test_model_terms
OF_MODELS = {'goal_weight', 'reward_weight', 'constraint_weight', 'jerk_weight'}
#: settings of the objective that need more of a model; test_objective.py and test_model_terms.py
OF_THE_OBJECTIVE = {'jerk_weight', 'goal_weight', 'reward_weight', 'constraint_weight',
                    'constraints'}
#: the policy that is played or proposes; see training/test_distill
OF_POLICIES = {'policy', 'policy_sha256'}
#: settings of the node's schedule and set-up, which no search sees
OF_THE_NODE = {'planner', 'model', 'model_sha256', 'period_ms', 'deadline_ms', 'budget_ms',
               'stale_ms', 'latency_ms', 'least_latency_ms', 'latency_trace', 'torch_threads',
               'record_rollout', 'engine', 'precision', 'delay_steps'}
#: settings of a policy that is played or asked, which a search alone does not need
OF_A_POLICY = {'policy', 'policy_sha256'}


def is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


SEARCHES = [p.name for p in sorted(entry_points(group=GROUP)) if is_there(p.module)
            and issubclass(p.load(), SearchPlanner)]


def settings(**changes: Any) -> PlannerSettings:
    base = {'objective': (ObjectiveTerm(features=('state.position[0]',),
                                        target=('goal.position[0]',)),),
            'samples': 16, 'elites': 4, 'horizon': 6}
    return PlannerSettings(**{**base, **changes})


def decided(name: str, model: Any, interface: Any, **changes: Any) -> torch.Tensor:
    """Return all numbers that three decisions in a row tried, and chose, and their costs."""
    model.seen.clear()
    planner = plugins.load(GROUP, name)(settings(**changes), model, interface)
    plans = [planner.plan(START, GOAL, NEVER) for _ in range(3)]
    numbers = [*model.seen, *(p.actions for p in plans), torch.tensor([p.cost for p in plans])]
    return torch.cat([n.detach().flatten() for n in numbers])


def test_every_setting_is_either_of_the_search_or_of_the_node() -> None:
    names = {f.name for f in dataclasses.fields(PlannerSettings)}
    assert set(SHARED) | set(OWN) | OF_MODELS | OF_POLICIES | OF_THE_NODE == names
    assert not set(SHARED) & set(OWN)


@pytest.mark.parametrize('name', SEARCHES)
@pytest.mark.parametrize('setting', sorted(OWN))
def test_a_setting_acts_where_it_is_heeded_and_nowhere_else(
    name: str, setting: str, point_model: Any, interface: Any
) -> None:
    plain = decided(name, point_model, interface)
    changed = decided(name, point_model, interface, **{setting: OWN[setting]})
    heeded = setting in plugins.load(GROUP, name).uses
    assert torch.equal(plain, changed) is not heeded


@pytest.mark.parametrize('name', SEARCHES)
@pytest.mark.parametrize('setting', sorted(SHARED))
def test_the_settings_of_every_search_act_on_every_search(
    name: str, setting: str, point_model: Any, interface: Any
) -> None:
    plain = decided(name, point_model, interface)
    assert not torch.equal(plain, decided(name, point_model, interface,
                                          **{setting: SHARED[setting]}))


@pytest.mark.parametrize('name', SEARCHES)
def test_the_page_says_which_planner_heeds_which_setting(name: str) -> None:
    rows = re.findall(rf'^\| `{name}` \|.*$', PAGE.read_text(encoding='utf-8'), re.MULTILINE)
    told = {word for row in rows for word in re.findall(r'`(\w+)`', row)} & set(OWN)
    assert told == plugins.load(GROUP, name).uses
