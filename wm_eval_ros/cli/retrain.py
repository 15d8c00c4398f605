"""`wm-eval retrain`: from alarms under a shift to a model that is good again, or to none."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import shlex
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.outputs import require_writable, write_files
from wm_eval_ros.cli.overrides import MAX_DOMAIN, require_new, yaml_value
from wm_eval_ros.errors import ConfigError

if TYPE_CHECKING:
    from wm_eval_ros.training.case import Case

EXAMPLE = """example:
  wm-eval retrain reacher_friction --out runs/friction
  wm-eval retrain mine.yaml --data data/hard --replay reacher --registry registry/r --out runs/r
  wm-eval run reacher --set planner.model=runs/friction/registry/reacher

A candidate is put in force if it passes twice, on the starts of its round and on fresh ones, each
time under both conditions: no loss of `margin` or more under the old one, and better, or back
within `back_margin`, under the shift; and then as deployed, with its own detector.
`--set nominal_episodes=N` and `shifted_episodes=N` set how many starts; a hundred each tell a loss
of one start in a hundred from one of ten.

exit: 0 promoted, 1 shown to be no better or worse: not promoted, 3 not shown: not promoted, 2 bad
input, 4 a node died, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('case', help='retraining case: a shipped name, or a file')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of runs, data and report; must be new or empty')
    parser.add_argument('--registry', type=Path, metavar='DIR',
                        help='folder of registries, one a model; default: `registry` in --out')
    parser.add_argument('--model', default='',
                        help="model to begin with; default: the registry's version in force, or "
                             "else the scenario's; refused where another is in force")
    parser.add_argument('--data', type=Path, action='append', default=[], metavar='DIR',
                        help='mined folder or bag to train on, instead of what the case runs and '
                             'mines under the shift; refused if it holds starts that models are '
                             'judged on; may be given more than once')
    parser.add_argument('--replay', action='append', default=[], metavar='DATA',
                        help='old data: bag, mined folder or recipe, instead of what the case '
                             'runs under the old condition; refused as --data is; may be given '
                             'more than once')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='a setting of the case by its dotted key, such as train.steps=500')
    parser.add_argument('--domain', type=int, help='DDS domain; left out: a free one')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of torch; another number gives other roundings')
    parser.add_argument('--json', action='store_true', help='print the report as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.cli.retrain_case import (
        open_registry,
        require_apart,
        require_fresh,
        Stages,
    )
    from wm_eval_ros.cli.retrain_rounds import Material, retrain
    from wm_eval_ros.cli.train import require_threads, use_threads
    from wm_eval_ros.report.retraining import text
    from wm_eval_ros.training.distinct import require_different_places
    require_threads(args.threads)
    case = _case(args)
    require_new(args.out)
    require_different_places([*args.data, *map(Path, args.replay)])
    require_writable(args.out)
    if args.registry is not None:
        require_writable(args.registry, '--registry')
    model = _scenario_model(case)
    _require_usable(case, args.model or model)
    require_apart(case, args.data, args.replay)
    use_threads(args.threads)
    registry, old = open_registry(args.registry or args.out / 'registry',
                                  model, args.model)
    require_fresh(case, registry)
    report: dict[str, Any] = {'case': Path(args.case).stem}
    try:
        verdict = retrain(Stages(case, args.out, args.domain, old, command_of(args)), registry,
                          Material(tuple(args.data), tuple(args.replay)), report)
    except BaseException as error:
        report['unfinished'] = str(error) or type(error).__name__
        write_files(args.out, {'retrain.json': _json(report)})
        raise
    files = {'retrain.json': _json(report), 'retrain.txt': text(report)}
    written = write_files(args.out, files)
    sys.stdout.write(files['retrain.json' if args.json else 'retrain.txt'])
    print(f'written: {", ".join(map(str, written))}', file=sys.stderr)
    return EXIT_CODES[verdict]


def command_of(args: argparse.Namespace) -> str:
    """Return the command that runs the case again."""
    words = ['wm-eval', 'retrain', args.case]
    for name in ('data', 'replay', 'set'):
        words += [word for value in getattr(args, name) for word in (f'--{name}', str(value))]
    for name, default in (('registry', None), ('model', ''), ('domain', None), ('threads', 1)):
        if (value := getattr(args, name)) != default:
            words += [f'--{name}', str(value)]
    return shlex.join([*words, '--out', str(args.out)])


def _json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, sort_keys=True) + '\n'


def _case(args: argparse.Namespace) -> Case:
    from wm_eval_ros.training.case import load_case
    if args.domain is not None and not 0 <= args.domain <= MAX_DOMAIN:
        raise ConfigError(f'--domain {args.domain}: a DDS domain is 0 to {MAX_DOMAIN}')
    overrides: dict[str, object] = {}
    for entry in args.set:
        key, equals, value = entry.partition('=')
        if not equals:
            raise ConfigError(f'--set {entry}: write KEY=VALUE')
        overrides[key] = yaml_value(value, f'--set {entry}')
    return load_case(args.case, overrides)


def _require_usable(case: Case, model: str) -> None:
    """
    Refuse before anything is run what a node would refuse after hours, or a registry hold.

    :param model: what the case would begin with; empty: none
    :raises UnknownNameError: a perturbation, a planner or a plant that nobody registered
    :raises CheckpointError: the model is damaged, or was trained for something else
    """
    from wm_eval_ros.cli.run import check_names
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
    from wm_eval_ros.training.case import scenario_of
    scenario = scenario_of(case, '', '', shifted=True)
    check_names(scenario)
    if model:
        load_checkpoint(find_checkpoint(model), interface=scenario.interface)


def _scenario_model(case: Case) -> str:
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    return load_scenario(find_scenario(case.scenario)).planner.model
