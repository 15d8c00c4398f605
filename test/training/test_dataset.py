"""Bags to trajectories: alignment worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.config.interface import ImageStream, Interface
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import CycleRecord, CycleStatus, InputRef, RunInfo
from wm_eval_ros.training.dataset import load_dataset, Recording, require_states, Series
from wm_eval_ros.training.trajectory import merge

T0 = 1_700_000_000_000_000_000
Make = Callable[..., CycleRecord]


def used(ms: float) -> tuple[InputRef, ...]:
    return (InputRef('/joint_states', T0 + round(ms * 1e6)),)


def test_each_slot_has_the_state_it_saw_and_the_command_that_reached_the_plant(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    # 100 Hz of states; slot 1 begins at 50 ms but had seen only the sample of 40 ms
    states = [(10.0 * i, float(i), -float(i)) for i in range(16)]
    commands = [(12.0, 1.0), (70.0, -2.0), (112.0, 0.5)]
    cycles = [make_cycle(7, 0.5, inputs=used(0)), make_cycle(8, 50.5, inputs=used(40)),
              make_cycle(9, 100.5, inputs=used(100))]
    data = load_dataset([write_bag('bag', run_info, states, commands, cycles)])
    (piece,) = data.trajectories
    assert data.feature_names == ('joint_states.position[a]', 'joint_states.velocity[a]')
    assert data.dt_s == pytest.approx(0.05)
    assert piece.features.tolist() == [[0, 0], [4, -4], [10, -10]]
    # limits -2 and 2
    assert piece.actions.tolist() == [[0.5], [-1.0], [0.25]]
    assert piece.before.tolist() == [0.0]
    assert data.transitions == 2


def test_behind_a_relay_the_states_are_those_the_planner_was_told(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    true = [(50.0 * i, float(i), 0.0) for i in range(3)]
    told = [(ms, 10.0 + x, v) for ms, x, v in true]
    cycles = [make_cycle(i, 50.0 * i + 0.5, inputs=(
        InputRef('/perturbed/joint_states', T0 + round(50e6 * i)),)) for i in range(3)]
    bag = write_bag('bag', run_info, true, [(1.0, 1.0), (51.0, 0.0), (101.0, 0.0)], cycles,
                    told=told)
    (piece,) = load_dataset([bag]).trajectories
    assert piece.features[:, 0].tolist() == [10, 11, 12]


def test_behind_a_relay_the_images_are_those_the_planner_saw(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    interface = dict(run_info.settings['interface'])
    interface['images'] = [to_plain(ImageStream(topic='camera', width=1, height=1))]
    info = dataclasses.replace(run_info, settings={'interface': interface})
    times = [50.0 * i for i in range(3)]
    cycles = [make_cycle(i, ms + 0.5, inputs=tuple(
        InputRef(topic, T0 + round(1e6 * ms)) for topic in ('/joint_states', '/perturbed/camera')))
        for i, ms in enumerate(times)]
    bag = write_bag('bag', info, [(ms, 0.0, 0.0) for ms in times],
                    [(ms + 1.0, 0.0) for ms in times], cycles,
                    images={'/camera': [(ms, 255) for ms in times],
                            '/perturbed/camera': [(ms, 51) for ms in times]})
    (piece,) = load_dataset([bag]).trajectories
    assert piece.features[:, 2:] == pytest.approx(0.2)


def test_what_the_planner_could_not_read_is_passed_over(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    states = [(50.0 * i, float(i), 0.0) for i in range(3)]
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i)) for i in range(3)]
    commands = [(5.0, 0.0), (55.0, 0.0), (105.0, 0.0)]
    bag = write_bag('bag', run_info, states, commands, cycles, unreadable=[49.0, 120.0])
    (piece,) = load_dataset([bag]).trajectories
    assert piece.features[:, 0].tolist() == [0, 1, 2]


def test_a_bag_in_which_nothing_can_be_read_is_refused_with_what_is_wrong(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i)) for i in range(3)]
    bag = write_bag('bag', run_info, [], [(5.0, 0.0)], cycles, unreadable=[0.0, 50.0, 100.0])
    with pytest.raises(BagError, match='joint_states'):
        load_dataset([bag])


def test_a_slot_without_a_command_runs_on_the_one_before(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    states = [(50.0 * i, float(i), 0.0) for i in range(4)]
    cycles = [make_cycle(0, 0, inputs=used(0)),
              make_cycle(1, 50, status=CycleStatus.SKIPPED),
              make_cycle(2, 100, inputs=used(100)), make_cycle(3, 150, inputs=used(150))]
    # the first command comes 75 ms after its slot began: in force from within slot 1 on
    bag = write_bag('bag', run_info, states, [(75.0, 2.0), (160.0, -2.0)], cycles)
    (piece,) = load_dataset([bag]).trajectories
    # the skipped slot names no input: the newest sample at its begin stands in
    assert piece.features[:, 0].tolist() == [0, 1, 2, 3]
    assert piece.actions[:, 0].tolist() == [0, 1, 1, -1]


def test_the_commands_of_the_gate_count_not_those_proposed(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    states = [(50.0 * i, float(i), 0.0) for i in range(3)]
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i), action=(2.0,),
                         command_stamp_ns=T0 + 50_000_000 * i) for i in range(3)]
    bag = write_bag('bag', run_info, states, [(1.0, 0.0), (51.0, 1.0), (101.0, 1.0)], cycles)
    (piece,) = load_dataset([bag]).trajectories
    assert piece.actions[:, 0].tolist() == [0, 0.5, 0.5]


def test_gaps_episodes_and_warm_up_cut_trajectories(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    states = [(50.0 * i, float(i), 0.0) for i in range(12)]
    states[6] = (300.0, math.nan, 0.0)
    slots = [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]
    cycles = [make_cycle(99, 0, status=CycleStatus.WARMUP, inputs=used(0))]
    cycles += [make_cycle(i, 50 * i, episode=0 if i < 9 else 1, inputs=used(50 * i))
               for i in slots]
    commands = [(50 * i + 5, 2.0 * (i % 2)) for i in slots]
    data = load_dataset([write_bag('bag', run_info, states, commands, cycles)])
    assert [t.features[:, 0].tolist() for t in data.trajectories] == [
        [0, 1], [3, 4, 5], [7, 8], [10, 11]]
    assert [t.episode for t in data.trajectories] == [0, 0, 0, 1]
    assert [t.before.tolist() for t in data.trajectories] == [[0], [1], [0], [0]]


def test_equal_stamps_of_a_free_run(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    states = [(50.0 * i, float(i), 0.0) for i in range(3)]
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i)) for i in range(3)]
    bag = write_bag('bag', run_info, states, [(0, 2.0), (50, -2.0), (100, 1.0)], cycles)
    (piece,) = load_dataset([bag]).trajectories
    assert piece.actions[:, 0].tolist() == [1, -1, 0.5]


def test_bags_are_joined_and_their_episodes_kept_apart(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i)) for i in range(3)]
    bags = [write_bag(name, run_info, [(50.0 * i, float(i + at), 0.0) for i in range(3)],
                      [(5.0, 0.0)], cycles) for at, name in enumerate(('a', 'b'))]
    data = load_dataset(bags)
    assert data.episodes == 2
    assert data.sources == ('a', 'b')
    slower = dataclasses.replace(run_info, period_ns=40_000_000)
    other = write_bag('c', slower, [(40.0 * i, 0.0, 0.0) for i in range(3)], [(5.0, 0.0)],
                      [make_cycle(i, 40 * i, inputs=used(40 * i)) for i in range(3)])
    with pytest.raises(BagError, match='another interface or period'):
        load_dataset([bags[0], other])


@pytest.mark.parametrize(('what', 'match'), [
    ('no-info', 'no run_info|run_info'), ('no-cycles', 'no two consecutive'),
    ('one-slot', '1 slots, no two consecutive'),
])
def test_a_bag_to_learn_nothing_from_is_refused(
    what: str, match: str, write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo
) -> None:
    cycles = [] if what == 'no-cycles' else [make_cycle(0, 0, inputs=used(0))]
    bag = write_bag('bag', None if what == 'no-info' else run_info, [(0, 0.0, 0.0)],
                    [(5.0, 0.0)], cycles)
    with pytest.raises(BagError, match=match) as caught:
        load_dataset([bag])
    assert '\n' not in str(caught.value)


def test_a_series_sorts_late_samples_in() -> None:
    series = Series()
    for stamp in (10, 30, 20, 30):
        series.add(stamp, np.array([float(stamp)]))
    assert series.stamps == [10, 20, 30]
    assert series.until(29, 0) == [20.0]
    assert series.until(29, 20) is None
    assert series.until(9, 0) is None


def test_nothing_to_merge() -> None:
    with pytest.raises(ValueError, match='no data set'):
        merge([])


def test_the_in_process_loop_gives_what_its_bag_would_give(
    write_bag: Callable[..., Path], make_cycle: Make, run_info: RunInfo, interface: Any
) -> None:
    """Write the messages of an in-process run down, read them back, compare the arrays."""
    from wm_eval_ros.config.scenario import PlannerSettings
    from wm_eval_ros.planning.baselines import ExplorePlanner
    from wm_eval_ros.training.simulate import rollout_episodes, Timing

    class Cart:
        """A plant of one joint that remembers what was done to it."""

        step_ns, hold_s = 5_000_000, 1.0

        def __init__(self) -> None:
            self.states: list[tuple[float, float, float]] = []
            self.commands: list[tuple[float, float]] = []

        def reset(self, seed: int) -> None:
            self.time_ns, self.x, self.v, self.u = 0, 0.1 * seed, 0.0, 0.0

        def apply(self, action: Any) -> None:
            self.u = float(action[0])
            self.commands.append((self.time_ns / 1e6, self.u))

        def advance(self, duration_ns: int) -> None:
            self.x, self.v = self.x + self.v * 0.005, self.v + self.u * 0.005
            self.time_ns += duration_ns

        def observe(self) -> Any:
            from wm_eval_ros.records import JointSample
            self.states.append((self.time_ns / 1e6, self.x, self.v))
            return {'joint_states': JointSample(('a',), np.array([self.x]), np.array([self.v]))}

        def goal(self) -> None:
            return None

        def solved(self) -> bool:
            return False

        def failed(self) -> str:
            return ''

    plant: Any = Cart()
    planner = ExplorePlanner(PlannerSettings(), None, interface)
    timing = Timing(limit_ns=1_000_000_000)
    (outcome,) = rollout_episodes(plant, planner, interface, [3], timing=timing)
    cycles = [make_cycle(i, 50 * i, inputs=used(50 * i)) for i in range(21)]
    bag = write_bag('bag', run_info, plant.states, plant.commands[1:], cycles)
    (piece,) = load_dataset([bag]).trajectories
    assert np.array_equal(piece.features, outcome.trajectory.features)
    assert np.allclose(piece.actions, outcome.trajectory.actions, atol=1e-7)
    assert np.array_equal(piece.before, outcome.trajectory.before)


def test_a_model_that_sees_images_is_not_asked_by_features(interface: Interface) -> None:
    seeing = dataclasses.replace(interface, images=(ImageStream(topic='c'),))
    require_states(Recording(interface, 1, [], {}, None), Path('b'))
    with pytest.raises(BagError, match='b: the model of this run sees images'):
        require_states(Recording(seeing, 1, [], {}, None), Path('b'))
