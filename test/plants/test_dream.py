"""A world model as the world: the simulator's starts, its own future, the task's judgement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

mujoco = pytest.importorskip('mujoco')
pytest.importorskip('gymnasium')
torch = pytest.importorskip('torch')

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario  # noqa: E402
from wm_eval_ros.errors import CheckpointError, ConfigError  # noqa: E402
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint  # noqa: E402
from wm_eval_ros.plants.dream import DIVERGED, DreamPlant, world_model  # noqa: E402
from wm_eval_ros.plants.load import make_plant, pinned  # noqa: E402
from wm_eval_ros.plants.mujoco_plant import MujocoPlant  # noqa: E402
from wm_eval_ros.plants.protocol import Disturbable, Stepwise  # noqa: E402
from wm_eval_ros.plants.tasks import task_names  # noqa: E402
from wm_eval_ros.records import JointSample, PoseSample, Sample  # noqa: E402

MS = 1_000_000
PERIOD = 50 * MS


def scenario_of(task: str, model: str = '', **overrides: object) -> Scenario:
    """Return the scenario of a dream by the task's own model, or by another."""
    return load_scenario(find_scenario(task), {
        'clock': 'lockstep', 'plant.kind': 'dream', 'plant.model': model or task, **overrides})


def dream(task: str, model: str = '', **overrides: object) -> DreamPlant:
    return DreamPlant.for_scenario(scenario_of(task, model, **overrides))


def real(task: str) -> MujocoPlant:
    return MujocoPlant(task, scenario_of(task).interface)


def numbers(seen: Mapping[str, Sample]) -> np.ndarray:
    found = []
    for topic in sorted(seen):
        sample = seen[topic]
        if isinstance(sample, JointSample):
            found += [np.cos(sample.position), np.sin(sample.position), sample.velocity]
        else:
            assert isinstance(sample, PoseSample)
            found.append(sample.position)
    return np.concatenate(found)


def slot(plant: DreamPlant | MujocoPlant, action: np.ndarray, latency_ms: int = 15) -> None:
    plant.advance(latency_ms * MS)
    plant.apply(action)
    plant.advance(PERIOD - latency_ms * MS)


@pytest.mark.parametrize('task', task_names())
def test_an_episode_begins_where_that_of_the_simulator_begins(task: str) -> None:
    dreamed, world = dream(task), real(task)
    for seed in (3, 1000):
        dreamed.reset(seed)
        world.reset(seed)
        assert np.array_equal(numbers(dreamed.observe()), numbers(world.observe()))
        goals = dreamed.goal(), world.goal()
        assert (goals[0] is None) == (goals[1] is None)
        if goals[0] is not None and goals[1] is not None:
            assert np.array_equal(goals[0].position, goals[1].position)
        assert dreamed.solved() == world.solved()


@pytest.mark.parametrize('task', task_names())
def test_a_dream_of_the_simulator_itself_is_the_world(task: str) -> None:
    dreamed, world = dream(task, 'oracle'), real(task)
    dreamed.reset(1000)
    world.reset(1000)
    rng, command = np.random.default_rng(0), scenario_of(task).interface.command
    for _ in range(20):
        action = 0.3 * rng.uniform(command.low, command.high)
        slot(dreamed, action)
        slot(world, action)
        shown, seen = numbers(dreamed.observe()), numbers(world.observe())
        # the model hands single precision from step to step
        assert np.abs(shown - seen).max() <= 1e-3 * max(1.0, np.abs(seen).max())
        assert dreamed.solved() == world.solved()


