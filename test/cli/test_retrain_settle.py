"""What is in force after a retraining: every way it can end, with the outcomes written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest

pytest.importorskip('torch')

import torch

from wm_eval_ros.cli.retrain_case import Model, open_registry, require_fresh, Stages
from wm_eval_ros.cli.retrain_rounds import Material, retrain
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import CheckpointError, ConfigError, RunError
from wm_eval_ros.models.checkpoint import load_checkpoint, load_spec
from wm_eval_ros.models.registry import Registry, USED
from wm_eval_ros.records import ClockMode, Verdict
from wm_eval_ros.report.retraining import text
from wm_eval_ros.training.case import load_case
from wm_eval_ros.training.continued import ContinueSettings
from wm_eval_ros.training.trajectory import Dataset, Trajectory

#: as few pairs as show that a tenth is not lost when two rounds may look
N = 46
GOOD, BAD = 'S' * N, 'T' * N
#: better than nothing, and far from back
HALF = 'S' * 23 + 'T' * 23
#: what each run would end like that the case makes when all is well in the first round
WELL = {'nominal_old': GOOD, 'shifted_old': BAD, 'nominal_1': GOOD, 'shifted_1': GOOD,
        'nominal_confirm_old': GOOD, 'shifted_confirm_old': BAD, 'nominal_confirm_new': GOOD,
        'shifted_confirm_new': GOOD, 'calibrate_new': GOOD, 'guarded_new': GOOD}


class Written(Stages):
    """The stages of a case whose runs are written instead of run, and whose training copies."""

    def __init__(self, folder: Path, old: Path, ends: dict[str, str],
                 write: Callable[..., Path], rounds: int) -> None:
        case = load_case('reacher_friction', {
            'nominal_episodes': N, 'shifted_episodes': N, 'rounds': rounds,
            'explore_episodes': 0, 'replay_episodes': 0, 'guarded_episodes': 20,
            'calibration_episodes': 2})
        super().__init__(case, folder, None, old)
        self._ends, self._write = ends, write
        self.starts: dict[str, range] = {}
        #: run's label -> what happens while it runs
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.calibrated: list[str] = []

    def run(self, label: str, scenario: Scenario, title: str) -> Path:
        self.starts[label] = range(scenario.seed, scenario.seed + scenario.episodes)
        if label in self.meanwhile:
            self.meanwhile[label]()
        ends = self._ends.get(label, GOOD)[:scenario.episodes]
        return self._write(self.folder / label, ends, seed=scenario.seed,
                           clock=ClockMode.LOCKSTEP, run_id=label)

    def calibrate(self, bag: Path, path: Path) -> dict[str, Any]:
        self.calibrated.append(bag.name)
        path.write_text('{}')
        return {}

    def mine(self, bag: Path) -> tuple[Path, dict[str, Any]]:
        return bag, {'windows': 1, 'mined': 1, 'slots': 2, 'reasons': {'failure': 1}}

    def train(self, number: int, start: Model, data: Any, replayed: Any,
              version: int) -> tuple[Model, dict[str, Any]]:
        folder = self.folder / f'candidate_{number}'
        shutil.copytree(start.folder, folder, ignore=shutil.ignore_patterns('calibration.json'))
        return Model(folder, start.sha256), {
            'sha256': start.sha256, 'improved': True, 'steps': 1, 'transitions': 1, 'wall_s': 1.0,
            'cpu_s': 1.0}


class Ended:
    """A case that was run through, and what is left of it."""

    def __init__(self, stages: Written, registry: Registry) -> None:
        self.report: dict[str, Any] = {}
        self.verdict = retrain(stages, registry, Material(), self.report)
        self.stages, self.registry = stages, registry
        self.moves = [(h['what'], h['version']) for h in registry.history()
                      if h['what'] != USED][2:]


@pytest.fixture
def case(tmp_path: Path, outcome_bag: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
         ) -> Callable[..., tuple[Written, Registry]]:
    """Return what begins a case; a run's label gives how its episodes end."""
    monkeypatch.setattr('wm_eval_ros.cli.retrain_rounds.replay_of', lambda names, own: None)

    def make(rounds: int = 1, **ends: str) -> tuple[Written, Registry]:
        registry, old = open_registry(tmp_path / 'registry', 'reacher', '')
        return Written(tmp_path / 'case', old, {**WELL, **ends}, outcome_bag, rounds), registry

    return make


@pytest.fixture
def end(case: Callable[..., tuple[Written, Registry]]) -> Callable[..., Ended]:
    """Return what runs a case through."""
    return lambda *args, **ends: Ended(*case(*args, **ends))


