"""The course of a retraining: alarms, mining, rounds of training, and the decision after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
import shutil
from typing import Any

from wm_eval_ros.cli.retrain_case import CALIBRATION, Model, replay_of, Stages
from wm_eval_ros.cli.retrain_gate import ALPHA, gate, Outcomes, rate_of
from wm_eval_ros.cli.retrain_watch import run_summary, watch_bag
from wm_eval_ros.cli.sides import evidence_of
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.metrics.retrain import RunSummary, time_to_retrain
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.models.registry import Registry
from wm_eval_ros.records import Interval, Verdict
from wm_eval_ros.scoring.promotion import Promotion
from wm_eval_ros.scoring.scorecard import value_json


@dataclass(frozen=True)
class Material:
    """Data given on the command line instead of what the case makes itself."""

    data: tuple[Path, ...] = ()
    replay: tuple[str, ...] = ()


@dataclass(frozen=True)
class Before:
    """The old model under both conditions, and what the time is counted from."""

    outcomes: Outcomes
    summaries: tuple[RunSummary, ...]

    @property
    def interval(self) -> Interval:
        """Return the interval of its success under the old condition."""
        rate = rate_of(self.outcomes.nominal)
        return Interval(rate['low'], rate['high'], 0.95, 'Clopper-Pearson')


def retrain(stages: Stages, registry: Registry,
            given: Material) -> tuple[dict[str, Any], Verdict]:
    """
    Run a case; return the report, and whether a version was promoted and kept.

    FAIL: no version was, and the last one is shown to be no better or worse; INCONCLUSIVE: nothing
    is shown.
    """
    report: dict[str, Any] = {
        'scenario': stages.case.scenario, 'shift': [to_plain(p) for p in stages.case.shift],
        'old_model': {'sha256': stages.old.sha256}, 'rounds': []}
    nominal = stages.run('nominal_old', stages.scenario(stages.old, shifted=False),
                         'old model, old condition')
    shifted = stages.run('shifted_old', stages.scenario(stages.old, shifted=True),
                         'old model, under the shift')
    old = Outcomes(evidence_of(nominal), evidence_of(shifted))
    before = Before(old, (run_summary(watch_bag(nominal), old.nominal),))
    report['success'] = {'nominal_old': rate_of(old.nominal), 'shifted_old': rate_of(old.shifted)}
    data = list(given.data)
    known: list[Path] = []
    if not (given.data and given.replay):
        known.append(stages.run('replay_old',
                                stages.scenario(stages.old, shifted=False, use='replay'),
                                'old model, old condition, to calibrate and to replay'))
    if not data:
        before, mined = _alarms(stages, known[0], before, report)
        data.append(mined)
    if not given.replay:
        known += stages.collect('explored_old', stages.old,
                                stages.case.seeds()['explore the old condition'].start,
                                stages.case.replay_episodes, shifted=False)
    replay = replay_of(given.replay, known)
    verdict = _rounds(stages, registry, before, data, replay, report,
                      explores=not given.data)
    report['verdict'] = verdict.value
    return report, verdict


def _alarms(stages: Stages, nominal: Path, before: Before,
            report: dict[str, Any]) -> tuple[Before, Path]:
    """Calibrate, drive under the shift with detector and fallback, mine what happened."""
    path = stages.folder / CALIBRATION
    report['calibration'] = stages.calibrate(nominal, path)
    bag = stages.run('guarded_old', stages.scenario(stages.old, shifted=True, calibration=path,
                                                      use='mine'),
                     'old model, under the shift, with detector and fallback')
    watched, evidence = watch_bag(bag), evidence_of(bag)
    report['alarms'] = asdict(watched)
    report['success']['guarded_old'] = rate_of(evidence)
    folder, report['mined'] = stages.mine(bag)
    summaries = (*before.summaries, run_summary(watched, evidence))
    return replace(before, summaries=summaries), folder


def _rounds(stages: Stages, registry: Registry, before: Before, data: list[Path], replay: Any,
            report: dict[str, Any], *, explores: bool) -> Verdict:
    """Explore, train and judge until the success is back; then try what is in force once more."""
    case, newest, promoted = stages.case, stages.old, 0
    verdict, looks = Verdict.INCONCLUSIVE, case.rounds if explores else 1
    for number in range(1, looks + 1):
        if explores:
            seed = case.explore_seed + (number - 1) * case.explore_episodes
            data += stages.collect(f'explored_{number}', newest, seed, case.explore_episodes,
                                   shifted=True)
        newest, training = stages.train(number, newest, data, replay,
                                        max(registry.versions()) + 1)
        entry: dict[str, Any] = {'training': training}
        report['rounds'].append(entry)
        promotion, summary = _evaluate(stages, number, newest, before, looks, entry)
        before = replace(before, summaries=(*before.summaries, summary))
        verdict = promotion.verdict
        entry['version'] = _keep(registry, newest, promotion)
        promoted = entry['version'] if verdict is Verdict.PASS else promoted
        if verdict is Verdict.PASS and promotion.back:
            break
    report['time'] = [value_json(v) for v in time_to_retrain(
        before.summaries, case.back_margin, 1 - ALPHA / looks)]
    if promoted:
        verdict = _confirm(stages, registry, promoted, before.interval, report)
    report['registry'] = {'folder': str(registry.folder), 'in_force': registry.current()}
    return verdict


def _evaluate(stages: Stages, number: int, model: Model, before: Before, looks: int,
              entry: dict[str, Any]) -> tuple[Promotion, RunSummary]:
    """Run a candidate under both conditions on the old model's starts, and judge it."""
    nominal = stages.run(f'nominal_{number}', stages.scenario(model, shifted=False),
                         'retrained model, old condition')
    shifted = stages.run(f'shifted_{number}', stages.scenario(model, shifted=True),
                         'retrained model, under the shift')
    entry['calibration'] = stages.calibrate(nominal, model.folder / CALIBRATION)
    outcomes = Outcomes(evidence_of(nominal), evidence_of(shifted))
    found, told = gate(outcomes, before.outcomes, stages.case, looks)
    entry |= told
    return found, run_summary(watch_bag(shifted), outcomes.shifted)


