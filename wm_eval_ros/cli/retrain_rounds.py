"""The course of a retraining: alarms, mining, rounds of training, and the decision after each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wm_eval_ros.cli.retrain_case import CALIBRATION, replay_of, Stages
from wm_eval_ros.cli.retrain_gate import ALPHA, gate, Outcomes, rate_of, turned_down
from wm_eval_ros.cli.retrain_settle import Candidate, settle
from wm_eval_ros.cli.retrain_watch import run_summary, watch_bag
from wm_eval_ros.cli.sides import evidence_of
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.metrics.retrain import RunSummary, time_to_retrain
from wm_eval_ros.models.registry import Registry
from wm_eval_ros.records import Verdict
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


def retrain(stages: Stages, registry: Registry, given: Material,
            report: dict[str, Any]) -> Verdict:
    """
    Run a case; return whether a version was promoted and kept.

    FAIL: none was, and the last one is shown to be no better or worse; INCONCLUSIVE: nothing is
    shown.

    :param report: is filled as the case goes on, so that what ends it early leaves what was found
    """
    report |= {
        'scenario': stages.case.scenario, 'shift': [to_plain(p) for p in stages.case.shift],
        'old_model': {'sha256': stages.old.sha256}}
    nominal, shifted = stages.both('old', stages.old, 'evaluate')
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
    return verdict


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
    """Explore, train and judge until the success is back; then settle what is in force."""
    case, newest, known = stages.case, stages.old, max(registry.versions())
    tried: list[Candidate] = []
    report['rounds'] = []
    looks = case.rounds if explores else 1
    for number in range(1, looks + 1):
        if explores:
            seed = case.explore_seed + (number - 1) * case.explore_episodes
            data += stages.collect(f'explored_{number}', newest, seed, case.explore_episodes,
                                   shifted=True)
        newest, training = stages.train(number, newest, data, replay, known + number)
        nominal, shifted = stages.both(str(number), newest, 'evaluate')
        outcomes = Outcomes(evidence_of(nominal), evidence_of(shifted))
        promotion, told = gate(outcomes, before.outcomes, case, looks)
        if not training['improved']:
            promotion = turned_down(promotion, told)
        else:
            before = replace(before, summaries=(
                *before.summaries, run_summary(watch_bag(shifted), outcomes.shifted)))
        tried.append(Candidate(newest, promotion, {'training': training, **told}))
        report['rounds'].append(tried[-1].entry)
        if promotion.verdict is Verdict.PASS and promotion.back:
            break
    report['time'] = [value_json(v) for v in time_to_retrain(
        before.summaries, case.back_margin, 1 - ALPHA / looks)]
    try:
        return settle(stages, registry, tried, report)
    finally:
        report['registry'] = {'folder': str(registry.folder), 'in_force': registry.current()}
