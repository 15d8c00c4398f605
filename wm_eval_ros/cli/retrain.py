"""`wm-eval retrain`: from alarms under a shift to a model that is good again, or to none."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.cli.overrides import MAX_DOMAIN, yaml_value
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import Interval, Verdict

if TYPE_CHECKING:
    from wm_eval_ros.cli.retrain_case import Model, Stages
    from wm_eval_ros.models.registry import Registry
    from wm_eval_ros.scoring.promotion import Promotion
    from wm_eval_ros.training.case import Case

EXAMPLE = """example:
  wm-eval retrain reacher_friction --out runs/friction
  wm-eval retrain mine.yaml --data data/hard --replay reacher --registry models/reacher --out r
  wm-eval run reacher --set planner.model=runs/friction/registry

exit: 0 promoted, 1 shown to be no better or worse: not promoted, 3 not shown: not promoted, 2 bad
input, 4 a node died, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('case', help='retraining case: a shipped name, or a file')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of runs, data and report; what was finished there is kept')
    parser.add_argument('--registry', type=Path, metavar='DIR',
                        help='registry of the versions; default: `registry` in --out')
    parser.add_argument('--model', default='',
                        help="model to begin with; default: the registry's version in force, or "
                             "else the scenario's")
    parser.add_argument('--data', type=Path, action='append', default=[], metavar='DIR',
                        help='mined folder or bag to train on, instead of what the case runs and '
                             'mines under the shift; may be given more than once')
    parser.add_argument('--replay', action='append', default=[], metavar='DATA',
                        help='old data: bag, mined folder or recipe, instead of what the case '
                             'runs under the old condition; may be given more than once')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='a setting of the case by its dotted key, such as train.steps=500')
    parser.add_argument('--domain', type=int, help='DDS domain; left out: a free one')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch')
    parser.add_argument('--json', action='store_true', help='print the report as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.cli.retrain_case import open_registry, Stages
    from wm_eval_ros.report.retraining import text
    case = _case(args)
    import torch
    torch.set_num_threads(args.threads)
    registry, old = open_registry(args.registry or args.out / 'registry',
                                  _scenario_model(case), args.model)
    stages = Stages(case, args.out, args.domain, old)
    report, verdict = _retrain(stages, registry, args)
    files = {'retrain.json': json.dumps(report, indent=1, sort_keys=True) + '\n',
             'retrain.txt': text(report)}
    written = write_files(args.out, files)
    sys.stdout.write(files['retrain.json' if args.json else 'retrain.txt'])
    print(f'written: {", ".join(map(str, written))}', file=sys.stderr)
    return EXIT_CODES[verdict]


def _case(args: argparse.Namespace) -> Case:
    from wm_eval_ros.training.case import load_case
    if args.threads < 1:
        raise ConfigError(f'--threads: {args.threads}; at least 1')
    if args.domain is not None and not 0 <= args.domain <= MAX_DOMAIN:
        raise ConfigError(f'--domain {args.domain}: a DDS domain is 0 to {MAX_DOMAIN}')
    overrides: dict[str, object] = {}
    for entry in args.set:
        key, equals, value = entry.partition('=')
        if not equals:
            raise ConfigError(f'--set {entry}: write KEY=VALUE')
        overrides[key] = yaml_value(value, f'--set {entry}')
    return load_case(args.case, overrides)


def _scenario_model(case: Case) -> str:
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    return load_scenario(find_scenario(case.scenario)).planner.model


def _retrain(stages: Stages, registry: Registry,
             args: argparse.Namespace) -> tuple[dict[str, Any], Verdict]:
    """Run all stages in order; return the report and the decision."""
    from dataclasses import asdict

    from wm_eval_ros.cli.retrain_case import CALIBRATION, replay_of
    from wm_eval_ros.cli.retrain_watch import watch_bag
    case, old = stages.case, stages.old
    nominal = stages.run('nominal_old', stages.scenario(old, shifted=False),
                         'old model, old condition')
    shifted = stages.run('shifted_old', stages.scenario(old, shifted=True),
                         'old model, under the shift')
    report: dict[str, Any] = {'case': Path(args.case).stem, 'scenario': case.scenario,
                              'shift': [_shift(p) for p in case.shift],
                              'old_model': {'sha256': old.sha256}}
    data, guarded = list(args.data), None
    if not data:
        path = stages.folder / CALIBRATION
        report['calibration'] = stages.calibrate(nominal, path)
        guarded = stages.run('guarded_old', stages.scenario(old, shifted=True, calibration=path),
                             'old model, under the shift, with detector and fallback')
        report['alarms'] = asdict(watch_bag(guarded))
        mined, report['mined'] = stages.mine(guarded)
        explored = stages.collect('explored_new', case.explore_episodes, case.explore_seed,
                                  'exploring under the shift', shifted=True)
        data = [mined, *([explored] if explored else [])]
    replayed = [nominal]
    if not args.replay:
        calm = stages.collect('explored_old', case.replay_episodes,
                              case.explore_seed + case.explore_episodes,
                              'exploring under the old condition', shifted=False)
        replayed += [calm] if calm else []
    candidate, report['training'] = stages.train(
        data, replay_of(args.replay, replayed), max(registry.versions()) + 1)
    return _decide(stages, registry, candidate, report,
                   {'nominal_old': nominal, 'shifted_old': shifted, 'guarded': guarded})


def _decide(stages: Stages, registry: Registry, candidate: Model, report: dict[str, Any],
            bags: dict[str, Path | None]) -> tuple[dict[str, Any], Verdict]:
    """Evaluate the candidate, calibrate it anew, and promote it or not."""
    import shutil

    from wm_eval_ros.cli.retrain_case import CALIBRATION
    nominal = stages.run('nominal_new', stages.scenario(candidate, shifted=False),
                         'retrained model, old condition')
    shifted = stages.run('shifted_new', stages.scenario(candidate, shifted=True),
                         'retrained model, under the shift')
    report['calibration_new'] = stages.calibrate(nominal, candidate.folder / CALIBRATION)
    bags = {**bags, 'nominal_new': nominal, 'shifted_new': shifted}
    promotion = _judge(stages.case, bags, report)
    version = registry.add(lambda to: shutil.copytree(candidate.folder, to),
                           {'parent_sha256': stages.old.sha256})
    facts = {'verdict': promotion.verdict.value,
             'why': [f'{c.name}: {c.sentence}' for c in promotion.conditions]}
    verdict = promotion.verdict
    if verdict is Verdict.PASS:
        registry.promote(version, facts)
        verdict = _confirm(stages, registry, version, report)
    else:
        registry.reject(version, facts)
    report['registry'] = {'folder': str(registry.folder), 'version': version,
                          'in_force': registry.current()}
    report['verdict'] = verdict.value
    return report, verdict


def _judge(case: Case, bags: dict[str, Path | None], report: dict[str, Any]) -> Promotion:
    """Compare both conditions, paired; put comparisons, decision and time into the report."""
    from wm_eval_ros.cli.retrain_watch import run_summary, watch_bag
    from wm_eval_ros.cli.sides import evidence_of
    from wm_eval_ros.metrics.retrain import time_to_retrain
    from wm_eval_ros.scoring.promotion import judge
    from wm_eval_ros.scoring.ranking import compare
    from wm_eval_ros.scoring.scorecard import value_json
    evidence = {name: evidence_of(bag) for name, bag in bags.items() if bag is not None}
    new = compare([evidence['shifted_new'], evidence['shifted_old']])
    old = compare([evidence['nominal_new'], evidence['nominal_old']])
    before = _interval(evidence['nominal_old'])
    promotion = judge(new.contrasts[0], old.contrasts[0], before, case.margin)
    report['new_condition'], report['old_condition'] = new.to_dict(), old.to_dict()
    report['success'] = {name: _rate(evidence[name]) for name in sorted(evidence)}
    report['promotion'] = {
        'verdict': promotion.verdict.value, 'back': promotion.back, 'margin': case.margin,
        'conditions': [{'name': c.name, 'verdict': c.verdict.value, 'sentence': c.sentence}
                       for c in promotion.conditions]}
    runs = [run_summary(watch_bag(bag), evidence[name]) for name, bag in bags.items()
            if bag is not None and name in ('nominal_old', 'guarded', 'shifted_new')]
    report['time'] = [value_json(v) for v in time_to_retrain(runs)]
    return promotion


def _confirm(stages: Stages, registry: Registry, version: int,
             report: dict[str, Any]) -> Verdict:
    """
    Run the version in force on fresh starts under the shift, with its detector and the fallback.

    A model that is shown to have lost what it was promoted for is rolled back.
    """
    from dataclasses import asdict, replace

    from wm_eval_ros.cli.retrain_case import CALIBRATION, CONFIRM_SEEDS, Model
    from wm_eval_ros.cli.retrain_watch import watch_bag
    from wm_eval_ros.cli.sides import evidence_of
    from wm_eval_ros.models.checkpoint import load_spec
    folder = registry.path(version)
    model = Model(folder, load_spec(folder).sha256)
    scenario = stages.scenario(model, shifted=True, calibration=folder / CALIBRATION)
    bag = stages.run(f'guarded_new_{version}',
                     replace(scenario, seed=stages.case.seed + CONFIRM_SEEDS),
                     'promoted model, under the shift, fresh starts, with detector and fallback')
    rate = _rate(evidence_of(bag))
    report['confirmed'] = {**asdict(watch_bag(bag)), 'success': rate}
    floor = report['success']['nominal_old']['low']
    if rate['high'] < floor:
        why = f'success {rate["value"]:.2f} on fresh starts lies below the old interval'
        registry.rollback({'why': why})
        report['rolled_back'] = why
        return Verdict.FAIL
    return Verdict.PASS


def _interval(evidence: Any) -> Interval:
    rate = _rate(evidence)
    return Interval(rate['low'], rate['high'], 0.95, 'Clopper-Pearson')


def _rate(evidence: Any) -> dict[str, Any]:
    from wm_eval_ros.stats.proportion import clopper_pearson
    counted = [e for e in evidence.episodes if e.decided]
    if not counted:
        raise ConfigError('no episode of a run was decided; look at its bag with `wm-eval score`')
    good = sum(e.succeeded for e in counted)
    found = clopper_pearson(good, len(counted))
    return {'successes': good, 'episodes': len(counted), 'value': found.value,
            'low': found.low, 'high': found.high}


def _shift(settings: Any) -> dict[str, Any]:
    from wm_eval_ros.config.schema import to_plain
    plain: dict[str, Any] = to_plain(settings)
    return {key: plain[key] for key in ('name', 'severity', 'parameters')}
