"""`wm-eval score BAG`: recompute every figure from a bag alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.gating import add_gates, conclude, judge, profile_of, write_broken
from wm_eval_ros.cli.outputs import print_result, write
from wm_eval_ros.cli.reading import holds_ours, read, score_bag, Scored
from wm_eval_ros.config.gate import GateProfile
from wm_eval_ros.errors import BagError, ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.scoring.scorecard import Scorecard
    from wm_eval_ros.scoring.sweep import Sweep

EXAMPLE = """example:
  wm-eval score out/reacher/bag --baseline out/noop/bag out/random/bag
  wm-eval score out/reacher/bag --gates manipulation_20hz

writes scorecard.json, results.jsonl, junit.xml, summary.md and report.html into DIR and prints
the table.
exit: 0 scored, 2 the bag cannot be scored; with --gates 0 pass, 1 fail, 3 inconclusive, 2 the
evidence is broken."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's command line."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file (MCAP, sqlite3) of a run')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder of the files (default: score/ beside the bag)')
    parser.add_argument('--json', action='store_true',
                        help='print the scorecard as JSON instead of the table')
    parser.add_argument('--salvage', action='store_true',
                        help='score what can be read of a damaged bag; what is missing is named')
    parser.add_argument('--baseline', metavar='BAG', type=Path, nargs='+', default=[],
                        help='bags of other planners on the same starts, drawn beside this one')
    parser.add_argument('--sweep', metavar='FILE', type=Path, nargs='+', default=[],
                        help='sweep.json of runs like this one, drawn in the report')
    parser.add_argument('--history', metavar='BAG', type=Path, nargs='+', default=[],
                        help='further runs in realtime of the same task: before a shift of the '
                        'world, under it, and of retrained models; gives time_to_retrain')
    add_gates(parser)


def main(args: argparse.Namespace) -> int:
    """Score the bag, write the files, print the result; a robot's own bag is scored open loop."""
    profile = profile_of(args)
    folder = args.out or args.bag.resolve().parent / 'score'
    try:
        return _score(args, folder, profile)
    except BagError as error:
        if profile is not None and args.bag.exists():
            write_broken(folder, str(error))
        raise


def _score(args: argparse.Namespace, folder: Path, profile: GateProfile | None) -> int:
    if _is_of_a_known_robot(args.bag, args.salvage):
        from wm_eval_ros.cli import openloop
        if profile is not None:
            raise BagError(f'{args.bag}: no run of this package; gates are held against closed '
                           'loop runs only, leave --gates out to score it open loop')
        print(f'{args.bag}: no run of this package, a bag of a known robot: scored open loop',
              file=sys.stderr)
        return openloop.main(argparse.Namespace(**vars(args), map=None))
    found = read(args.bag, salvage=args.salvage)
    if args.history:
        found = with_history(found, args.history, salvage=args.salvage)
    baselines = [score_bag(bag, salvage=args.salvage) for bag in args.baseline]
    for path, baseline in zip(args.baseline, baselines, strict=True):
        require_same_task(found, path, baseline)
    sweeps = [read_sweep(path) for path in args.sweep]
    code = EXIT_PASS
    if profile is None:
        print_result(found.card, as_json=args.json)
    else:
        found, report = judge(found, profile)
        code = conclude(found, report, folder, as_json=args.json)
    written = write(found, folder, baselines, sweeps)
    print(f'written: {", ".join(str(path) for path in written)}', file=sys.stderr)
    return code


def require_same_task(found: Scored, path: Path, baseline: Scorecard) -> None:
    """
    Refuse a baseline that is no other run of the same task.

    :raises ConfigError: it is the bag itself, or of another task
    """
    if path.resolve() == found.path.resolve():
        raise ConfigError(f'--baseline {path}: is the bag that is scored')
    tasks = [card.manifest.get('task') for card in (found.card, baseline)]
    if tasks[0] != tasks[1]:
        raise ConfigError(f'--baseline {path}: is of task {tasks[1]}, the bag of {tasks[0]}')


def with_history(found: Scored, bags: Sequence[Path], *, salvage: bool = False) -> Scored:
    """
    Return the scored bag with the figures that take several runs of one robot over time.

    :raises BagError: a bag cannot be read, or tells nothing about retraining
    """
    from wm_eval_ros.metrics.retrain import summary, time_to_retrain
    summaries = []
    for run, path in ((found.run, found.path),
                      *((read(bag, salvage=salvage).run, bag) for bag in bags)):
        told = summary(run)
        if isinstance(told, str):
            raise BagError(f'{path}: {told}; leave it out of --history')
        summaries.append(told)
    new = {value.name: value for value in time_to_retrain(summaries)}
    card = found.card
    return replace(found, card=replace(
        card, values=tuple(new.get(v.name, v) for v in card.values),
        host=tuple(new.get(v.name, v) for v in card.host)))


def read_sweep(path: Path) -> Sweep:
    """
    Read a sweep.json.

    :raises BagError: it cannot be read, or is none
    """
    from wm_eval_ros.config.json_text import load_json
    from wm_eval_ros.scoring.sweep import sweep_from_json
    data = load_json(path, BagError)
    try:
        return sweep_from_json(data)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BagError(f'{path}: no sweep.json; `wm-eval sweep` writes one') from None
    except BagError as error:
        raise BagError(f'{path}: {error}') from None


def _is_of_a_known_robot(path: Path, salvage: bool) -> bool:
    """Say whether a bag holds no run of ours, and what a shipped robot map asks for."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.config.robot_map import find_map
    with open_bag(path, salvage=salvage) as bag:
        if holds_ours(bag):
            return False
        try:
            find_map(bag.topics)
        except ConfigError:
            return False
    return True