def test_a_model_that_is_good_again_is_put_in_force(end: Callable[..., Ended]) -> None:
    found = end()
    assert found.verdict is Verdict.PASS
    assert found.report['confirmed']['back']
    assert found.moves == [('added', 2), ('promoted', 2)]
    assert 'once more, on fresh starts' in text({**found.report, 'case': 'c'})


def test_every_use_of_a_start_has_its_own_and_a_pair_has_the_same(
        end: Callable[..., Ended]) -> None:
    starts = end().stages.starts
    judged = [starts[label] for label in ('nominal_old', 'nominal_1', 'shifted_old', 'shifted_1')]
    fresh = [starts[f'{when}_confirm_{who}'] for when in ('nominal', 'shifted')
             for who in ('old', 'new')]
    assert len(set(judged)) == len(set(fresh)) == 1
    apart = [judged[0], fresh[0], starts['replay_old'], starts['guarded_old'],
             starts['calibrate_new'], starts['guarded_new']]
    assert len({seed for block in apart for seed in block}) == sum(map(len, apart))


def test_a_candidate_is_calibrated_from_starts_it_is_not_judged_on_nor_replays(
        end: Callable[..., Ended]) -> None:
    found = end()
    assert found.stages.calibrated == ['replay_old', 'calibrate_new']
    assert (found.registry.path(2) / 'calibration.json').is_file()


@pytest.mark.parametrize(('ends', 'verdict'), [
    pytest.param({'shifted_confirm_new': BAD}, Verdict.INCONCLUSIVE, id='no-better-under-it'),
    pytest.param({'nominal_confirm_new': HALF}, Verdict.FAIL, id='worse-in-the-old-world'),
    pytest.param({'nominal_confirm_new': 'T' * 3 + 'S' * (N - 3)}, Verdict.INCONCLUSIVE,
                 id='a-loss-in-the-old-world-is-not-ruled-out')])
def test_what_fresh_starts_do_not_confirm_is_never_in_force(
        end: Callable[..., Ended], ends: dict[str, str], verdict: Verdict) -> None:
    found = end(**ends)
    assert (found.verdict, found.registry.current()) == (verdict, 1)
    assert found.moves == [('added', 2), ('rejected', 2)]
    assert any('fresh starts' in why for why in found.registry.history()[-1]['why'])


def test_a_version_that_fails_with_its_own_detector_leaves_what_was_before_all_rounds(
        end: Callable[..., Ended]) -> None:
    # both rounds pass the gate; the first of them was never confirmed, so it is no way out
    found = end(rounds=2, shifted_1=HALF, nominal_2=GOOD, shifted_2=GOOD, guarded_new=BAD)
    assert [entry['verdict'] for entry in found.report['rounds']] == ['pass', 'pass']
    assert found.moves == [('added', 2), ('rejected', 2), ('added', 3), ('rejected', 3)]
    assert found.registry.history()[-1]['why'][-1] == found.report['turned_down']
    assert (found.verdict, found.registry.current()) == (Verdict.FAIL, 1)
    assert 'NOT PROMOTED: success 0.00' in text({**found.report, 'case': 'c'})


def test_the_last_that_passed_is_confirmed_though_a_later_one_did_not(
        end: Callable[..., Ended]) -> None:
    found = end(rounds=2, shifted_1=HALF, nominal_2=HALF, shifted_2=GOOD)
    assert [entry['verdict'] for entry in found.report['rounds']] == ['pass', 'fail']
    assert found.registry.current() == 2
    assert found.verdict is Verdict.PASS


def test_where_no_round_passes_nothing_more_is_run(end: Callable[..., Ended]) -> None:
    found = end(shifted_1=BAD)
    assert (found.verdict, found.registry.current()) == (Verdict.INCONCLUSIVE, 1)
    assert not {'calibrate_new', 'nominal_confirm_new', 'guarded_new'} & set(found.stages.starts)
    assert not (found.registry.path(2) / 'calibration.json').exists()
    assert json.dumps(found.report)


@pytest.mark.parametrize('when', ['nominal_confirm_new', 'guarded_new'])
def test_a_version_that_came_in_force_meanwhile_is_not_replaced(
        when: str, case: Callable[..., tuple[Written, Registry]], tmp_path: Path,
        other_weights: Callable[[Path], Path]) -> None:
    stages, registry = case()
    theirs = other_weights(tmp_path / 'theirs')
    stages.meanwhile[when] = lambda: registry.promote(
        registry.add(lambda to: shutil.copytree(theirs, to), {}), {})
    with pytest.raises(CheckpointError, match=r'version \d is not promoted: version \d came in'):
        retrain(stages, registry, Material(), {})
    current, last = registry.current(), registry.history()[-1]
    assert current is not None
    assert load_spec(registry.path(current)).sha256 == load_spec(theirs).sha256
    assert (last['what'], {last['version'], current}) == ('rejected', {2, 3})


