"""Distillation: decisions out of bags, and a policy cloned from them."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import json
import math
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.cli.main import main
from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import BagError, CheckpointError, ConfigError
from wm_eval_ros.models.checkpoint import save_checkpoint, SPEC, WEIGHTS
from wm_eval_ros.models.policy import load_policy
from wm_eval_ros.planning.decision import Decider, Inputs, Reading
from wm_eval_ros.planning.policy_prior import PolicyPriorPlanner
from wm_eval_ros.planning.prior import pinned_policy
from wm_eval_ros.records import CycleRecord, CycleStatus, InputRef, RunInfo
from wm_eval_ros.training.decisions import Decisions, NOT_SEARCHING, read_decisions
from wm_eval_ros.training.distill import distill, DistillResult, DistillSettings
from wm_eval_ros.training.replan import Ticks

NAMES = ('joint_states.position[a]', 'joint_states.velocity[a]')
QUICK = DistillSettings(steps=400, hidden=32, seed=3)


@pytest.fixture(scope='session')
def with_goal(interface: Interface) -> Interface:
    return dataclasses.replace(interface, goal=Stream(
        topic='goal', type='sensor_msgs/msg/JointState', fields=('position[a]',)))


@pytest.fixture(scope='session')
def teacher(with_goal: Interface) -> Decisions:
    """A planner that pushes towards the goal and brakes: a = goal - x - v / 2."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand((800, 3), generator=generator) - 0.5
    actions = (inputs[:, 2] - inputs[:, 0] - 0.5 * inputs[:, 1])[:, None].clamp(-1, 1)
    return Decisions(with_goal, NAMES, 0.05, inputs, actions, torch.arange(800) // 20,
                     ('made up',), ('linear',))


@pytest.fixture(scope='session')
def cloned(teacher: Decisions) -> DistillResult:
    return distill(teacher, QUICK, 'clone')


@pytest.fixture(scope='session')
def folder(cloned: DistillResult, tmp_path_factory: Any) -> Path:
    made: Path = tmp_path_factory.mktemp('policy')
    policy = cloned.policy
    save_checkpoint(made, policy.spec, dict(policy.net.state_dict()))
    return made


def settings(folder: Path, **changes: Any) -> PlannerSettings:
    return PlannerSettings(**{'policy': str(folder), 'period_ms': 50.0, **changes})


def test_a_clone_commands_as_the_planner_did(cloned: DistillResult) -> None:
    result = cloned
    assert result.rmse < 0.05
    assert (result.decisions, result.episodes) == (800, 40)
    found = result.policy.act(torch.tensor([[0.1, 0.2]]), torch.tensor([0.5]))
    assert float(found) == pytest.approx(0.5 - 0.1 - 0.1, abs=0.03)
    # what it draws scatters as much as it was off
    noise = float(result.policy.net.noise_scale)
    drawn = result.policy.draw(torch.tensor([[0.1, 0.2]]).expand(4000, 2), torch.tensor([0.5]),
                               torch.Generator().manual_seed(1))
    assert float(drawn.std()) == pytest.approx(noise, rel=0.1)
    assert noise < 0.05


def test_the_same_seed_gives_the_same_weights_and_another_does_not(teacher: Decisions) -> None:
    def weights(seed: int) -> torch.Tensor:
        quick = DistillSettings(steps=20, hidden=8, seed=seed)
        return torch.cat([t.flatten() for t in
                          distill(teacher, quick, 'x').policy.net.state_dict().values()])
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(('name', 'value'), [
    ('hidden', 5), ('layers', 1), ('steps', 40), ('batch', 8), ('learning_rate', 1e-2),
    ('weight_decay', 0.9), ('val_share', 0.5), ('seed', 9),
])
def test_every_setting_has_an_effect(name: str, value: Any, teacher: Decisions) -> None:
    def weights(**changes: Any) -> list[float]:
        quick = DistillSettings(**{'steps': 60, 'hidden': 8, 'checks': 20, **changes})
        policy = distill(teacher, quick, 'x').policy
        return [float(t.double().sum()) for t in policy.net.state_dict().values()]
    assert weights() != weights(**{name: value})


