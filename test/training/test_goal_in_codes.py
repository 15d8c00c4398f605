"""A goal held against codes: planned for in the space of a model that reconstructs nothing."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.scenario import find_scenario, load_scenario, PlannerSettings
from wm_eval_ros.models.protocol import EncodesGoal
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.training.fidelity_ranking import ranking
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset

SMALL = TrainSettings(family='jepa', steps=300, hidden=32, latent=8, batch=64)
PLANNER = PlannerSettings(goal_weight=1.0, horizon=15, terminal_weight=1.0, noise_beta=0.7)


@pytest.mark.slow
def test_the_cart_is_driven_to_a_goal_that_only_codes_know(
    linear_world: Dataset, interface: Interface,
) -> None:
    state = interface.observations[0]
    goals = dataclasses.replace(interface, goal=Stream(topic='goal', type=state.type,
                                                       fields=state.fields))
    model = train(dataclasses.replace(linear_world, interface=goals), SMALL, 'codes').model
    assert isinstance(model, EncodesGoal)
    for wanted in (0.5, -0.5):
        planner = CemPlanner(PLANNER, model, goals)
        x, v, z, action = 0.0, 0.0, None, torch.zeros(1)
        for step in range(60):
            z = model.encode(torch.tensor([[x, v]]), z, action[None], torch.tensor([step == 0]))
            before = float(action)
            action = planner.plan(z[0], torch.tensor([wanted, 0.0]), 2**62).actions[0]
            force = 0.3 * before + 0.7 * float(action)
            x, v = x + 0.05 * v, 0.95 * v + 0.2 * force
        # it stood half a unit away; codes of 8 numbers tell where it is to a fifth or so
        assert abs(x - wanted) < 0.25
        assert abs(v) < 0.3


@pytest.mark.parametrize('name', ['goal_weight', 'reward_weight', 'constraint_weight'])
def test_candidates_are_not_ranked_by_heads_that_the_world_lacks(name: str) -> None:
    scenario = load_scenario(find_scenario('reacher'))
    asked = dataclasses.replace(scenario, planner=dataclasses.replace(
        scenario.planner, **{name: 1.0}))  # type: ignore[arg-type]
    contrast: Any = SimpleNamespace(oracle=np.zeros(1))
    chosen: Any = SimpleNamespace(goals=np.zeros((1, 2)))
    found = ranking(contrast, chosen, asked, ('a',))
    assert len(found) == 4
    assert all(v.value is None and name in v.why for v in found)