def test_it_shows_what_the_model_imagines_of_the_commands() -> None:
    plant, model = dream('reacher'), load_checkpoint(find_checkpoint('reacher'))
    plant.reset(7)
    commands = np.random.default_rng(1).uniform(-0.3, 0.3, (8, 2))
    joints, tip = plant.observe()['joint_states'], plant.observe()['tip_pose']
    assert isinstance(joints, JointSample)
    assert isinstance(tip, PoseSample)
    (a, b), (va, vb) = joints.position, joints.velocity
    start = torch.tensor([[np.cos(a), np.sin(a), b, np.cos(b), np.sin(b), va, vb,
                           *tip.position[:2]]])
    rollout = model.predict(model.encode(start), torch.as_tensor(commands,
                                                                 dtype=torch.float32)[None])
    for action in commands:
        slot(plant, action)
    assert np.allclose(plant.state(), rollout[0, -1].double().numpy(), rtol=0, atol=1e-5)
    shown = plant.observe()['joint_states']
    assert isinstance(shown, JointSample)
    told = model.decode(rollout)[0, -1]  # type: ignore[attr-defined]
    assert np.allclose(shown.velocity, told[5:7].double().numpy(), rtol=0, atol=1e-4)
    assert np.allclose(float(torch.atan2(told[1], told[0])), shown.position[0], rtol=0, atol=1e-4)


def test_between_two_steps_nothing_changes_and_time_passes() -> None:
    plant = dream('reacher')
    plant.reset(0)
    before = numbers(plant.observe())
    plant.advance(PERIOD - 5 * MS)
    assert plant.time_ns == PERIOD - 5 * MS
    assert np.array_equal(numbers(plant.observe()), before)
    plant.advance(5 * MS)
    assert not np.array_equal(numbers(plant.observe()), before)


def test_a_command_is_that_of_the_step_it_arrives_in_whenever_that_is() -> None:
    ends = []
    for latency_ms in (0, 15, 45):
        plant = dream('reacher')
        plant.reset(0)
        slot(plant, np.array([0.3, -0.2]), latency_ms)
        ends.append(plant.state())
    assert np.array_equal(ends[0], ends[1])
    assert np.array_equal(ends[0], ends[2])


def test_a_command_that_arrives_as_a_step_ends_is_the_next_ones() -> None:
    late, idle = dream('reacher'), dream('reacher')
    for plant in (late, idle):
        plant.reset(0)
        plant.advance(PERIOD)
    late.apply(np.array([0.3, -0.2]))
    assert np.array_equal(late.state(), idle.state())
    late.advance(PERIOD)
    idle.advance(PERIOD)
    assert not np.array_equal(late.state(), idle.state())


def test_of_two_commands_in_a_step_the_last_counts_and_it_stays_in_force() -> None:
    twice, once = dream('reacher'), dream('reacher')
    for plant in (twice, once):
        plant.reset(0)
    twice.apply(np.array([-0.3, 0.3]))
    twice.advance(10 * MS)
    for plant in (twice, once):
        plant.apply(np.array([0.1, 0.2]))
    twice.advance(2 * PERIOD - 10 * MS)
    slot(once, np.array([0.1, 0.2]))
    slot(once, np.array([0.1, 0.2]))
    assert np.array_equal(twice.state(), once.state())


def test_the_same_seed_and_commands_give_the_same_dream_and_another_seed_does_not() -> None:
    plant, ends = dream('two_room'), []
    for seed in (5, 6, 5):
        plant.reset(seed)
        for _ in range(5):
            slot(plant, np.array([0.5, 0.5]))
        ends.append(plant.state())
    assert np.array_equal(ends[0], ends[2])
    assert not np.array_equal(ends[0], ends[1])


def test_success_is_the_tasks_own_predicate_on_the_imagined_state() -> None:
    plant = dream('two_room')
    plant.reset(0)
    goal = plant.goal()
    assert goal is not None
    assert not plant.solved()
    here = np.array([[*goal.position[:2], 0.0, 0.0]])
    plant._show(here)
    assert plant.solved()
    plant._show(here + np.array([[0.11, 0.0, 0.0, 0.0]]))
    assert not plant.solved(), 'the tolerance is 0.1 m'