def test_the_best_of_so_many_checks_is_kept(teacher: Decisions) -> None:
    told: list[str] = []
    quick = DistillSettings(steps=60, hidden=8, checks=6, learning_rate=0.5)
    result = distill(teacher, quick, 'x', lambda done, total, words: told.append(words))
    errors = [float(words.split()[2].rstrip(',')) for words in told]
    assert len(errors) == 6
    assert result.rmse == pytest.approx(min(errors), abs=1e-3)


def test_nine_steps_are_as_good_as_any_other_number(teacher: Decisions) -> None:
    assert distill(teacher, DistillSettings(steps=9, hidden=8), 'x').steps == 9


def test_a_policy_of_which_nothing_is_known_is_not_returned_as_trained(teacher: Decisions) -> None:
    wild = dataclasses.replace(teacher, inputs=torch.where(
        (teacher.episodes == 3)[:, None], math.nan, teacher.inputs))
    with pytest.raises(ConfigError, match='no error on the decisions held out was finite'):
        distill(wild, DistillSettings(steps=20, hidden=8), 'x')


def test_one_episode_cannot_be_split(teacher: Decisions) -> None:
    alone = dataclasses.replace(teacher, episodes=torch.zeros(800, dtype=torch.int64))
    with pytest.raises(BagError, match='1 usable episodes'):
        distill(alone, QUICK, 'x')


class Cart:
    """Imagines x' = x + v / 20 and v' = v + a / 5; its latent is [x, v, command in force]."""

    def __init__(self, interface: Interface) -> None:
        from wm_eval_ros.models.protocol import WorldModelSpec
        self.spec = WorldModelSpec('cart', '1', '', 'cart', interface, NAMES, 0.05, {}, {})
        self.asked = 0

    def encode(self, obs: Any, *args: Any) -> Any:
        return torch.cat([obs, torch.zeros(len(obs), 1)], -1)

    def predict(self, z: Any, actions: Any, *, generator: Any = None) -> Any:
        self.asked += 1
        found = []
        for a in actions.unbind(1):
            z = torch.cat([z[:, :1] + z[:, 1:2] / 20, z[:, 1:2] + a / 5, a], -1)
            found.append(z)
        return torch.stack(found, 1)

    def decode(self, z: Any) -> Any:
        return z[..., :2]


AT_GOAL = (ObjectiveTerm(features=NAMES[:1], target=('goal.position[a]',)),)


def test_a_policy_plays_without_a_model(folder: Path, with_goal: Interface) -> None:
    planner = PolicyPriorPlanner(settings(folder), None, with_goal)
    plan = planner.plan(torch.tensor([0.0, 0.0]), torch.tensor([0.4]), 2**62)
    assert plan.actions.shape == (1, 1)
    assert float(plan.actions) == pytest.approx(0.4, abs=0.03)
    assert plan.rollout is None
    assert np.isnan(plan.cost)
    limited = PolicyPriorPlanner(settings(folder, action_limit=0.1), None, with_goal)
    assert float(limited.plan(torch.zeros(2), torch.tensor([0.4]), 2**62).actions) == (
        pytest.approx(0.1))


def test_with_a_model_the_cost_is_that_of_what_the_policy_would_do(
    folder: Path, with_goal: Interface,
) -> None:
    model = Cart(with_goal)
    planner = PolicyPriorPlanner(settings(folder, objective=AT_GOAL, horizon=4), model, with_goal)
    z, goal = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.4])
    plan = planner.plan(z, goal, 2**62)
    assert plan.actions.shape == (4, 1)
    assert plan.rollout is not None
    # every command is the policy's in the state that the ones before led to
    policy = load_policy(str(folder), with_goal)
    states = torch.cat([z[None], plan.rollout[:-1]])
    assert torch.allclose(policy.act(states[:, :2], goal), plan.actions)
    assert plan.cost == pytest.approx(float((plan.rollout[:, 0] - 0.4).abs().mean()))
    # in flight: it decides for the state after them
    flying = planner.plan(z, goal, 2**62, in_flight=torch.ones(3, 1))
    assert float(flying.actions[0]) < float(plan.actions[0])


