"""The world of the memory bench: the cue is seen once, nothing else tells it, chance is a half."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.planning.baselines import HoldPlanner
from wm_eval_ros.records import EventKind
from wm_eval_ros.training.simulate import rollout_episodes


class Load(Protocol):
    def __call__(self, name: str) -> ModuleType: ...


WAIT = 3


def rows(load: Load, seeds: range) -> list[tuple[int, EventKind, np.ndarray]]:
    """Return seed, outcome and what was seen, (slots + 1, 4), under a command held throughout."""
    world, bench = load('_recall'), load('bench_memory')
    plant = world.RecallPlant(WAIT)
    planner = HoldPlanner(world.PLANNER, None, world.INTERFACE)
    return [(o.seed, o.kind, o.trajectory.features) for o in rollout_episodes(
        plant, planner, world.INTERFACE, seeds, timing=bench.timing(plant))]


def test_an_episode_is_one_window_of_what_a_family_with_memory_trains_on(load: Load) -> None:
    settings = load('bench_memory').CASES['ssm'].settings(WAIT, 1, 0)
    for _, _, seen in rows(load, range(3)):
        assert len(seen) == settings.window + 1


def test_the_cue_is_seen_in_the_first_slot_alone_and_the_point_is_locked_until_it_is_needed(
    load: Load,
) -> None:
    cues = set()
    for _, _, seen in rows(load, range(20)):
        cue, gate, point, payoff = seen.T
        cues.add(cue[0])
        assert not cue[1:].any()
        assert gate.tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
        assert not point[:WAIT + 1].any() and not payoff[:WAIT + 3].any()
        assert np.allclose(payoff[WAIT + 3:], cue[0] * point[WAIT + 3:])
    assert cues == {-1.0, 1.0}


def test_what_is_seen_before_the_payoff_is_the_same_for_both_cues(load: Load) -> None:
    world = load('_recall')
    plant, seen = world.RecallPlant(WAIT), []
    for cue in (-1.0, 1.0):
        plant.reset(0)
        plant._cue = cue
        plant.apply(np.array([0.7]))
        found = []
        for _ in range(WAIT + 2):
            plant.advance(world.PERIOD_NS)
            found.append(plant.observe()['joint_states'].position)
        seen.append(np.stack(found))
    assert np.array_equal(*seen)


def test_an_episode_is_won_on_the_right_side(load: Load) -> None:
    found = rows(load, range(200))
    for _, kind, seen in found:
        right = seen[0, 0] * seen[-1, 2] > 0
        assert kind is (EventKind.SUCCESS if right else EventKind.FAILURE)
    # without a memory: a coin, 3.5 standard deviations of 200 throws
    won = sum(kind is EventKind.SUCCESS for _, kind, _ in found)
    assert abs(won - 100) < 25


def test_the_longest_way_is_cut_off_at_its_end(load: Load) -> None:
    world = load('_recall')
    plant = world.RecallPlant(WAIT)
    plant.apply(np.array([5.0]))
    plant.advance(WAIT * world.PERIOD_NS)
    assert plant.observe()['joint_states'].position[2] == 0.0
    plant.advance(world.PERIOD_NS)
    assert plant.observe()['joint_states'].position[2] == pytest.approx(0.5)
    plant.advance(5 * world.PERIOD_NS)
    assert plant.observe()['joint_states'].position[2] == 1.0


def test_no_plan_made_while_the_cue_is_seen_reaches_the_payoff(load: Load) -> None:
    world = load('_recall')
    with pytest.raises(ValueError, match='a wait of 1 slots'):
        world.RecallPlant(1)
    assert world.PLANNER.horizon < 2 + world.FREE
    assert isinstance(world.INTERFACE, Interface)


def test_the_table_has_a_row_a_family_and_a_column_a_wait(load: Load) -> None:
    bench = load('bench_memory')
    rows = [{'case': 'ssm', 'wait': w, 'success': 0.5, 'low': 0.4, 'high': 0.6} for w in (2, 5)]
    assert bench.table(rows) == ['| family | T = 2 | T = 5 |', '|---|---|---|',
                                 '| `ssm` | 0.50 [0.40, 0.60] | 0.50 [0.40, 0.60] |']


@pytest.mark.slow
def test_a_family_with_a_memory_recalls_and_one_without_does_not(load: Load) -> None:
    bench = load('bench_memory')
    torch.set_num_threads(1)
    args = bench.parsed(['--steps', '300', '--episodes', '40', '--train-episodes', '300'])
    data = bench.collect(5, args.train_episodes, args.seed)
    found = {name: bench.attempt(bench.CASES[name], 5, data, args) for name in ('mlp', 'ssm')}
    assert found['ssm']['low'] > 0.8
    assert found['mlp']['low'] < 0.5 < found['mlp']['high']