def test_key_frames_set_it_back_onto_the_simulator_under_the_same_commands() -> None:
    plant, world = dream('reacher', **{'plant.keyframe_steps': 4}), real('reacher')
    plant.reset(1000)
    world.reset(1000)
    rng, gaps = np.random.default_rng(2), []
    for _ in range(12):
        action = rng.uniform(-0.3, 0.3, 2)
        slot(plant, action)
        slot(world, action)
        gaps.append(float(np.abs(numbers(plant.observe()) - numbers(world.observe())).max()))
    assert max(gaps[3::4]) < 1e-5
    assert min(gaps[2::4]) > 1e-4, 'between them it is imagined'


def test_a_dream_that_is_no_longer_finite_ends_as_a_failure_and_stays_finite() -> None:
    model = world_model(scenario_of('reacher'))
    model.predict = lambda z, actions, generator=None: torch.full(  # type: ignore[method-assign]
        (1, 1, z.shape[1]), float('nan'))
    plant = DreamPlant('reacher', scenario_of('reacher').interface, model)
    plant.reset(0)
    slot(plant, np.zeros(2))
    slot(plant, np.zeros(2))
    assert plant.failed() == DIVERGED
    assert not plant.solved()
    assert np.isfinite(numbers(plant.observe())).all()
    plant.reset(0)
    assert plant.failed() == ''


@pytest.mark.parametrize(('action', 'says'), [
    pytest.param([0.0], 'shape', id='shape'),
    pytest.param([np.nan, 0.0], 'not finite', id='not-finite'),
])
def test_a_command_that_is_none_is_refused(action: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dream('reacher').apply(np.array(action))


@pytest.mark.parametrize('duration_ns', [-5 * MS, 3 * MS])
def test_time_passes_by_whole_steps(duration_ns: int) -> None:
    with pytest.raises(ValueError, match='whole number of steps'):
        dream('reacher').advance(duration_ns)


def test_its_physics_cannot_be_changed_and_its_state_comes_stepwise() -> None:
    plant = dream('reacher')
    assert not isinstance(plant, Disturbable)
    assert isinstance(plant, Stepwise)
    assert plant.state_ns == PERIOD


def test_it_is_a_plant_by_name_and_the_manifest_can_name_its_weights() -> None:
    scenario = scenario_of('reacher')
    assert isinstance(make_plant(scenario), DreamPlant)
    found = pinned(scenario)
    assert found.plant.model_sha256 == load_checkpoint(find_checkpoint('reacher')).spec.sha256
    assert pinned(found) == found
    assert pinned(load_scenario(find_scenario('reacher'))).plant.model_sha256 == ''


@pytest.mark.parametrize(('overrides', 'error', 'says'), [
    pytest.param({'plant.model': ''}, ConfigError, 'plant.model: a dream needs', id='no-model'),
    pytest.param({'plant.kind': 'mujoco'}, ConfigError, 'only a dream has one', id='no-dream'),
    pytest.param({'plant.model': 'reachre'}, CheckpointError, 'did you mean', id='misspelt'),
    pytest.param({'plant.model': 'cartpole'}, CheckpointError, 'trained', id='of-another-task'),
    pytest.param({'plant.model_sha256': '0' * 64}, CheckpointError, 'sha256', id='other-weights'),
    pytest.param({'planner.period_ms': 40.0}, ConfigError, 'give a multiple', id='period'),
])
def test_what_cannot_be_dreamed_is_refused(
    overrides: dict[str, object], error: type[Exception], says: str,
) -> None:
    with pytest.raises(error, match=says):
        dream('reacher', **overrides)


def test_a_state_that_the_features_do_not_tell_is_refused_and_the_joint_named() -> None:
    scenario = scenario_of('reacher')
    observations = [{'topic': s.topic, 'type': s.type, 'fields': list(s.fields)}
                    for s in scenario.interface.observations]
    blind = load_scenario(find_scenario('reacher'), {
        'interface.observations': observations[1:], 'planner.model': ''}).interface
    with pytest.raises(ConfigError, match=r"joint 'joint0'.*state is not known"):
        DreamPlant('reacher', blind, world_model(scenario))
