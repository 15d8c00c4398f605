"""The oracle foresees what the plant does, and refuses what it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

mujoco = pytest.importorskip('mujoco')
pytest.importorskip('gymnasium')
torch = pytest.importorskip('torch')

from wm_eval_ros import plugins  # noqa: E402
from wm_eval_ros.config.interface import Interface, Stream  # noqa: E402
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario  # noqa: E402
from wm_eval_ros.errors import CheckpointError, ConfigError  # noqa: E402
from wm_eval_ros.models.conformance import check_world_model  # noqa: E402
from wm_eval_ros.models.load import load_model  # noqa: E402
from wm_eval_ros.planning.scaling import to_command  # noqa: E402
from wm_eval_ros.plants.mujoco_plant import MujocoPlant  # noqa: E402
from wm_eval_ros.plants.oracle import OracleModel  # noqa: E402
from wm_eval_ros.plants.recovery import StateMap  # noqa: E402
from wm_eval_ros.plants.tasks import load_task, task_names  # noqa: E402
from wm_eval_ros.training.simulate import Observer  # noqa: E402

MS = 1_000_000


def scenario_of(task: str, **overrides: object) -> Scenario:
    lockstep = {'clock': 'lockstep', 'planner.model': 'oracle', 'planner.model_sha256': ''}
    return load_scenario(find_scenario(task), {**lockstep, **overrides})


def oracle(task: str, latency_ms: float = 15.0) -> OracleModel:
    return OracleModel(task, scenario_of(task).interface, period_ns=50 * MS,
                       latency_ns=round(latency_ms * MS))


class World:
    """The plant in lockstep: a command acts from its latency on."""

    def __init__(self, task: str, seed: int, latency_ms: int) -> None:
        self.interface = scenario_of(task).interface
        self.plant = MujocoPlant(task, self.interface)
        self.observer = Observer(self.interface)
        self.latency_ns = latency_ms * MS
        self.plant.reset(seed)

    def features(self) -> np.ndarray:
        return self.observer.row(self.plant)

    def slot(self, action: np.ndarray) -> np.ndarray:
        self.plant.advance(self.latency_ns)
        self.plant.apply(to_command(action, self.interface.command))
        self.plant.advance(50 * MS - self.latency_ns)
        return self.features()


@pytest.mark.parametrize('task', task_names())
def test_it_conforms(task: str) -> None:
    assert check_world_model(oracle(task)) == []


@pytest.mark.parametrize('latency_ms', [0, 15, 50])
@pytest.mark.parametrize('task', task_names())
def test_one_step_ahead_it_says_what_the_plant_shows_next(task: str, latency_ms: int) -> None:
    model, world = oracle(task, latency_ms), World(task, 1000, latency_ms)
    rng, before, limit = np.random.default_rng(0), None, scenario_of(task).planner.action_limit
    for _ in range(30):
        obs = torch.as_tensor(world.features(), dtype=torch.float32)[None]
        action = torch.as_tensor(rng.uniform(-limit, limit, (1, model.spec.action_dim)),
                                 dtype=torch.float32)
        z = model.encode(obs, None, before, torch.tensor([before is None]))
        said = model.decode(model.predict(z, action[:, None]))[0, 0].double().numpy()
        shown = world.slot(action[0].double().numpy())
        # float32 observations carry 6e-8 of a value; fast arms triple it within the slot
        assert np.abs(said - shown).max() <= 1e-6 * max(1.0, np.abs(shown).max())
        before = action


def test_a_plan_is_foreseen_to_its_end() -> None:
    model, world = oracle('pusher'), World('pusher', 1003, 15)
    actions = np.random.default_rng(1).uniform(-1, 1, (20, 7)).astype(np.float32)
    z = model.encode(torch.as_tensor(world.features(), dtype=torch.float32)[None])
    said = model.predict(z, torch.from_numpy(actions)[None])[0]
    shown = np.stack([world.slot(action.astype(float)) for action in actions])
    assert np.abs(model.decode(said).numpy() - shown).max() < 1e-5


@pytest.mark.parametrize('task', task_names())
def test_states_and_features_are_inverses(task: str) -> None:
    world, kind = World(task, 7, 15), load_task(task)
    both = StateMap(task, kind, world.plant.model, world.interface)
    for _ in range(5):
        world.slot(np.full(len(world.interface.command.fields), 0.3))
        seen = world.features()
        data = world.plant.data
        assert np.allclose(both.features(data.qpos[None].copy(), data.qvel[None].copy())[0], seen,
                           rtol=0, atol=1e-12)
        again = both.features(*both.states(seen[None]))[0]
        assert np.allclose(again, seen, rtol=0, atol=1e-9)


def test_a_latency_between_two_steps_acts_at_the_next_one() -> None:
    low, high = oracle('reacher', 11.0), oracle('reacher', 15.0)
    assert low.spec.architecture['delay_ns'] == high.spec.architecture['delay_ns'] == 15 * MS
    assert low.spec.sha256 == high.spec.sha256
    assert oracle('reacher', 16.0).spec.sha256 != high.spec.sha256


def test_above_one_period_the_command_before_fills_the_slot() -> None:
    model = oracle('reacher', 120.0)
    z = model.encode(torch.zeros(2, 9), prev_action=torch.full((2, 2), 0.2))
    actions = torch.stack([torch.zeros(3, 2), torch.full((3, 2), 0.3)])
    first, second = model.predict(z, actions)[..., :9]
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_a_world_that_diverges_is_not_a_number_and_leaves_the_others_alone() -> None:
    model = oracle('two_room')
    z = model.encode(torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.5, 0.0, 1e12, 0.0],
                                   [float('nan'), 0.0, 0.0, 0.0]]))
    out = model.predict(z, torch.zeros(3, 4, 2))[..., :4]
    assert torch.isfinite(out[0]).all()
    assert torch.isnan(out[1:]).all()


def test_threads_do_not_matter() -> None:
    scenario = scenario_of('pusher')
    models = [OracleModel('pusher', scenario.interface, period_ns=50 * MS, latency_ns=15 * MS,
                          threads=threads) for threads in (1, 2)]
    world = World('pusher', 1000, 15)
    z = models[0].encode(torch.as_tensor(world.features(), dtype=torch.float32)[None])
    actions = torch.rand(16, 5, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(*(model.predict(z, actions) for model in models))


def test_it_is_a_family_by_name_and_loads_without_a_checkpoint() -> None:
    assert 'oracle' in plugins.names('wm_eval_ros.world_models')
    model = load_model(scenario_of('cartpole'))
    assert (model.spec.family, model.spec.name) == ('oracle', 'oracle')
    assert model.spec.dt_s == 0.05


@pytest.mark.parametrize(('overrides', 'says'), [
    pytest.param({'clock': 'realtime'}, 'clock lockstep', id='realtime'),
    pytest.param({'planner.latency_ms': -1.0}, 'declared planner.latency_ms', id='measured'),
    pytest.param({'planner.latency_trace': 'x.txt'}, 'latency_trace', id='trace'),
    pytest.param({'plant.kind': 'other'}, 'plant.kind is other', id='no-simulator'),
    pytest.param({'planner.period_ms': 42.0}, 'multiple of the simulation step', id='period'),
])
def test_what_it_cannot_know_is_refused(overrides: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_model(scenario_of('reacher', **overrides))


@pytest.mark.parametrize(('name', 'pin', 'says'), [
    pytest.param('ensemble', '', 'is a family of models', id='family-with-weights'),
    pytest.param('oracel', '', 'no checkpoint', id='unknown'),
    pytest.param('oracle', 'a' * 64, 'leave the pin empty', id='pinned-to-other-weights'),
])
def test_other_names_are_refused(name: str, pin: str, says: str) -> None:
    scenario = scenario_of('reacher', **{'planner.model': name, 'planner.model_sha256': pin})
    with pytest.raises(CheckpointError, match=says):
        load_model(scenario)


def without(interface: Interface, *fields: str) -> Interface:
    streams = [replace(s, fields=tuple(f for f in s.fields if f not in fields))
               for s in interface.observations]
    return replace(interface, observations=tuple(s for s in streams if s.fields))


@pytest.mark.parametrize(('task', 'fields', 'says'), [
    pytest.param('reacher', ['velocity[joint1]'], r'add .velocity\[joint1\]', id='velocity'),
    pytest.param('two_room', ['pose.position.y'], r'add .position\[y\]', id='slide-without-pose'),
    pytest.param('cartpole', ['position[hinge]:angle'], r'add .position\[hinge\]', id='hinge'),
])
def test_a_state_that_is_not_observed_is_refused(task: str, fields: list[str], says: str) -> None:
    interface = without(scenario_of(task).interface, *fields)
    with pytest.raises(ConfigError, match=says):
        OracleModel(task, interface, period_ns=50 * MS, latency_ns=0)


def test_an_orientation_is_read_as_the_plant_shows_it() -> None:
    interface = scenario_of('cartpole').interface
    poses = Stream(topic='tip_pose', type='geometry_msgs/msg/PoseStamped',
                   fields=('pose.orientation.y', 'pose.orientation.w', 'pose.position.z'))
    interface = replace(interface, observations=(interface.observations[0], poses))
    plant = MujocoPlant('cartpole', interface)
    plant.reset(3)
    both = StateMap('cartpole', load_task('cartpole'), plant.model, interface)
    found = both.features(plant.data.qpos[None].copy(), plant.data.qvel[None].copy())[0]
    assert np.allclose(found, Observer(interface).row(plant), rtol=0, atol=1e-12)