def _keep(registry: Registry, model: Model, promotion: Promotion) -> int:
    """Add a candidate to the registry; put it in force if the gate passed."""
    facts: Mapping[str, Any] = {
        'verdict': promotion.verdict.value,
        'why': [f'{c.name}: {c.sentence}' for c in promotion.conditions]}
    version = registry.add(lambda to: shutil.copytree(model.folder, to), {})
    if promotion.verdict is Verdict.PASS:
        registry.promote(version, facts)
    else:
        registry.reject(version, facts)
    return version


def _confirm(stages: Stages, registry: Registry, version: int, before: Interval,
             report: dict[str, Any]) -> Verdict:
    """
    Run the version in force under the shift on fresh starts, with its detector and the fallback.

    One whose success is shown to lie below the old interval, and not above what the old model had
    under the shift, has lost what it was promoted for and is rolled back.
    """
    folder = registry.path(version)
    model = Model(folder, load_spec(folder).sha256)
    scenario = stages.scenario(model, shifted=True, calibration=folder / CALIBRATION,
                               use='confirm')
    bag = stages.run('guarded_new', scenario,
                     'promoted model, under the shift, fresh starts, with detector and fallback')
    rate = rate_of(evidence_of(bag))
    report['confirmed'] = {**asdict(watch_bag(bag)), 'success': rate}
    if rate['high'] < before.low and rate['low'] <= report['success']['shifted_old']['high']:
        why = f'success {rate["value"]:.2f} on fresh starts, with the fallback, is not back'
        registry.rollback({'why': why})
        report['rolled_back'] = why
        return Verdict.FAIL
    return Verdict.PASS