def test_a_policy_drives_on_where_its_future_cannot_be_imagined(
    folder: Path, with_goal: Interface,
) -> None:
    class Lost(Cart):
        def predict(self, z: Any, actions: Any, *, generator: Any = None) -> Any:
            return super().predict(z, actions, generator=generator) * math.nan

    chosen = settings(folder, objective=AT_GOAL, horizon=4)
    z, goal = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.4])
    plan = PolicyPriorPlanner(chosen, Lost(with_goal), with_goal).plan(z, goal, 2**62)
    sound = PolicyPriorPlanner(chosen, Cart(with_goal), with_goal).plan(z, goal, 2**62)
    assert plan.rollout is None
    assert math.isnan(plan.cost)
    assert torch.equal(plan.actions, sound.actions[:1])
    seen = Reading(InputRef('/joint_states', 0), np.zeros(2))
    decider = Decider(with_goal, Lost(with_goal),
                      PolicyPriorPlanner(chosen, Lost(with_goal), with_goal), stale_ns=2**61)
    decider.begin_episode(0)
    aim = Reading(InputRef('/goal', 0), np.array([0.4]))
    assert decider.decide(0, Inputs((seen,), aim), 0, 0, 2**62).status is CycleStatus.OK


def test_what_does_not_fit_the_deadline_is_not_imagined(
    folder: Path, with_goal: Interface,
) -> None:
    now = [0]

    class Slow(Cart):
        def predict(self, z: Any, actions: Any, *, generator: Any = None) -> Any:
            now[0] += 10 * actions.shape[1]
            return super().predict(z, actions, generator=generator)

    model = Slow(with_goal)
    planner = PolicyPriorPlanner(settings(folder, objective=AT_GOAL, horizon=8), model, with_goal,
                                 lambda: now[0])
    ran = set()
    for deadline in (*range(0, 200, 7), 2**62):
        now[0] = 0
        plan = planner.plan(torch.zeros(3), torch.tensor([0.4]), deadline)
        # 7 steps of 10 each, and a rollout of 8 to judge them
        last = 80 if plan.rollout is not None else 10
        assert now[0] <= deadline + last
        assert (plan.rollout is None) == (len(plan.actions) == 1) == (plan.iterations < 9)
        assert float(plan.actions[0]) == pytest.approx(0.4, abs=0.03)
        ran.add(plan.iterations)
    assert ran == set(range(2, 10))


def test_as_many_looks_at_the_clock_give_the_same_plan_again(
    folder: Path, with_goal: Interface,
) -> None:
    for iterations in range(1, 6):
        ticks = Ticks()
        planner = PolicyPriorPlanner(settings(folder, objective=AT_GOAL, horizon=4),
                                     Cart(with_goal), with_goal, ticks)
        ticks()
        plan = planner.plan(torch.zeros(3), torch.tensor([0.4]), ticks.after(iterations))
        assert plan.iterations == iterations


def test_it_proposes_to_best_of_n(folder: Path, with_goal: Interface) -> None:
    from wm_eval_ros.planning.best_of_n import BestOfNPlanner
    z, goal = torch.zeros(3), torch.tensor([0.4])
    few = {'objective': AT_GOAL, 'samples': 4, 'iterations': 1, 'horizon': 10}
    blind = BestOfNPlanner(PlannerSettings(elites=1, **few), Cart(with_goal), with_goal)
    led = BestOfNPlanner(settings(folder, elites=1, **few), Cart(with_goal), with_goal)
    first = torch.tensor([[float(p.plan(z, goal, 2**62).actions[0]) for p in (blind, led)
                           if p.reset(s) is None] for s in range(10)])
    # what the policy would do, and not anything
    assert float((first[:, 1] - 0.4).abs().max()) < 0.1
    assert float((first[:, 0] - 0.4).abs().max()) > 0.3


