"""`wm-eval learning-curve`: success over the environment steps a model was trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import shlex
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.outputs import require_writable, writing
from wm_eval_ros.cli.overrides import require_new, yaml_value
from wm_eval_ros.cli.sweep_output import print_sweep, relative, write_sweep
from wm_eval_ros.errors import ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.scoring.sweep import Point, Sweep
    from wm_eval_ros.training.learning_curve import Lesson
    from wm_eval_ros.training.recipe import Recipe, RecipeRunner

EXAMPLE = """example:
  wm-eval learning-curve cartpole --out curves/cartpole --points 5
  wm-eval learning-curve reacher --out curves/reacher --amounts 10,40,210 --seeds 3 --graph

collects the recipe's data once, trains on its first episodes, ever more of them, and tries every
model on starts never trained on. exit: 0 done, 2 bad input, 4 a node died, 74 not written."""
#: where the checkpoints lie below the folder
MODELS = 'models'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('recipe', help='shipped recipe, or a file of one')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of checkpoints and sweep.json; must be new or empty')
    parser.add_argument('--amounts', default='', metavar='N1,N2,...',
                        help="episodes to train on; default: all the recipe's, half of them, ...")
    parser.add_argument('--points', type=int, default=6, help='number of amounts by default')
    parser.add_argument('--seeds', type=int, default=1, help='training seeds for each amount')
    parser.add_argument('--episodes', type=int, default=None,
                        help="episodes each model is tried on; default: the recipe's")
    parser.add_argument('--steps', type=int, default=None,
                        help="most gradient steps; default: the recipe's")
    parser.add_argument('--graph', action='store_true',
                        help='try the models on the graph in lockstep, each with a bag, instead '
                             'of in process')
    parser.add_argument('--domain', type=int, help='DDS domain of --graph; left out: a free one')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of torch; another number gives other roundings')
    parser.add_argument('--json', action='store_true', help='print the sweep as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.cli.train import require_threads, use_threads
    require_threads(args.threads)
    from wm_eval_ros.training.learning_curve import episodes_of, halvings, lessons
    recipe = _recipe(args)
    total = episodes_of(recipe)
    amounts = _amounts(args.amounts) if args.amounts else halvings(total, args.points)
    wanted = lessons(total, amounts, args.seeds, recipe.train.seed)
    require_new(args.out)
    require_writable(args.out)
    use_threads(args.threads)
    points = _train_and_try(args, recipe, wanted)
    sweep = _on_graph(args, recipe, wanted) if args.graph else _in_process(recipe, points)
    print_sweep(sweep, as_json=args.json)
    print(f'written: {", ".join(str(p) for p in write_sweep(sweep, args.out))}',
              file=sys.stderr)
    return EXIT_PASS


def _recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe with what the options change, checked as a file's settings are."""
    from wm_eval_ros.config.schema import build, to_plain
    from wm_eval_ros.training.recipe import load_recipe, Recipe
    for name in ('points', 'seeds'):
        if getattr(args, name) < 1:
            raise ConfigError(f'--{name}: {getattr(args, name)}; at least 1')
    plain: dict[str, Any] = to_plain(load_recipe(args.recipe))
    if args.episodes is not None:
        plain['trial_episodes'] = args.episodes
    if args.steps is not None:
        plain['train']['steps'] = args.steps
    return build(Recipe, plain, 'command line')


def _amounts(text: str) -> list[int]:
    parsed = yaml_value(f'[{text}]', f'--amounts {text}')
    if not isinstance(parsed, list) or not all(type(n) is int for n in parsed):
        raise ConfigError(f'--amounts {text}: give whole numbers of episodes, such as 10,20,40')
    return parsed


def _train_and_try(
    args: argparse.Namespace, recipe: Recipe, wanted: Sequence[Lesson]
) -> list[Point]:
    """Write every checkpoint; return the points of the in-process trials, if those are wanted."""
    from wm_eval_ros.cli.train import phase_progress
    from wm_eval_ros.models.checkpoint import save_checkpoint
    from wm_eval_ros.training.card import card
    from wm_eval_ros.training.learning_curve import learn
    from wm_eval_ros.training.recipe import RecipeRunner
    runner: RecipeRunner = RecipeRunner(recipe)
    data = runner.gather(recipe.scenario, phase_progress)
    command = command_of(args)
    points = []
    for lesson, result in learn(recipe, recipe.scenario, data, wanted, phase_progress):
        say = phase_progress(f'trying {lesson.label}')
        trial = [] if args.graph else runner.trial(result.model, say)
        folder = args.out / MODELS / lesson.label
        with writing(folder):
            spec = save_checkpoint(folder, result.model.spec, result.model.tensors,
                                   card(result.model.spec, result, command, trial))
        points.append(_point(relative(folder, args.out), spec, trial))
    return points


def command_of(args: argparse.Namespace) -> str:
    """Return the command that makes the models again."""
    words = ['wm-eval', 'learning-curve', args.recipe]
    for name, default in (('amounts', ''), ('points', 6), ('seeds', 1), ('episodes', None),
                          ('steps', None), ('threads', 1)):
        if (value := getattr(args, name)) != default:
            words += [f'--{name}', str(value)]
    words += ['--graph'] if args.graph else []
    return shlex.join([*words, '--out', str(args.out)])


def _point(checkpoint: str, spec: Any, trial: Sequence[Any]) -> Point:
    from wm_eval_ros.records import EventKind
    from wm_eval_ros.scoring.sweep import Point
    steps = spec.provenance['transitions']
    facts = {'name': spec.name, 'sha256': spec.sha256, 'family': spec.family,
             'transitions': steps}
    return Point(checkpoint, float(steps), {o.seed: o.kind is EventKind.SUCCESS for o in trial},
                 (), '', facts)


def _in_process(recipe: Recipe, points: Sequence[Point]) -> Sweep:
    from wm_eval_ros.scoring.sweep import assemble, MODEL
    from wm_eval_ros.training.recipe import TRIAL_LOW_MS
    low, high = max(TRIAL_LOW_MS, recipe.latency_low_ms), recipe.latency_high_ms
    clock = f'in process, latency drawn from {low:g} to {high:g} ms'
    return assemble(MODEL, recipe.scenario, clock, points, notes=[
        'tried in process: a result that counts comes from bags, with --graph'])


def _on_graph(args: argparse.Namespace, recipe: Recipe, wanted: Sequence[Lesson]) -> Sweep:
    """Run the scenario in lockstep with every checkpoint, as a sweep over planner.model."""
    from wm_eval_ros.cli.sweep import POINTS
    from wm_eval_ros.cli.sweep_runs import run_points, Wanted
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    from wm_eval_ros.scoring.sweep import make_sweep, MODEL
    runs = []
    for lesson in wanted:
        model = str((args.out / MODELS / lesson.label).resolve())
        scenario = load_scenario(find_scenario(recipe.scenario), {
            'clock': 'lockstep', 'episodes': recipe.trial_episodes, 'seed': recipe.trial_seed,
            MODEL: model, f'{MODEL}_sha256': ''})
        runs.append(Wanted(lesson.label, f'{MODEL} = {lesson.label}', MODEL, scenario))
    cards = run_points(runs, args.out / POINTS, args.domain)
    return make_sweep(MODEL, [(relative(bag, args.out), card) for bag, card in cards])
