"""The in-process loop: repeats itself, and shipped models do in it what their cards say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import ImageStream, Interface
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
from wm_eval_ros.planning.baselines import NoopPlanner
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.records import EventKind, JointSample
from wm_eval_ros.training.simulate import Observer, Outcome, rollout_episodes, Timing

pytest.importorskip('mujoco')


def play(task: str, seeds: range, planner: Any = CemPlanner) -> list[Outcome]:
    from wm_eval_ros.plants.mujoco_plant import MujocoPlant
    torch.set_num_threads(1)
    scenario = load_scenario(find_scenario(task))
    model = load_checkpoint(find_checkpoint(task), interface=scenario.interface)
    timing = Timing(period_ns=round(scenario.planner.period_ms * 1e6),
                    limit_ns=round(scenario.plant.time_limit_s * 1e9),
                    latency_ns=(10_000_000, 40_000_000), age_ns=10_000_000)
    return rollout_episodes(
        MujocoPlant(task=task, interface=scenario.interface),
        planner(scenario.planner, model, scenario.interface), scenario.interface, seeds,
        model=model, timing=timing)


def won(outcomes: list[Outcome]) -> int:
    return sum(o.kind is EventKind.SUCCESS for o in outcomes)


def test_reacher_reaches_and_the_baseline_does_not() -> None:
    seeds = range(7000, 7010)
    assert won(play('reacher', seeds)) >= 9
    assert won(play('reacher', seeds, NoopPlanner)) <= 2


def test_cartpole_swings_up_and_balances() -> None:
    assert won(play('cartpole', range(7000, 7003))) == 3


def test_an_episode_is_a_function_of_its_seed() -> None:
    first, again, other = (play('reacher', range(s, s + 1))[0] for s in (5, 5, 6))
    assert np.array_equal(first.trajectory.features, again.trajectory.features)
    assert np.array_equal(first.trajectory.actions, again.trajectory.actions)
    assert not np.array_equal(first.trajectory.features[0], other.trajectory.features[0])


def test_a_trajectory_ends_with_the_state_after_the_last_command() -> None:
    (outcome,) = play('reacher', range(1), NoopPlanner)
    assert outcome.kind is EventKind.TIMEOUT
    # 3 s at 20 Hz, and the state at the end
    assert outcome.trajectory.features.shape == (61, 9)
    assert len(outcome.plan_ns) == 60


def test_what_is_recorded_of_a_moment_is_numbers_pixels_and_what_no_model_sees(
    interface: Interface,
) -> None:
    (joints,) = interface.observations
    seeing = replace(interface, observations=(replace(joints, fields=('position[a]',)),),
                     images=(ImageStream(topic='c', width=2, height=1),),
                     unseen=(replace(joints, fields=('velocity[a]',)),))
    pixels = np.array([[[0, 51, 102], [153, 204, 255]]], np.uint8)
    plant: Any = SimpleNamespace(
        observe=lambda: {'joint_states': JointSample(('a',), np.array([0.5]), np.array([-2.0]))},
        render=lambda width, height: SimpleNamespace(pixels=pixels))
    observer = Observer(seeing)
    row = observer.row(plant)
    assert row.dtype == np.float32
    assert row.tolist() == pytest.approx([0.5, 0, .2, .4, .6, .8, 1, -2.0])
    assert observer.seen(row).tolist() == row[:7].tolist()
