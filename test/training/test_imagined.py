"""The simulator beside a dream, under the recorded commands: what strays, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

mujoco = pytest.importorskip('mujoco')
pytest.importorskip('gymnasium')
torch = pytest.importorskip('torch')

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario  # noqa: E402
from wm_eval_ros.errors import BagError, ConfigError  # noqa: E402
from wm_eval_ros.planning.scaling import to_unit  # noqa: E402
from wm_eval_ros.plants.load import make_plant  # noqa: E402
from wm_eval_ros.plants.mujoco_plant import MujocoPlant  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.training import imagined  # noqa: E402
from wm_eval_ros.training.dataset import Recording, Series  # noqa: E402
from wm_eval_ros.training.imagined import Dreamed, error_by_depth, followed  # noqa: E402
from wm_eval_ros.training.simulate import Observer  # noqa: E402

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
    period = round(scenario.planner.period_ms * 1e6)
    plant.reset(seed)
    for slot in range(SLOTS):
        stamp = ORIGIN + slot * period
        values = observer.row(plant)
        at = 0
        for stream, width in zip(interface.observations, (7, 2), strict=True):
            series[stream.topic].add(stamp, values[at:at + width])
            at += width
        action = rng.uniform(-0.3, 0.3, 2)
        commands.add(stamp + LATENCY, to_unit(action, interface.command))
        plant.advance(LATENCY)
        plant.apply(action)
        plant.advance(period - LATENCY)
    return Recording(interface, period, [], series, commands)


def beside(scenario: Scenario, seed: int = 1000) -> Dreamed:
    start = EpisodeEvent(ORIGIN, 0, EventKind.START, '', float(seed), 'plant')
    recording = recorded(scenario, seed)
    step_ns = imagined._step_ns(scenario, recording, Path('bag'))
    period = recording.period_ns
    found = imagined._beside(recording, scenario, start, ORIGIN + SLOTS * period, step_ns)
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


def test_where_a_slot_takes_two_steps_of_the_model_the_depth_counts_these() -> None:
    found = beside(scenario_of(**{'plant.kind': 'dream', 'plant.model': 'reacher',
                                  'planner.period_ms': 100.0}))
    assert found.depth.tolist() == list(range(2, 2 * SLOTS, 2))


def test_a_key_frame_between_two_slots_is_where_the_depth_begins_anew() -> None:
    often, seldom = (beside(scenario_of(**{
        'plant.kind': 'dream', 'plant.model': 'reacher', 'planner.period_ms': 100.0,
        'plant.keyframe_steps': every})) for every in (3, 1000))
    # steps 2, 4, 6, ... after key frames at 3, 6, 9, ...
    assert often.depth.tolist() == [2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1]
    gap = np.abs(often.imagined - often.real).max(axis=1)
    assert gap[often.depth == 0].max() < 1e-4 < gap[often.depth == 1].min()
    assert np.array_equal(often.anchor[3], often.real[2])
    # that of step 3 is neither the state of step 2 nor that of step 4
    assert not np.array_equal(often.anchor[1], often.real[0])
    assert not np.array_equal(often.anchor[1], often.real[1])
    assert np.array_equal(seldom.anchor[0], seldom.anchor[-1])
    assert gap.max() < np.abs(seldom.imagined - seldom.real).max()


def test_without_the_model_the_depth_is_not_known_and_the_bag_is_named() -> None:
    scenario = scenario_of(**{'plant.kind': 'dream', 'plant.model': 'models/gone'})
    series = Recording(scenario.interface, 50_000_000, [], {}, None)
    with pytest.raises(BagError, match=r'^bag: how long a step of its dream takes is'):
        imagined._step_ns(scenario, series, Path('bag'))


def made(error: float, steps: int, depth: list[int] | None = None) -> Dreamed:
    """Make an episode whose one feature goes 1, 2, 3 ... and is imagined too high by `error`."""
    real = np.arange(1.0, steps + 1)[:, None]
    return Dreamed(np.array(depth or range(1, steps + 1)), real + error * real, real,
                   np.zeros((steps, 1)))


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


def test_of_the_depths_that_are_seen_those_far_apart_are_given() -> None:
    values = error_by_depth([made(0.1, 6, [3, 6, 9, 12, 15, 18])] * 5)
    assert [v.name for v in values[::2]] == [f'imagination_error[h={h}]' for h in (3, 6, 15, 18)]


@pytest.mark.parametrize(('steps', 'depth', 'says'), [
    pytest.param(7, [0] * 7, 'every state that is shown is a key frame', id='key-frames'),
    pytest.param(1, [1], 'nothing moves', id='stands-still')])
def test_where_there_is_no_figure_the_reason_is_given(
    steps: int, depth: list[int], says: str,
) -> None:
    [error, still] = error_by_depth([made(0.0, steps, depth)] * 5)
    assert (error.value, still.value) == (None, None)
    assert error.name == 'imagination_error[h=1]'
    assert says in error.why


def test_dreams_of_different_features_are_refused() -> None:
    other = Dreamed(np.array([1]), *(np.zeros((1, 2)) for _ in range(3)))
    with pytest.raises(ConfigError, match='dreams of 1 and 2 features'):
        error_by_depth([*(made(0.1, 3) for _ in range(5)), other])


def test_a_bag_that_cannot_be_followed_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(path: Path) -> list[Dreamed]:
        if path.name == 'realtime':
            raise BagError('realtime: clock realtime')
        return [made(0.1, 3)] if path.name == 'good' else []

    monkeypatch.setattr(imagined, 'dreamed_episodes', read)
    episodes, left_out = followed([Path(name) for name in ('realtime', 'good', 'empty', 'good')])
    assert len(episodes) == 2
    assert left_out == ['realtime: clock realtime',
                        'empty: no episode with a state after its start, and an end']
