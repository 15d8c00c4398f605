"""Ranges for int8 are of what is planned with, and engines are ranked by what is finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.cli.export_model import card, own_card
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.scenario import find_scenario, load_scenario, ObjectiveTerm
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.models.compiled import RANGES, Ranges, ranges_of
from wm_eval_ros.models.mlp import MlpArchitecture, MlpModel, MlpNetwork
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.records import RunInfo
from wm_eval_ros.training import export as exporting
from wm_eval_ros.training.export import Export, export, Trial
from wm_eval_ros.training.fidelity_data import Evidence
from wm_eval_ros.training.trajectory import Dataset

pytest.importorskip('openvino', reason='the extra `fast` is not installed')

SAMPLES, HORIZON = 16, 6


@pytest.fixture
def make_evidence(linear_world: Dataset, run_info: RunInfo) -> Callable[..., Evidence]:
    """Return what makes a run of the linear world under a planner of given settings."""
    def make(**changes: Any) -> Evidence:
        base = load_scenario(find_scenario('reacher'))
        planner = replace(base.planner, **{
            'samples': SAMPLES, 'elites': 4, 'horizon': HORIZON, 'uncertainty_weight': 0.0,
            'action_repeat': 1,
            'objective': (ObjectiveTerm(features=linear_world.feature_names[:1],
                                        target=('1.0',)),), **changes})
        scenario = replace(base, interface=linear_world.interface, planner=planner)
        kept = linear_world.trajectories[:2]
        return Evidence(run_info, scenario, linear_world.feature_names, kept,
                        tuple(np.zeros((len(t.features), 0)) for t in kept), None)
    return make


def network(linear_world: Dataset, dropout: float = 0.0) -> MlpModel:
    """Return a network wide enough for int8, with random weights."""
    arch = MlpArchitecture(features=2, actions=1, hidden=128, dropout=dropout)
    torch.manual_seed(0)
    net = MlpNetwork(arch)
    net.delta_scale.fill_(0.3)
    return MlpModel(WorldModelSpec(
        name='net', version='1', sha256='', family='mlp', interface=linear_world.interface,
        feature_names=linear_world.feature_names, dt_s=0.05, architecture=vars(arch).copy(),
        provenance={}), net.state_dict())


def spoilt(monkeypatch: pytest.MonkeyPatch, count: int, method: str = 'predict') -> None:
    """Make so many candidates of every batch diverge."""
    whole = getattr(MlpModel, method)

    def some(self: MlpModel, *args: Any, **kwargs: Any) -> torch.Tensor:
        found = torch.as_tensor(whole(self, *args, **kwargs)).clone()
        found[:count] = float('nan')
        return found

    monkeypatch.setattr(MlpModel, method, some)


@pytest.mark.parametrize('repeat', [1, 3])
def test_candidates_are_as_long_as_the_horizon_however_long_a_command_is_held(
    repeat: int, make_evidence: Callable[..., Evidence], linear_world: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[tuple[int, ...]] = set()
    ranged: list[torch.Tensor] = []
    judged = Imagination.cost

    def cost(self: Imagination, start: Any, rollout: Any, *args: Any) -> torch.Tensor:
        seen.add(tuple(rollout.shape[:2]))
        return judged(self, start, rollout, *args)

    def ranges(function: Any, inputs: Any) -> Ranges:
        ranged.append(inputs[1])
        return ranges_of(function, inputs)

    monkeypatch.setattr(Imagination, 'cost', cost)
    monkeypatch.setattr(exporting, 'ranges_of', ranges)
    export(make_evidence(action_repeat=repeat), network(linear_world), states=4, seed=0)
    assert seen == {(SAMPLES, HORIZON)}
    (actions,) = ranged
    assert actions.shape[1] == HORIZON
    held = actions.reshape(len(actions), -1, repeat, 1)
    assert torch.equal(held, held[:, :, :1].expand_as(held))


def test_a_horizon_that_is_no_multiple_is_refused_as_planners_do(
    make_evidence: Callable[..., Evidence], linear_world: Dataset,
) -> None:
    with pytest.raises(ConfigError, match=r'^planner.action_repeat: 4; planner.horizon, 6 steps'):
        export(make_evidence(action_repeat=4), network(linear_world), states=4, seed=0)


@pytest.mark.parametrize('wary', [False, True])
def test_the_ranges_are_those_of_the_function_that_is_planned_with(
    wary: bool, make_evidence: Callable[..., Evidence], linear_world: Dataset,
) -> None:
    model = network(linear_world, dropout=0.5)
    found = export(make_evidence(uncertainty_weight=0.5 if wary else 0.0), model, states=4, seed=0)
    most = {name: high for name, (_, high) in found.model.spec.provenance[RANGES].items()}
    plain = export(make_evidence(), model, states=4, seed=0).model.spec.provenance[RANGES]
    # what is left of a layer of which half is dropped is twice as large
    grown = [most[name] / plain[name][1] for name in plain]
    assert set(most) == set(plain)
    assert min(grown) > 1.3 if wary else grown == [1.0] * len(grown)


def test_what_cannot_tell_its_uncertainty_is_not_compiled_for_it(
    make_evidence: Callable[..., Evidence], linear_world: Dataset,
) -> None:
    with pytest.raises(CheckpointError, match='it has no rolled_with_uncertainty'):
        export(make_evidence(uncertainty_weight=0.5), network(linear_world), states=4, seed=0)


def test_a_candidate_that_diverges_is_left_out_and_counted(
    make_evidence: Callable[..., Evidence], linear_world: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = export(make_evidence(), network(linear_world), states=4, seed=0)
    spoilt(monkeypatch, 1)
    found = export(make_evidence(), network(linear_world), states=4, seed=0)
    assert [t.left_out for t in whole.trials] == [0] * 4
    # one of torch's in each of the two states, whatever the others make of it
    assert [t.left_out for t in found.trials if t.rank is not None] == [2] * sum(
        t.rank is not None for t in found.trials)
    assert found.trials[0].rank == 1.0
    assert found.trials[0].states == 2


def test_rollouts_that_diverge_set_no_range(
    make_evidence: Callable[..., Evidence], linear_world: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []

    def ranges(function: Any, inputs: Any) -> Ranges:
        kept.append(len(inputs[0]))
        return {'p': (0.0, 1.0)}

    monkeypatch.setattr(exporting, 'ranges_of', ranges)
    spoilt(monkeypatch, 3, 'rolled')
    monkeypatch.setattr(exporting, 'ENGINES', exporting.ENGINES[:1])
    found = export(make_evidence(), network(linear_world), states=4, seed=0)
    assert kept == [2 * 16 - 3]
    assert found.model.spec.provenance[RANGES] == {'p': [0.0, 1.0]}
    spoilt(monkeypatch, 1000, 'rolled')
    with pytest.raises(CheckpointError, match='nothing it imagines of the states of this run'):
        export(make_evidence(), network(linear_world), states=4, seed=0)


def test_too_few_finite_candidates_are_said_in_one_line(
    make_evidence: Callable[..., Evidence], linear_world: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoilt(monkeypatch, SAMPLES // 2 + 1)
    with pytest.raises(CheckpointError, match=r"^model 'net': nothing to hold .* in torch, 2 of 2 "
                                              'states not ranked: fewer than 50% of their'):
        export(make_evidence(), network(linear_world), states=4, seed=0)


@pytest.mark.parametrize(('spoil', 'rank', 'good'), [
    pytest.param(slice(0, 1), 1.0, True, id='one-state'),
    pytest.param(slice(0, 3), None, False, id='most-states')])
def test_an_engine_that_diverges_is_not_good_by_the_few_states_that_are_left(
    spoil: slice, rank: float | None, good: bool,
) -> None:
    costs = np.tile(np.arange(8.0), (4, 4, 1))                            # (E, S, K)
    costs[3, spoil, :5] = np.inf
    trial = exporting._trial(3, object(), costs, np.ones((4, 4)))  # type: ignore[arg-type]
    lost = spoil.stop
    assert (trial.rank, trial.states, trial.left_out) == (rank, 4 - lost, 5 * lost)
    assert trial.why.startswith(f'{lost} of 4 states not ranked')
    assert Export(None, (trial,)).good is good  # type: ignore[arg-type]
    alike: Trial = exporting._trial(
        1, object(), 0 * np.nan_to_num(costs), np.ones((4, 4)))  # type: ignore[arg-type]
    assert (alike.rank, alike.why) == (None, 'candidates cost all the same')


@pytest.fixture
def asked(
    linear_world: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Callable[..., int]:
    """Return what runs the verb on a run of the linear world."""
    def ask(evidence: Evidence, *words: str) -> int:
        monkeypatch.setattr('wm_eval_ros.training.fidelity_data.read_evidence',
                            lambda bag: evidence)
        monkeypatch.setattr('wm_eval_ros.training.fidelity.find_model',
                            lambda *_: SimpleNamespace(model=network(linear_world), folder=None))
        return main(['export-model', 'bag', '--out', str(tmp_path / 'made' / 'here'), '--states',
                     '4', *words])
    return ask


def test_without_an_objective_there_is_nothing_to_hold_the_engines_against(
    asked: Callable[..., int], make_evidence: Callable[..., Evidence], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(make_evidence(objective=())) == 2
    error = capsys.readouterr().err
    assert 'planner.objective: no term' in error
    assert error.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_is_told_though_the_folder_cannot_be_written(
    asked: Callable[..., int], make_evidence: Callable[..., Evidence],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('wm_eval_ros.models.checkpoint.save_checkpoint', full)
    assert asked(make_evidence(), '--json') == 74
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert (report['sha256'], report['good'], len(report['trials'])) == (None, True, 4)
    assert 'cannot be written (No space left on device)' in told.err
    assert asked(make_evidence()) == 74
    assert 'left out' in capsys.readouterr().out


def test_an_exported_model_is_written_and_told_of(
    asked: Callable[..., int], make_evidence: Callable[..., Evidence], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(make_evidence(), '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert load_spec(tmp_path / 'made' / 'here').sha256 == report['sha256']
    assert [t['left_out'] for t in report['trials']] == [0] * 4
    assert '0 candidates left out' in (tmp_path / 'made' / 'here' / 'card.md').read_text()


def test_the_card_of_an_export_keeps_that_of_its_checkpoint(
    linear_world: Dataset, tmp_path: Path,
) -> None:
    trial = Trial('openvino', 'int8', 0.99, 0.98, 0.5, 1.0, 4)
    found = Export(network(linear_world), (trial,))
    kept = '# m\n\n## Data\n3 episodes\n\n## Held-out episodes\n0.1\n\n## Limits\nNear its data.\n'
    (tmp_path / 'card.md').write_text(kept)
    for _ in range(2):  # an export of an export says the trials once
        made = card(found, own_card(tmp_path, 'm'))
        assert made.startswith(kept)
        assert made.count('rank correlation') == made.count('## Ranges of int8') == 1
        (tmp_path / 'card.md').write_text(made)
    assert 'has no card' in card(found, own_card(tmp_path / 'none', 'm'))
