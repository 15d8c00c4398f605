"""Models whose faults are known, asked about worlds that are known."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.scenario import (
    find_scenario,
    load_scenario,
    PlannerSettings,
    PlantSettings,
    Scenario,
)
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.records import ClockMode, MetricValue, RUN_INFO_SCHEMA, RunInfo
from wm_eval_ros.training.fidelity import ask, find_model, oracle_of, Questions
from wm_eval_ros.training.fidelity_actions import contrasts, divergence, following
from wm_eval_ros.training.fidelity_asked import asked, candidates, encode_states, pick, scales
from wm_eval_ros.training.fidelity_data import Evidence, windows
from wm_eval_ros.training.fidelity_prediction import confidence, prediction, unit_of
from wm_eval_ros.training.fidelity_ranking import Costs, scored
from wm_eval_ros.training.trajectory import Dataset, Trajectory

NAMES = ('joint_states.position[a]', 'joint_states.velocity[a]')


def spec_of(interface: Interface, name: str = 'made up') -> WorldModelSpec:
    return WorldModelSpec(name=name, version='1', sha256='ab' * 32, family='ensemble',
                          interface=interface, feature_names=NAMES, dt_s=0.05, architecture={},
                          provenance={})


class Cart:
    """The linear world of the fixtures as a model; gain 1 and noise 0 are the truth."""

    def __init__(self, interface: Interface, gain: float = 1.0, bias: float = 0.0) -> None:
        self.spec = spec_of(interface)
        self.gain, self.bias = gain, bias
        self.latent_names = (*NAMES, 'command.effort[a]')

    def encode(self, obs, prev=None, prev_action=None, is_first=None):
        return torch.cat([obs.float(), prev_action.float()], dim=-1)

    def predict(self, z, actions, *, generator=None):
        x, v, before = z[:, 0], z[:, 1], z[:, 2]
        out = []
        for action in actions[..., 0].T:
            force = self.gain * (0.3 * before + 0.7 * action)
            x, v = x + 0.05 * v + self.bias, 0.95 * v + 0.2 * force
            before = action
            out.append(torch.stack([x, v, before], dim=-1))
        return torch.stack(out, dim=1)

    def decode(self, z):
        return z[..., :2]


class Unsure(Cart):
    """The cart whose position is off by a known noise, and which says how much."""

    def __init__(self, interface: Interface, said: float) -> None:
        super().__init__(interface)
        self.said, self.rng = said, torch.Generator().manual_seed(0)

    def predict(self, z, actions, *, generator=None):
        out = super().predict(z, actions)
        out[..., 0] += 0.1 * torch.randn(out.shape[:-1], generator=self.rng)
        return out

    def spread(self, z, actions):
        std = torch.zeros(*actions.shape[:2], 3)
        std[..., 0] = self.said
        return std


class Opaque(Cart):
    """The cart behind latents that nobody decodes: a rotation of its state."""

    decode = None  # type: ignore[assignment]

    def __init__(self, interface: Interface) -> None:
        super().__init__(interface)
        self._cart = Cart(interface)
        self._turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
                                     )[0]
        del self.latent_names

    def encode(self, obs, prev=None, prev_action=None, is_first=None):
        return self._cart.encode(obs, None, prev_action) @ self._turn

    def predict(self, z, actions, *, generator=None):
        return self._cart.predict(z @ self._turn.T, actions) @ self._turn


@pytest.fixture(scope='module')
def evidence(linear_world: Dataset) -> Evidence:
    scenario = Scenario(
        name='made_up', interface=linear_world.interface,
        plant=PlantSettings(kind='hardware', task='t', time_limit_s=3.0),
        planner=PlannerSettings(model='', horizon=5, action_limit=1.0))
    info = RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='r', scenario='made_up', task='t',
        clock=ClockMode.REALTIME, seed=0, episodes=30, planner='explore', period_ns=50_000_000,
        deadline_ns=50_000_000, time_limit_s=3.0, package_version='0', settings=to_plain(scenario))
    found = linear_world.trajectories
    goals = tuple(np.zeros((len(t.features), 0)) for t in found)
    return Evidence(info, scenario, NAMES, found, goals, 15_000_000)


def by_name(values: tuple[MetricValue, ...]) -> dict[str, MetricValue]:
    assert len({v.name for v in values}) == len(values)
    return {v.name: v for v in values}


def test_windows_reach_to_the_end_of_the_record_and_no_further(evidence: Evidence) -> None:
    found = windows(evidence, Cart(evidence.scenario.interface), 5)
    # 30 episodes of 40 slots, a window from every slot that has a next one
    assert found.features.shape == (30 * 39, 6, 2)
    last = found.features[38]
    assert np.isfinite(last[:2]).all()
    assert np.isnan(last[2:]).all()
    t = evidence.trajectories[0]
    assert np.array_equal(found.features[3, :6], t.features[3:9])
    assert np.array_equal(found.before[3], t.actions[2])
    assert np.array_equal(found.before[0], t.before)
    assert np.array_equal(found.actions[38, :, 0], [t.actions[38, 0], *[t.actions[39, 0]] * 4])


def test_the_truth_makes_no_error_and_persistence_does(evidence: Evidence) -> None:
    model = Cart(evidence.scenario.interface, bias=0.5)
    every = windows(evidence, model, 5)
    own = asked(model, every)
    found = by_name(prediction(NAMES, every, own.foresee(every.latents, every.actions),
                               scales(evidence)))
    # the bias adds up: half a metre a step, and the velocity is right
    for h in (1, 2, 5):
        assert found[f'probe_error[{NAMES[0]}, h={h}]'].value == pytest.approx(0.5 * h, rel=1e-4)
        assert found[f'probe_error[{NAMES[1]}, h={h}]'].value == pytest.approx(0.0, abs=1e-5)
    moved = np.concatenate([np.diff(t.features[:, 1]) for t in evidence.trajectories])
    still = found[f'probe_persistence[{NAMES[1]}, h=1]']
    assert still.value == pytest.approx(math.sqrt(np.mean(moved**2)))
    assert still.n == len(moved)
    assert still.interval is not None
    assert still.interval.method == 'bootstrap over episodes'
    assert found['probe_nonfinite'].value == 0


def test_a_model_that_does_not_decode_is_read_by_a_probe(evidence: Evidence) -> None:
    model = Opaque(evidence.scenario.interface)
    every = windows(evidence, model, 5)
    own = asked(model, every)
    assert not own.decodes
    found = by_name(prediction(NAMES, every, own.foresee(every.latents, every.actions),
                               scales(evidence)))
    assert found['probe_ratio[h=5]'].value == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(('gain', 'low', 'high'), [
    pytest.param(1.0, 0.99, 1.0, id='follows'),
    pytest.param(0.0, -9.0, 0.3, id='blind'),
])
def test_commands_are_read_off_imagined_steps_of_a_model_that_follows(
    evidence: Evidence, gain: float, low: float, high: float,
) -> None:
    model, truth = (Cart(evidence.scenario.interface, gain=g) for g in (gain, 1.0))
    every = windows(evidence, model, 3)
    own, oracle = asked(model, every), asked(truth, every)
    rng = np.random.default_rng(0)
    chosen = pick(every, 60, rng)
    drawn = rng.uniform(-1, 1, (60, 2, 3, 1))
    contrast = contrasts(own, oracle, chosen, encode_states(truth, chosen), drawn)
    found = by_name(following(every, own.foresee(every.latents, every.actions), contrast, chosen,
                              1.0))
    assert found['command_recovery[driven]'].value == pytest.approx(1.0, abs=0.01)
    # commands were drawn blindly: the state gives nothing away
    assert found['command_recovery[state]'].value == pytest.approx(0.0, abs=0.05)
    assert found['command_recovery[drawn, oracle]'].value == pytest.approx(1.0, abs=0.01)
    for name in ('command_recovery[imagined]', 'command_recovery[drawn]'):
        value = found[name].value
        assert value is not None
        assert low <= value <= high
    direction = found['command_direction'].value
    assert direction == (pytest.approx(1.0) if gain else pytest.approx(0.5, abs=0.1))


@pytest.mark.parametrize('gain', [1.0, 0.5, 0.0])
def test_futures_part_as_far_as_the_model_feels_the_command(
    evidence: Evidence, gain: float,
) -> None:
    model, truth = (Cart(evidence.scenario.interface, gain=g) for g in (gain, 1.0))
    every = windows(evidence, model, 5)
    rng = np.random.default_rng(0)
    chosen = pick(every, 40, rng)
    drawn = rng.uniform(-1, 1, (40, 4, 5, 1))
    contrast = contrasts(asked(model, every), asked(truth, every), chosen,
                         encode_states(truth, chosen), drawn)
    found = by_name(divergence(contrast, chosen, scales(evidence)))
    # the world is linear, and so is how far futures part; in the first slot the command before
    # still drives 30 %, but both futures have it
    for h in (1, 2, 5):
        assert found[f'counterfactual_divergence[h={h}]'].value == pytest.approx(gain, abs=1e-4)
    correlation = found['counterfactual_correlation[h=5]']
    if gain:
        assert correlation.value == pytest.approx(1.0, abs=1e-3)
        assert found['action_blind'].value == 0
    else:
        assert correlation.value is None
        assert found['action_blind'].value == 1
        assert found['action_blind'].why.startswith('ACTION-BLIND')


def test_without_a_simulator_the_world_is_not_guessed(evidence: Evidence) -> None:
    assert oracle_of(evidence)[0] is None
    found = by_name(ask(evidence, Cart(evidence.scenario.interface),
                        Questions(horizon=3, states=20, samples=4)))
    for name in ('oracle_ratio[h=1]', 'counterfactual_divergence[h=1]', 'top1_regret',
                 'command_recovery[drawn, oracle]'):
        assert found[name].value is None
        assert 'no simulator' in found[name].why
    assert found['probe_ratio[h=1]'].value == pytest.approx(0.0, abs=1e-6)
    assert found['command_recovery[imagined]'].value is not None
    assert found['action_sensitivity'].value is not None
    assert found['calibration_ece[h=1]'].why == 'the model predicts no spread'
    assert found['psnr[h=1]'].why == 'the model decodes no images'
    assert found[f'latent_probe[{NAMES[0]}]'].why.startswith('trivial')


@pytest.mark.parametrize(('said', 'low', 'high'), [
    pytest.param(0.1, 0.0, 0.03, id='as-sure-as-it-should-be'),
    pytest.param(0.02, 0.2, 0.5, id='too-sure'),
    pytest.param(0.5, 0.2, 0.5, id='not-sure-enough'),
])
def test_calibration_tells_how_sure_a_model_should_have_been(
    evidence: Evidence, said: float, low: float, high: float,
) -> None:
    model = Unsure(evidence.scenario.interface, said)
    every = windows(evidence, model, 2)
    own = asked(model, every)
    found = by_name(confidence(own, every, own.imagine(every.latents, every.actions)))
    value = found['calibration_ece[h=1]'].value
    assert value is not None
    assert low <= value <= high
    assert found['calibration_mce[h=2]'].value is not None
    covered = found['coverage90[h=1]'].value
    assert covered == pytest.approx({0.1: 0.9, 0.02: 0.258, 0.5: 1.0}[said], abs=0.04)
    # one spread for all predictions: abstaining can gain nothing, so all of the area is the mean
    assert found['aurc'].value == pytest.approx(0.01, rel=0.1)


def costs(model: list[list[float]], oracle: list[list[float]]) -> Costs:
    return Costs(np.array(model), np.array(oracle))


def test_regret_is_what_the_models_pick_costs_in_the_world(evidence: Evidence) -> None:
    every = windows(evidence, Cart(evidence.scenario.interface), 1)
    chosen = every.take(np.array([0, 50]))
    regret, portion, rho, tau = scored(
        costs([[1, 2, 3], [3, 2, 1]], [[1, 2, 3], [1, 2, 3]]), chosen)
    # right in the first state; in the second it picks the worst: 3 - 1, at random 2 - 1 in each
    assert regret.value == pytest.approx(1.0)
    assert portion.value == pytest.approx(1.0)
    assert (rho.value, tau.value) == (0.0, 0.0)
    assert regret.n == 2


def test_a_candidate_that_is_no_number_is_never_picked(evidence: Evidence) -> None:
    every = windows(evidence, Cart(evidence.scenario.interface), 1)
    chosen = every.take(np.array([0]))
    nan = math.nan
    regret, *_ = scored(costs([[nan, 2, 3]], [[0, 1, 2]]), chosen)
    assert regret.value == 1.0
    regret, portion, rho, _ = scored(costs([[nan, nan, nan]], [[0, 1, 2]]), chosen)
    assert regret.value is None
    regret, portion, rho, _ = scored(costs([[1, 2, 3]], [[5, 5, 5]]), chosen)
    assert (regret.value, portion.value, rho.value) == (0.0, None, None)


def test_candidates_keep_to_the_limit_and_to_the_seed() -> None:
    settings = PlannerSettings(action_limit=0.3, noise_std=0.5, noise_beta=0.8)
    first, again, other = (candidates(settings, 6, 9, 2, np.random.default_rng(s))
                           for s in (0, 0, 1))
    assert first.shape == (6, 9, 2)
    assert np.abs(first).max() == pytest.approx(0.3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # the first half holds at most three commands in turn
    assert all((np.diff(s[:, 0]) != 0).sum() <= 2 for s in first[:3])


@pytest.mark.parametrize(('feature', 'unit'), [
    ('tip_pose.pose.position.x', 'm'), ('tip_pose.pose.orientation.w', '1'),
    ('joint_states.position[a]:sin', '1'), ('joint_states.position[a]', 'rad or m'),
    ('joint_states.velocity[a]', 'rad/s or m/s'), ('odom.twist.twist.linear.x', 'm/s'),
    ('odom.twist.twist.angular.z', 'rad/s'), ('scan.ranges[3]', 'of the interface')])
def test_units_follow_the_field(feature: str, unit: str) -> None:
    assert unit_of(feature) == unit


# with the simulator --------------------------------------------------------------------------


@pytest.fixture(scope='module')
def reacher() -> Evidence:
    """Six episodes of random commands, their latency always 15 ms."""
    pytest.importorskip('mujoco')
    from wm_eval_ros.planning.baselines import ExplorePlanner
    from wm_eval_ros.plants.mujoco_plant import MujocoPlant
    from wm_eval_ros.training.simulate import rollout_episodes, Timing
    torch.set_num_threads(1)
    scenario = load_scenario(find_scenario('reacher'), {'clock': 'lockstep'})
    plant = MujocoPlant('reacher', scenario.interface)
    timing = Timing(latency_ns=(15_000_000, 15_000_000), limit_ns=1_000_000_000)
    runs = rollout_episodes(plant, ExplorePlanner(scenario.planner, None, scenario.interface),
                            scenario.interface, range(6), timing=timing)
    goals = []
    for run in runs:
        plant.reset(run.seed)
        goals.append(np.tile(plant.goal().position[:2], (len(run.trajectory.features), 1)))
    info = RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='r', scenario='reacher', task='reacher',
        clock=ClockMode.LOCKSTEP, seed=0, episodes=6, planner='explore', period_ns=50_000_000,
        deadline_ns=50_000_000, time_limit_s=1.0, package_version='0',
        settings=to_plain(scenario), model={'name': 'reacher', 'family': 'ensemble',
                                            'sha256': scenario.planner.model_sha256})
    from wm_eval_ros.training.columns import Columns
    return Evidence(info, scenario, Columns.of(scenario.interface).names,
                    tuple(run.trajectory for run in runs), tuple(goals), 15_000_000)


SMALL = Questions(horizon=4, states=12, samples=6)


def test_the_oracle_asked_about_itself_is_right_in_everything(reacher: Evidence) -> None:
    truth, why = oracle_of(reacher)
    assert truth is not None, why
    found = by_name(ask(reacher, truth, SMALL))
    for name, want in {'probe_ratio[h=4]': 0.0, 'oracle_ratio[h=4]': 0.0, 'top1_regret': 0.0,
                       'top1_regret_share': 0.0, 'ranking_spearman': 1.0, 'ranking_kendall': 1.0,
                       'counterfactual_divergence[h=4]': 1.0,
                       'counterfactual_correlation[h=4]': 1.0, 'action_blind': 0.0}.items():
        assert found[name].value == pytest.approx(want, abs=1e-6), name


def test_the_shipped_model_beats_persistence_and_chance(reacher: Evidence) -> None:
    found = find_model(reacher)
    assert found.same
    assert found.model.spec.name == 'reacher'
    values = by_name(ask(reacher, found.model, SMALL))
    for name, low, high in (('probe_ratio[h=4]', 0.0, 0.2), ('top1_regret_share', 0.0, 0.5),
                            ('ranking_spearman', 0.7, 1.0), ('oracle_ratio[h=1]', 0.0, 1e-8),
                            ('counterfactual_correlation[h=4]', 0.8, 1.0)):
        value = values[name].value
        assert value is not None, name
        assert low <= value <= high, name
    assert values['probe_ratio[h=4]'].interval is not None


def test_the_same_questions_give_the_same_bytes(reacher: Evidence) -> None:
    model, few = find_model(reacher).model, Questions(horizon=1, states=3, samples=2)
    short = replace(reacher, trajectories=reacher.trajectories[:2], goals=reacher.goals[:2])
    first = ask(short, model, few)
    assert first == ask(short, model, few)
    assert first != ask(short, model, replace(few, seed=1))


def test_another_model_may_be_asked_and_it_is_said(reacher: Evidence) -> None:
    info = replace(reacher.info, model={**reacher.info.model, 'sha256': 'cd' * 32})
    other = replace(reacher, info=info)
    found = find_model(other, 'reacher')
    assert not found.same
    assert found.notes[0].startswith("asked is 'reacher'")
    with pytest.raises(CheckpointError, match='no checkpoint here has the sha256'):
        find_model(other)
    blind = replace(reacher, info=replace(reacher.info, model={}))
    with pytest.raises(CheckpointError, match='without a model'):
        find_model(blind)
    assert find_model(blind, 'reacher').notes[0].endswith('driven without a model')
    with pytest.raises(CheckpointError, match='trained'):
        find_model(reacher, 'cartpole')


def test_goals_are_read_at_each_slot_and_latency_within_it() -> None:
    from wm_eval_ros.training.dataset import Recording, Series, trajectories
    from wm_eval_ros.training.fidelity_data import _goals
    stream = Stream(topic='goal', type='geometry_msgs/msg/PoseStamped',
                    fields=('pose.position.x',))
    interface = Interface(observations=(), goal=stream, command=CommandStream(
        topic='c', type='sensor_msgs/msg/JointState', fields=('effort[a]',), low=(-1.0,),
        high=(1.0,)))
    goals = Series()
    goals.add(90, np.array([1.0]))
    goals.add(110, np.array([2.0]))
    recording = Recording(interface, 10, [], {}, None, goals)
    assert list(trajectories(recording)) == []
    track = Trajectory(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(1), 0,
                       np.array([100, 110, 120]))
    found = _goals(recording, track)
    assert found is not None
    assert found[:, 0].tolist() == [1.0, 2.0, 2.0]
    early = replace(track, stamps=np.array([80, 90, 100]))
    assert _goals(recording, early) is None
    assert _goals(replace(recording, goals=None), track) is None
