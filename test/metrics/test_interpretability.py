"""Probes and inverse dynamics, on worlds in which the answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics.interpretability import Interpretability
from wm_eval_ros.metrics.table import RunTable
from wm_eval_ros.records import CycleRecord, Record, RunInfo
from wm_eval_ros.scoring.scorer import score
from wm_eval_ros.stats import regression

EPISODES, SLOTS = 8, 12


def world(scenes: ModuleType, seed: int = 0, listens: float = 1.0, told: float = 1.0,
          gain: float = 1.0, episodes: int = EPISODES) -> list[Record]:
    """
    Make a run in which the state moves by the command, z' = z + gain * command.

    :param listens: share of the command's effect that the model imagines
    :param told: how much of the state the latent holds, the rest is noise
    """
    rng = np.random.default_rng(seed)
    records: list[Record] = [scenes.info(observation_names=('place', 'side'))]
    for e in range(episodes):
        base = 50.0 * SLOTS * e
        records += [scenes.event('START', e, base - 1),
                    scenes.event('TIMEOUT', e, base + 50 * SLOTS - 10, value=0.6)]
        place = rng.normal()
        for k in range(SLOTS):
            command, noise = rng.normal(size=2)
            z = told * place + (1 - told) * noise
            records.append(scenes.cycle(
                e * SLOTS + k, episode=e, latent=[z, 1.0], action=(command,),
                rollout=[[z + listens * gain * command, 1.0]],
                observation=(3 * place + 1, rng.normal())))
            place += gain * command
    return records


def test_a_latent_that_holds_a_quantity_tells_it_and_one_without_does_not(
        scenes: ModuleType) -> None:
    card = score(world(scenes))
    assert card['latent_probe[place]'].value == pytest.approx(1, abs=1e-6)
    side = card['latent_probe[side]']
    null = card['latent_probe_null[side]']
    assert side.value is not None
    assert null.value is not None
    assert side.value < max(null.value, 0.05)
    assert card['latent_probe[place]'].value > card['latent_probe_null[place]'].value
    middle = (card['latent_probe[place]'].value + side.value) / 2
    assert card['latent_probe_median'].value == pytest.approx(middle)
    assert 'p = 0.0099' in card['latent_probe_null[place]'].why
    assert score(world(scenes, told=0.0))['latent_probe[place]'].value < 0.3


@pytest.mark.parametrize(('listens', 'low', 'high'), [
    pytest.param(1.0, 0.999, 1.0, id='imagines-what-it-is-told'),
    pytest.param(0.5, 0.6, 0.85, id='half-of-it-leaves-a-quarter-of-the-error'),
    pytest.param(0.0, -0.1, 0.1, id='deaf'),
    pytest.param(-1.0, -4.0, -2.0, id='the-wrong-way-round')])
def test_action_following_is_how_far_the_imagination_shows_the_command(
        scenes: ModuleType, listens: float, low: float, high: float) -> None:
    card = score(world(scenes, listens=listens))
    ceiling, found = card['inverse_dynamics'].value, card['action_following'].value
    assert ceiling is not None
    assert found is not None
    assert ceiling > 0.999
    assert low <= found <= high


def test_where_nothing_tells_the_command_there_is_no_figure(scenes: ModuleType) -> None:
    card = score(world(scenes, seed=1, gain=0.0))
    ceiling = card['inverse_dynamics'].value
    assert ceiling is not None
    assert -0.05 < ceiling <= 0
    assert card['action_following'].value is None
    assert 'cannot be read' in card['action_following'].why


def test_a_command_within_the_latent_is_not_read_off_as_its_own_effect(
        scenes: ModuleType) -> None:
    records = world(scenes, listens=0.0)
    held = [replace(r, latent=np.array([r.latent[0], before], np.float32),
                    rollout=np.array([[r.rollout[0, 0], r.action[0]]], np.float32))
            for r, before in zip(records, commands_before(records), strict=True)
            if isinstance(r, CycleRecord)]
    rest = [r for r in records if not isinstance(r, (CycleRecord, RunInfo))]
    manifest = scenes.info(
        model={'latent_names': ['place', '/arm.effort']},
        settings={'interface': {'command': {'topic': '/arm', 'fields': ['effort']}}})
    named = score([manifest, *rest, *held])
    assert named['inverse_dynamics'].value > 0.999
    assert named['action_following'].value < 0.1
    assert score([*rest, *held])['action_following'].value > 0.99


def commands_before(records: list[Record]) -> list[float]:
    sent = {r.slot: r.action[0] for r in records if isinstance(r, CycleRecord)}
    return [sent.get(r.slot - 1, 0.0) if isinstance(r, CycleRecord) else 0.0 for r in records]


@pytest.mark.parametrize('name', ['latent_probe[place]', 'inverse_dynamics', 'action_following'])
def test_four_episodes_are_too_few(scenes: ModuleType, name: str) -> None:
    found = score(world(scenes, episodes=4))[name]
    assert found.value is None
    assert '5 episodes' in found.why


def test_without_vectors_the_reason_says_so(scenes: ModuleType) -> None:
    card = score(scenes.busy_run())
    for name in ('latent_probe_median', 'inverse_dynamics', 'action_following', 'aurc'):
        assert card[name].value is None
        assert card[name].why


def test_a_latent_is_decomposed_once_a_fold_whatever_the_number_of_quantities(
        scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Inputs(regression._Inputs):
        def __init__(self, x: regression.Floats) -> None:
            made.append(len(x))
            super().__init__(x)

    run = RunTable()
    for record in world(scenes):
        run.update(record)
    monkeypatch.setattr(regression, '_Inputs', Inputs)
    values = {v.name: v.value for v in Interpretability().values(run.run())}
    assert len(made) == regression.FOLDS
    assert values['latent_probe[place]'] == pytest.approx(1, abs=1e-6)
    assert values['latent_probe[side]'] is not None


def test_quantities_without_a_name_go_by_number(scenes: ModuleType) -> None:
    records = [r for r in world(scenes) if not hasattr(r, 'run_id')]
    assert score(records)['latent_probe[0]'].value == pytest.approx(1, abs=1e-6)