@pytest.mark.parametrize(('changes', 'error', 'says'), [
    pytest.param({'policy': ''}, ConfigError, 'wm-eval distill', id='none'),
    pytest.param({'policy': '/nowhere/at/all'}, CheckpointError,
                 'planner.policy: no policy .*wm-eval distill', id='nowhere'),
    pytest.param({'period_ms': 20.0}, CheckpointError, 'every 50 ms', id='other-period'),
    pytest.param({'policy_sha256': '0' * 64}, CheckpointError, 'sha256', id='other-weights'),
    pytest.param({'policy': 'reacher'}, CheckpointError, 'trained', id='a-world-model'),
])
def test_a_policy_that_does_not_fit_is_refused(
    changes: dict[str, Any], error: type[Exception], says: str, folder: Path,
    with_goal: Interface,
) -> None:
    with pytest.raises(error, match=says):
        PolicyPriorPlanner(settings(folder, **changes), None, with_goal)


def test_a_world_model_is_no_policy_and_a_policy_no_world_model(folder: Path) -> None:
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    from wm_eval_ros.errors import WmEvalError
    from wm_eval_ros.models.checkpoint import load_checkpoint
    from wm_eval_ros.models.load import load_model
    reacher = load_scenario(find_scenario('reacher')).interface
    with pytest.raises(CheckpointError, match='not a policy'):
        load_policy('reacher', reacher)
    with pytest.raises(WmEvalError, match='policy'):
        load_checkpoint(folder)
    for planned in ({'planner.model': str(folder)}, {'planner.model': str(folder / 'spec.json')}):
        scenario = load_scenario(find_scenario('reacher'), {**planned, 'planner.model_sha256': ''})
        with pytest.raises(CheckpointError, match=r'is a policy, .*planner\.policy'):
            load_model(scenario)
    with pytest.raises(CheckpointError, match="no policy '/nowhere'"):
        pinned_policy(settings(Path('/nowhere')))


def test_another_goal_or_model_is_refused(
    folder: Path, interface: Interface, with_goal: Interface,
) -> None:
    with pytest.raises(CheckpointError, match='the scenario has none'):
        PolicyPriorPlanner(settings(folder), None, interface)
    model = Cart(with_goal)
    model.spec = dataclasses.replace(model.spec, feature_names=('a', 'b'))
    with pytest.raises(CheckpointError, match='does not decode'):
        PolicyPriorPlanner(settings(folder), model, with_goal)


def test_a_manifest_names_the_weights_of_the_policy(
    folder: Path, with_goal: Interface,
) -> None:
    found = pinned_policy(settings(folder)).policy_sha256
    assert load_policy(str(folder), with_goal, found).spec.sha256 == found
    assert pinned_policy(settings(folder, policy_sha256='1' * 64)).policy_sha256 == '1' * 64
    assert pinned_policy(PlannerSettings()).policy_sha256 == ''


@pytest.mark.parametrize('file', [WEIGHTS, SPEC])
def test_a_damaged_policy_is_refused(
    file: str, folder: Path, tmp_path: Path, with_goal: Interface,
) -> None:
    for name in (WEIGHTS, SPEC):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / file).write_bytes(data)
    with pytest.raises(CheckpointError):
        load_policy(str(tmp_path), with_goal)


