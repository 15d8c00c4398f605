"""The simulator beside a dream, under the recorded commands: what strays, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

mujoco = pytest.importorskip('mujoco')
pytest.importorskip('gymnasium')
torch = pytest.importorskip('torch')

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario  # noqa: E402
from wm_eval_ros.planning.scaling import to_unit  # noqa: E402
from wm_eval_ros.plants.load import make_plant  # noqa: E402
from wm_eval_ros.plants.mujoco_plant import MujocoPlant  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.training import imagined  # noqa: E402
from wm_eval_ros.training.dataset import Recording, Series  # noqa: E402
from wm_eval_ros.training.imagined import Dreamed, error_by_depth  # noqa: E402
from wm_eval_ros.training.simulate import Observer  # noqa: E402

PERIOD = 50_000_000
LATENCY = 15_000_000
#: an episode begins at this stamp [ns, ROS]
ORIGIN = 5_000_000
SLOTS = 12


def scenario_of(**changes: object) -> Scenario:
    return load_scenario(find_scenario('reacher'), {'clock': 'lockstep', **changes})


def recorded(scenario: Scenario, seed: int) -> Recording:
    """Record an episode of a scenario's plant in lockstep, as its bag would hold it."""
    plant, interface = make_plant(scenario), scenario.interface
    observer = Observer(interface)
    series = {s.topic: Series() for s in interface.observations}
    commands = Series()
    rng = np.random.default_rng(0)
    plant.reset(seed)
    for slot in range(SLOTS):
        stamp = ORIGIN + slot * PERIOD
        values = observer.row(plant)
        at = 0
        for stream, width in zip(interface.observations, (7, 2), strict=True):
            series[stream.topic].add(stamp, values[at:at + width])
            at += width
        action = rng.uniform(-0.3, 0.3, 2)
        commands.add(stamp + LATENCY, to_unit(action, interface.command))
        plant.advance(LATENCY)
        plant.apply(action)
        plant.advance(PERIOD - LATENCY)
    return Recording(interface, PERIOD, [], series, commands)


def beside(scenario: Scenario, seed: int = 1000) -> Dreamed:
    start = EpisodeEvent(ORIGIN, 0, EventKind.START, '', float(seed), 'plant')
    found = imagined._beside(recorded(scenario, seed), scenario, start, ORIGIN + SLOTS * PERIOD)
    assert found is not None
    return found


def test_the_simulator_given_the_recorded_commands_does_what_it_did() -> None:
    found = beside(scenario_of())
    assert isinstance(make_plant(scenario_of()), MujocoPlant)
    # the state after the last command is not published
    assert found.imagined.shape == found.real.shape == (SLOTS - 1, 9)
    assert np.abs(found.imagined - found.real).max() < 1e-9
    assert found.depth.tolist() == list(range(1, SLOTS))


def test_a_dream_strays_from_it_and_by_more_with_depth() -> None:
    found = beside(scenario_of(**{'plant.kind': 'dream', 'plant.model': 'reacher'}))
    gap = np.abs(found.imagined - found.real).max(axis=1)
    assert 0 < gap[0] < gap.max()
    assert np.array_equal(found.anchor[0], found.anchor[-1])


def test_key_frames_begin_the_depth_anew_and_are_not_imagined_themselves() -> None:
    found = beside(scenario_of(**{'plant.kind': 'dream', 'plant.model': 'reacher',
                                  'plant.keyframe_steps': 4}))
    assert found.depth.tolist() == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
    frames = found.depth == 0
    assert np.abs(found.imagined - found.real)[frames].max() < 1e-4
    assert np.array_equal(found.anchor[4], found.real[3])


def made(error: float, steps: int) -> Dreamed:
    """Make an episode whose one feature goes 1, 2, 3 ... and is imagined too high by `error`."""
    real = np.arange(1.0, steps + 1)[:, None]
    return Dreamed(np.arange(1, steps + 1), real + error * real, real, np.zeros((steps, 1)))


def test_errors_by_depth_are_those_worked_out_by_hand() -> None:
    values = {v.name: v for v in error_by_depth([made(0.1, 3) for _ in range(6)])}
    scale = np.std([1.0, 2.0, 3.0])
    assert values['imagination_error[h=1]'].value == pytest.approx(0.1 / scale)
    assert values['imagination_error[h=3]'].value == pytest.approx(0.3 / scale)
    assert values['imagination_persistence[h=2]'].value == pytest.approx(2 / scale)
    assert (values['imagination_error[h=1]'].n, len(values)) == (6, 6)


def test_a_depth_that_few_episodes_reach_is_left_out() -> None:
    values = error_by_depth([made(0.1, 1)] * 5 + [made(0.1, 2)])
    assert [v.name for v in values] == ['imagination_error[h=1]', 'imagination_persistence[h=1]']


def test_few_episodes_give_a_reason() -> None:
    [error, _] = error_by_depth([made(0.1, 3)] * 4)
    assert error.value is None
    assert '4 dreamed episodes' in error.why
