"""`wm-eval train`: a world model from bags, or by a recipe that collects its own data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import shlex
import sys
from typing import Any

from wm_eval_ros.cli.outputs import require_writable, writing
from wm_eval_ros.cli.overrides import require_new, set_values
from wm_eval_ros.errors import ConfigError

#: as many as a planner may have; torch starts them all, and far more than this end the process
MOST_THREADS = 256
EXAMPLE = """example:
  wm-eval collect reacher --episodes 100 --out data/reacher
  wm-eval train data/reacher/bag --name reacher --out models/reacher
  wm-eval train data/reacher/bag --family mlp --set dropout=0.1 --out models/reacher_mlp

exit: 0 written, 2 bad input, 74 not written."""
#: settings of the training that have an option of their own
OPTIONS = ('family', 'steps', 'hidden', 'members', 'batch', 'seed')


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EXAMPLE
    parser.add_argument('bags', nargs='*', type=Path, metavar='BAG',
                        help='bags of runs, such as `wm-eval collect` records, or folders that '
                             '`wm-eval mine` wrote')
    parser.add_argument('--recipe', default='',
                        help='instead of bags: a shipped recipe or a file of one; collects its '
                             'data in process, trains, and tries the model closed loop')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the checkpoint')
    parser.add_argument('--name', default='', help='name of the model; default: the folder name')
    parser.add_argument('--family', default=None, help='family of world models (ensemble)')
    parser.add_argument('--steps', type=int, default=None, help='most gradient steps')
    parser.add_argument('--hidden', type=int, default=None, help='width of the hidden layers')
    parser.add_argument('--members', type=int, default=None, help='members of the ensemble')
    parser.add_argument('--batch', type=int, default=None, help='windows per step and member')
    parser.add_argument('--seed', type=int, default=None,
                        help='seed of split, initialisation and batches')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='any other setting of the training, such as dropout=0.1; may be '
                             'given more than once')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of torch; another number gives other roundings')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Train and write the checkpoint."""
    if bool(args.bags) == bool(args.recipe):
        raise ConfigError('give either bags or --recipe NAME, not both and not neither')
    require_new(args.out)
    use_threads(args.threads)
    require_writable(args.out)
    report = _by_recipe(args) if args.recipe else _from_bags(args)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    return 0


def _from_bags(args: argparse.Namespace) -> dict[str, Any]:
    from wm_eval_ros.training.dataset import load_dataset
    from wm_eval_ros.training.settings import TrainSettings
    from wm_eval_ros.training.trainer import train
    settings = _settings(args, TrainSettings())
    dataset = load_dataset(args.bags)
    name = args.name or args.out.resolve().name
    result = train(dataset, settings, name, phase_progress('training'))
    return _write(args.out, result, command_of(args, settings, TrainSettings()))