@pytest.fixture
def bag(write_bag: Callable[..., Path], make_cycle: Callable[..., CycleRecord],
        run_info: RunInfo) -> Path:
    """Two episodes of five slots; of the second one slot was skipped, and two are not whole."""
    cycles = [make_cycle(k, 50 * k, k // 5, observation=(0.1 * k, 0.0), action=(-1.0,))
              for k in range(10)]
    cycles[1] = dataclasses.replace(cycles[1], status=CycleStatus.LATE, action=(2.0,))
    cycles[6] = dataclasses.replace(cycles[6], status=CycleStatus.SKIPPED, action=())
    cycles[7] = dataclasses.replace(cycles[7], observation=(0.1,))
    cycles[8] = dataclasses.replace(cycles[8], observation=(float('nan'), 0.0))
    return write_bag('bag', dataclasses.replace(run_info, planner='cem'),
                     [(50.0 * k, 0.1 * k, 0.0) for k in range(10)],
                     [(50.0 * k + 5, -1.0) for k in range(10)], cycles)


@pytest.fixture
def driven_by(write_bag: Callable[..., Path], make_cycle: Callable[..., CycleRecord],
              run_info: RunInfo) -> Callable[..., Path]:
    """Return what writes three decisions of a planner."""
    def write(name: str, planner: str, at: float = 0.0) -> Path:
        cycles = [make_cycle(k, 50 * k, observation=(at + k, 0.0), action=(-1.0,))
                  for k in range(3)]
        return write_bag(name, dataclasses.replace(run_info, planner=planner),
                         [(50.0 * k, at + k, 0.0) for k in range(3)],
                         [(50.0 * k + 5, -1.0) for k in range(3)], cycles)
    return write


def test_decisions_are_the_slots_with_a_command_and_all_it_was_decided_from(
    bag: Path, driven_by: Callable[..., Path],
) -> None:
    found = read_decisions([bag, driven_by('more', 'cem', 7.0)])
    assert found.feature_names == NAMES
    assert found.planners == ('cem',)
    assert found.inputs[:, 0].tolist() == pytest.approx(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 7.0, 8.0, 9.0])
    # in halves of the range of -2 to 2
    assert found.actions[:, 0].tolist() == [-0.5, 1.0, *[-0.5] * 8]
    assert found.episodes.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize('planner', sorted(NOT_SEARCHING))
def test_what_does_not_search_is_no_teacher(
    planner: str, driven_by: Callable[..., Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bag = driven_by('bag', planner)
    assert main(['distill', str(bag), '--out', str(tmp_path / 'p')]) == 2
    error = capsys.readouterr().err
    assert f'{bag}: was driven by {planner}, which does not search' in error
    assert error.count('\n') == 1


def test_several_teachers_are_not_mixed(driven_by: Callable[..., Path]) -> None:
    bags = [driven_by('a', 'cem'), driven_by('b', 'cem', 5.0), driven_by('c', 'mcts', 9.0)]
    with pytest.raises(BagError, match=r'c: was driven by mcts, .*a by cem; .*one planner'):
        read_decisions(bags)


def test_the_same_decisions_are_not_taken_twice(bag: Path, tmp_path: Path) -> None:
    again = tmp_path / 'x' / '..' / 'bag'
    (tmp_path / 'x').mkdir()
    with pytest.raises(BagError, match=f'{again}: is given twice, first as {bag}; .* double'):
        read_decisions([bag, again])
    shutil.copytree(bag, tmp_path / 'copy')
    with pytest.raises(BagError, match=f'copy: is given twice, first as {bag}; .* double'):
        read_decisions([bag, tmp_path / 'copy'])


def test_a_bag_without_decisions_is_refused(
    write_bag: Callable[..., Path], make_cycle: Callable[..., CycleRecord], run_info: RunInfo,
) -> None:
    empty = write_bag('empty', run_info, [(0.0, 0.0, 0.0)], [(5.0, 0.0)], [make_cycle(0, 0)])
    with pytest.raises(BagError, match='1 slots, none with a command'):
        read_decisions([empty])


def test_the_verb_writes_a_policy_that_loads_and_says_what_it_is(
    bag: Path, interface: Interface, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'policy'
    assert main(['distill', str(bag), '--out', str(out), '--steps', '20', '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['decisions'], report['episodes'], report['name']) == (7, 2, 'policy')
    card = (out / 'card.md').read_text()
    assert 'cloned from the planner cem' in card
    assert f'Made by `wm-eval distill {bag} --steps 20 --out {out}`' in card
    assert load_policy(str(out), interface, report['sha256']).spec.sha256 == report['sha256']
    assert main(['distill', str(bag), '--out', str(out)]) == 2
    assert str(out) in capsys.readouterr().err
    assert main(['distill', str(bag), '--out', str(tmp_path / 'p'), '--steps', '0']) == 2
    assert 'steps' in capsys.readouterr().err


def test_a_full_disk_is_told_and_the_command_can_be_repeated(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, write = tmp_path / 'p', Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[:10])
        raise OSError(28, 'No space left on device')

    words = ['distill', str(bag), '--out', str(out), '--steps', '2']
    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', full)
        assert main(words) == 74
    assert f'{out}: cannot be written (No space left on device)' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['bag']
    assert main(words) == 0
