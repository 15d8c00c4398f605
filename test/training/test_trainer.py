"""Training: learns a linear world, repeats itself, and is honest about what it cannot do."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.cli.main import main
from wm_eval_ros.config.software import git_commit
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.training.card import card
from wm_eval_ros.training.recipe import load_recipe, recipe_names
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import split, train
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.training.windows import cut

QUICK = TrainSettings(steps=400, hidden=32, batch=64, unroll=2)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_learns_a_linear_world(linear_world: Dataset) -> None:
    result = train(linear_world, QUICK, 'cart')
    assert check_world_model(result.model) == []
    assert result.report['one_step_ratio'] < 0.1
    assert result.report['rmse'][-1] < 0.2 * result.report['persistence'][-1]
    # the command still in force pushes as hard as it does in the world: 0.3 to 0.7
    z = result.model.encode(torch.tensor([[0.0, 0.0]]).repeat(3, 1), None,
                            torch.tensor([[0.0], [0.5], [0.0]]))
    actions = torch.tensor([[[0.0]], [[0.0]], [[0.5]]])
    v = result.model.decode(result.model.predict(z, actions))[:, 0, 1]
    assert float(v[1] - v[0]) == pytest.approx(0.2 * 0.3 * 0.5, abs=0.012)
    assert float(v[2] - v[0]) == pytest.approx(0.2 * 0.7 * 0.5, abs=0.012)


def test_same_seed_same_weights(linear_world: Dataset) -> None:
    short = replace(QUICK, steps=20)
    first, second = (train(linear_world, short, 'cart').model.tensors for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
    other = train(linear_world, replace(short, seed=1), 'cart').model.tensors
    assert not torch.equal(first['weight0'], other['weight0'])


def test_members_differ(linear_world: Dataset) -> None:
    weights = train(linear_world, replace(QUICK, steps=20), 'cart').model.tensors['weight1']
    assert not torch.equal(weights[0], weights[1])


def test_stops_early_when_validation_stops_improving(linear_world: Dataset) -> None:
    rng = np.random.default_rng(0)
    noise = replace(linear_world, trajectories=tuple(
        Trajectory(rng.normal(size=t.features.shape), t.actions, t.before, t.episode)
        for t in linear_world.trajectories))
    seen: list[int] = []
    result = train(noise, replace(QUICK, steps=2000, checks=40, patience=3), 'noise',
                   lambda done, total, words: seen.append(done))
    assert result.steps < 2000
    assert seen[-1] == result.steps


def test_the_calibration_of_pure_noise_is_what_it_claims(linear_world: Dataset) -> None:
    rng = np.random.default_rng(1)

    def walk(t: Trajectory) -> Trajectory:
        steps = rng.normal(size=t.features.shape)
        return Trajectory(steps.cumsum(0), t.actions, t.before, t.episode)
    walks = replace(linear_world,
                    trajectories=tuple(walk(t) for t in linear_world.trajectories))
    result = train(walks, replace(QUICK, unroll=1, val_share=0.3), 'walk')
    assert result.report['coverage90'] == pytest.approx(0.9, abs=0.06)


def test_split_is_by_episode(linear_world: Dataset) -> None:
    kept, held = split(linear_world, 0.2, seed=0)
    assert len(held) == 6
    assert {t.episode for t in kept}.isdisjoint(t.episode for t in held)
    assert len(split(linear_world, 0.99, seed=0)[0]) == 1


def test_a_constant_feature_is_no_obstacle(linear_world: Dataset) -> None:
    (stream,) = linear_world.interface.observations
    wider = replace(stream, fields=(*stream.fields, 'velocity[b]'))
    flat = replace(
        linear_world, interface=replace(linear_world.interface, observations=(wider,)),
        feature_names=(*linear_world.feature_names, 'joint_states.velocity[b]'),
        trajectories=tuple(Trajectory(np.pad(t.features, ((0, 0), (0, 1))), t.actions, t.before,
                                      t.episode) for t in linear_world.trajectories))
    result = train(flat, replace(QUICK, steps=50), 'flat')
    assert bool(torch.isfinite(result.model.predict(torch.zeros(1, 4), torch.ones(1, 50, 1)))
                .all())


@pytest.mark.parametrize(('keep', 'match'), [
    (slice(0, 1), '1 usable episodes'), (slice(0, 0), '0 usable episodes')])
def test_too_few_episodes_are_refused(linear_world: Dataset, keep: slice, match: str) -> None:
    few = replace(linear_world, trajectories=linear_world.trajectories[keep])
    with pytest.raises(BagError, match=match):
        train(few, QUICK, 'few')


def test_episodes_too_short_are_refused(linear_world: Dataset) -> None:
    with pytest.raises(BagError, match='42 consecutive slots'):
        train(linear_world, replace(QUICK, unroll=41), 'short')


def test_values_that_are_not_finite_are_refused(linear_world: Dataset) -> None:
    features = linear_world.trajectories[0].features.copy()
    features[3, 0] = np.nan
    first = replace(linear_world.trajectories[0], features=features)
    with pytest.raises(BagError, match='not finite'):
        train(replace(linear_world, trajectories=(first, *linear_world.trajectories[1:])),
              QUICK, 'nan')


def test_windows_hold_consecutive_slots(linear_world: Dataset) -> None:
    windows = cut(linear_world.trajectories[:2], 3)
    assert len(windows) == 2 * (40 - 3)
    features, before, actions = windows.gather(torch.tensor([0, 1, 37]))
    first, second = linear_world.trajectories[:2]
    assert torch.allclose(features[1].double(), torch.from_numpy(first.features[1:5]))
    assert torch.allclose(before[1].double(), torch.from_numpy(first.actions[0]))
    assert torch.allclose(actions[1].double(), torch.from_numpy(first.actions[1:4]))
    assert torch.allclose(features[2].double(), torch.from_numpy(second.features[:4]))
    assert torch.equal(before[[0, 2]], torch.zeros(2, 1))


def test_shipped_recipes_are_of_the_schema() -> None:
    assert set(recipe_names()) == {'cartpole', 'pusher', 'reacher', 'two_room', 'two_room_pixels'}
    for name in recipe_names():
        assert load_recipe(name).scenario == name
    with pytest.raises(ConfigError, match=r"no recipe 'reecher'; did you mean 'reacher'"):
        load_recipe('reecher')


def test_the_verb_follows_a_recipe_and_writes_a_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('mujoco')
    recipe = tmp_path / 'small.yaml'
    recipe.write_text('scenario: reacher\nrounds: [{episodes: 3, seed: 1, steps: 5}, '
                      '{episodes: 1, seed: 9}]\ntrain: {steps: 10, hidden: 8}\n'
                      'trial_episodes: 1\n')
    assert main(['train', '--recipe', str(recipe), '--out', str(tmp_path / 'out'),
                 '--name', 'small', '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['episodes'], report['transitions'], report['steps']) == (4, 240, 10)
    assert report['trial_episodes'] == 1
    text = (tmp_path / 'out' / 'card.md').read_text()
    assert '# small' in text
    assert 'of 1 solved' in text
    from wm_eval_ros.models.checkpoint import load_checkpoint
    assert load_checkpoint(tmp_path / 'out', sha256=report['sha256']).spec.name == 'small'


@pytest.mark.parametrize(('words', 'match'), [
    ([], 'either bags or --recipe'), (['missing'], 'no such file'),
    (['--recipe', 'nothing'], 'no recipe'), (['--recipe', 'reacher', '--steps', '0'], 'steps'),
    (['--recipe', 'reacher', '--family', 'magic'], 'magic'),
    (['--recipe', 'reacher', '--threads', '0'], 'at least 1'),
])
def test_bad_input_gets_one_line(
    words: list[str], match: str, tmp_path: Path, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert main(['train', *words, '--out', str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count('\n') == 1


def test_the_provenance_says_what_was_learnt_from_and_by_which_code(
    linear_world: Dataset,
) -> None:
    settings = TrainSettings(family='mlp', steps=5, hidden=8)
    result = train(linear_world, settings, 'linear')
    made = result.model.spec.provenance
    assert made['data_sha256'] == [linear_world.sha256]
    assert made['git_commit'] == git_commit()
    told = card(result.model.spec, result, 'wm-eval train')
    assert linear_world.sha256 in told
    assert made['git_commit'] in told


def test_the_hash_of_the_data_is_that_of_every_number(linear_world: Dataset) -> None:
    first, *rest = linear_world.trajectories
    other = replace(first, actions=first.actions + 1e-12)
    assert replace(linear_world).sha256 == linear_world.sha256
    for changed in ((other, *rest), tuple(rest), (*rest, first)):
        assert replace(linear_world, trajectories=changed).sha256 != linear_world.sha256