def _by_recipe(args: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import replace

    from wm_eval_ros.training.recipe import load_recipe, RecipeRunner
    from wm_eval_ros.training.trainer import train
    recipe = load_recipe(args.recipe)
    base, recipe = recipe.train, replace(recipe, train=_settings(args, recipe.train))
    name, runner = args.name or recipe.scenario, RecipeRunner(recipe)
    result = train(runner.gather(name, phase_progress), recipe.train, name,
                   phase_progress('training'))
    command = command_of(args, recipe.train, base)
    # before the trial: minutes that may be broken off, of a planner that may fail
    report = _write(args.out, result, command)
    print(f'written: {args.out}; next is its trial', file=sys.stderr)
    return report | _tried(args.out, result, command,
                           runner.trial(result.model, phase_progress('trial')))


def _settings(args: argparse.Namespace, base: Any) -> Any:
    """
    Return the settings with those of the command line laid over, checked as a file's are.

    :raises ConfigError: one is given in two ways that differ, or has no effect on the family
    """
    from wm_eval_ros.config.schema import build, to_plain
    from wm_eval_ros.training.settings import require_heeded
    given = {n: getattr(args, n) for n in OPTIONS if getattr(args, n) is not None}
    further = set_values(args.set)
    for name in sorted(given.keys() & further.keys()):
        if given[name] != further[name]:
            raise ConfigError(f'--{name} {given[name]} and --set {name}={further[name]}: give one')
    plain = {**to_plain(base), **further, **given}
    settings = build(type(base), plain, 'command line')
    require_heeded(settings.family, {*further, *given})
    return settings


def command_of(args: argparse.Namespace, settings: Any, base: Any) -> str:
    """
    Return the command that makes the checkpoint again.

    :param base: settings that hold where the command says nothing
    """
    from wm_eval_ros.config.schema import to_plain
    default = to_plain(base)
    words = ['wm-eval', 'train', *map(str, args.bags)]
    words += ['--recipe', args.recipe] if args.recipe else []
    words += ['--family', settings.family, '--seed', str(settings.seed)]
    for key, value in to_plain(settings).items():
        if key not in ('family', 'seed') and value != default[key]:
            words += ([f'--{key}', str(value)] if key in OPTIONS else
                      ['--set', f'{key}={_yaml(value)}'])
    words += ['--threads', str(args.threads)] if args.threads != 1 else []
    words += ['--name', args.name] if args.name else []
    return shlex.join([*words, '--out', str(args.out)])


def _yaml(value: object) -> str:
    """Write a plain value so that YAML reads it back: 1e-05 would be a string."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    mantissa, e, exponent = text.partition('e')
    if isinstance(value, float) and e and '.' not in mantissa:
        return f'{mantissa}.0e{exponent}'
    return text


def _write(folder: Path, result: Any, command: str) -> dict[str, Any]:
    from wm_eval_ros.models.checkpoint import save_checkpoint
    from wm_eval_ros.training.card import card
    spec = result.model.spec
    with writing(folder):
        spec = save_checkpoint(folder, spec, result.model.tensors, card(spec, result, command))
    made = spec.provenance
    return {'folder': str(folder), 'name': spec.name, 'sha256': spec.sha256,
            'episodes': made['episodes'], 'transitions': made['transitions'],
            'steps': result.steps, 'seconds': round(result.seconds, 1), **result.report,
            'trial_episodes': 0, 'trial_solved': None}


def _tried(folder: Path, result: Any, command: str, trial: list[Any]) -> dict[str, Any]:
    """Put a trial on the card of a checkpoint; return what the report says of it."""
    from wm_eval_ros.models.checkpoint import CARD, write_whole
    from wm_eval_ros.training.card import card
    from wm_eval_ros.training.recipe import solved
    text = card(result.model.spec, result, command, trial)
    with writing(folder):
        write_whole(folder, {CARD: text.encode()})
    return {'trial_episodes': len(trial), 'trial_solved': solved(trial)}


def _print(report: dict[str, Any]) -> None:
    last = report['horizon'] - 1
    print(f'{report["name"]}: {report["episodes"]} episodes, {report["transitions"]} transitions, '
          f'{report["steps"]} steps in {report["seconds"]:.0f} s')
    print(f'  error after 1 step:  {report["rmse"][0]:.4f} of a standard deviation '
          f'(persistence {report["persistence"][0]:.4f})')
    print(f'  error after {last + 1} steps: {report["rmse"][last]:.4f} '
          f'(persistence {report["persistence"][last]:.4f})')
    if report['coverage90'] is not None:
        print(f'  within the predicted 90 %: {report["coverage90"]:.1%}')
    if report['trial_episodes']:
        print(f'  solved in process: {report["trial_solved"]} of {report["trial_episodes"]}')
    print(f'  written to {report["folder"]}, sha256 {report["sha256"]}')


def require_threads(count: int) -> None:
    """
    Refuse a number of threads that torch cannot start.

    :raises ConfigError: none, or more than MOST_THREADS
    """
    if not 1 <= count <= MOST_THREADS:
        raise ConfigError(f'--threads: {count}; at least 1 and at most {MOST_THREADS}')


def use_threads(count: int) -> None:
    """
    Let torch compute with so many threads.

    :raises ConfigError: none, or more than MOST_THREADS
    """
    require_threads(count)
    import torch
    torch.set_num_threads(count)


def phase_progress(phase: str) -> Callable[[int, int, str], None]:
    """Return a progress function for one phase."""
    from wm_eval_ros.cli.progress import Progress
    bars: list[Progress] = []

    def show(done: int, total: int, words: str) -> None:
        if not bars:
            bars.append(Progress(phase, total))
        bars[0].update(done, words)
        if done >= total:
            bars[0].close()
    return show