@pytest.mark.parametrize(('error', 'said'), [
    (RunError('planner node ended with code 1'), 'planner node ended with code 1'),
    (KeyboardInterrupt(), 'KeyboardInterrupt')])
def test_nothing_is_in_force_before_its_last_check_has_finished(
        error: BaseException, said: str, case: Callable[..., tuple[Written, Registry]]) -> None:
    stages, registry = case()

    def break_off() -> None:
        # as long as this takes, and if nothing of this process is left to clean up
        assert registry.current() == 1
        raise error

    stages.meanwhile['guarded_new'] = break_off
    report: dict[str, Any] = {}
    with pytest.raises(type(error)):
        retrain(stages, registry, Material(), report)
    assert registry.current() == report['registry']['in_force'] == 1
    last = registry.history()[-1]
    assert (last['what'], last['version']) == ('rejected', 2)
    assert last['why'][-1] == f'its last check did not finish: {said}'
    assert report['rounds'][0]['version'] == 2


def test_starts_that_decided_on_a_version_are_not_fresh_for_a_later_case(
        case: Callable[..., tuple[Written, Registry]]) -> None:
    stages, registry = case()
    require_fresh(stages.case, registry)
    retrain(stages, registry, Material(), {})
    assert registry.current() == 2
    with pytest.raises(ConfigError, match=r'starts to \w+, seeds 1000 to .*: --set seed=8000000'):
        require_fresh(stages.case, registry)
    # those that the earlier one mined are not fresh either: the version in force learnt from them
    with pytest.raises(ConfigError, match='seeds 1000990 to'):
        require_fresh(replace(stages.case, seed=1_000_990), registry)
    require_fresh(replace(stages.case, seed=8_000_000), registry)


def test_where_nothing_was_confirmed_the_same_starts_may_be_tried_again(
        end: Callable[..., Ended]) -> None:
    found = end(shifted_1=BAD)
    require_fresh(found.stages.case, found.registry)


def own_world(folder: Path) -> Dataset:
    """Return what a model itself imagines: nothing that is learnt from it makes it better."""
    model: Any = load_checkpoint(folder)
    spec, rng = model.spec, torch.Generator().manual_seed(0)
    start = model.tensors['feature_mean'] + 0.3 * model.tensors['feature_scale'] * torch.randn(
        4, len(spec.feature_names), generator=rng)
    actions = 2 * torch.rand(4, 40, spec.action_dim, generator=rng) - 1
    coming = model.decode(model.predict(model.encode(start), actions))
    return Dataset(spec.interface, spec.feature_names, spec.dt_s, tuple(
        Trajectory(torch.cat([start[i:i + 1], coming[i, :-1]]).double().numpy(),
                   actions[i].double().numpy(), np.zeros(spec.action_dim), i) for i in range(4)))


@pytest.mark.parametrize('shifted', [HALF, GOOD])
def test_a_round_that_made_nothing_better_says_so_and_is_never_promoted(
        shifted: str, case: Callable[..., tuple[Written, Registry]],
        monkeypatch: pytest.MonkeyPatch) -> None:
    # the same weights do the same: where that is good they would pass as if they were retrained
    stages, registry = case(shifted_old=shifted, shifted_1=shifted)
    stages.case = replace(stages.case, train=ContinueSettings(steps=4, learning_rate=1.0))
    monkeypatch.setattr(Written, 'train', Stages.train)
    monkeypatch.setattr('wm_eval_ros.training.dataset.load_dataset',
                        lambda _: own_world(stages.old.folder))
    found = Ended(stages, registry)
    assert (found.verdict, registry.current()) == (Verdict.FAIL, 1)
    assert found.moves == [('added', 2), ('rejected', 2)]
    assert 'training: nothing better came of it' in registry.history()[-1]['why'][-1]
    (entry,) = found.report['rounds']
    assert (entry['training']['improved'], entry['verdict'], entry['back']) == (False, 'fail',
                                                                               False)
    told = text({'case': 'c', **json.loads(json.dumps(found.report))})
    assert 'NOT IMPROVED: the weights it began with' in told
    assert 'FAIL: training: nothing better came of it' in told
    models: list[Any] = [load_checkpoint(registry.path(version)) for version in (1, 2)]
    old, new = models
    assert all(torch.equal(t, new.tensors[n]) for n, t in old.tensors.items())
    assert new.spec.provenance['improved'] is False
    assert 'NOT IMPROVED' in (registry.path(2) / 'card.md').read_text()
