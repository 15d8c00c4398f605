"""`wm-eval sweep`: settings varied, one run a value, and what the curve of success says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
import re
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.overrides import add_overrides, scenario_of, yaml_value
from wm_eval_ros.cli.sweep_output import print_sweep, relative, write_sweep
from wm_eval_ros.errors import ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.cli.sweep_runs import Wanted
    from wm_eval_ros.scoring.sweep import Sweep

EXAMPLE = """example:
  wm-eval sweep cartpole --vary planner.horizon=4,8,12,16,20 --clock lockstep --out runs/horizon
  wm-eval sweep cartpole --vary planner.samples=16,64 --vary planner.horizon=8,12,20 \
      --clock lockstep --out runs/compute
  wm-eval sweep --bags runs/horizon/points/*/bag

runs the scenario once a value, of several settings once a combination, on the same starts; run
again with the same --out to go on where it was interrupted. The last form recomputes everything
from the bags alone.
exit: 0 done, 2 bad input, 4 a node died, 74 a result could not be written."""
#: where the points of a sweep lie below its folder
POINTS = 'points'
#: settings that make runs of another question, or on other starts
FIXED = frozenset({'name', 'clock', 'seed', 'episodes', 'plant.kind', 'plant.task'})


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser, optional=True,
                  out='folder of the results; finished points in it are kept')
    parser.add_argument('--vary', action='append', default=[], metavar='KEY=V1,V2,...',
                        help='setting to vary, by its dotted key, and its values; given more than '
                             'once: every combination; with --bags the key alone, which may be '
                             'left out where one setting differs')
    parser.add_argument('--bags', type=Path, nargs='+', default=[], metavar='BAG',
                        help='instead of a scenario: bags of runs that differ in what is varied')
    parser.add_argument('--bound', type=float, default=0.8,
                        help='success that an injected latency, a severity or a saving of '
                             'computing time must leave')
    parser.add_argument('--json', action='store_true', help='print the sweep as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    if bool(args.bags) == bool(args.scenario):
        raise ConfigError('give either a scenario and --vary, or --bags: not both, not neither')
    if not 0 < args.bound < 1:
        raise ConfigError(f'--bound {args.bound:g}: a success between 0 and 1')
    sweep = from_bags(args) if args.bags else from_runs(args)
    print_sweep(sweep, as_json=args.json)
    if args.out is not None:
        print(f'written: {", ".join(str(p) for p in write_sweep(sweep, args.out))}',
              file=sys.stderr)
    return EXIT_PASS


def from_runs(args: argparse.Namespace) -> Sweep:
    """Run what is not there yet, then read everything off the bags."""
    from wm_eval_ros.cli.run import default_folder
    from wm_eval_ros.cli.sweep_runs import run_points
    from wm_eval_ros.scoring.sweep import make_sweep
    axes = [parse_vary(text) for text in args.vary or ['']]
    wanted = _wanted(args, axes)
    key = wanted[0].key
    if args.out is None:
        args.out = default_folder(f'sweep_{wanted[0].scenario.name}')
    require_own_folder(args.out, key)
    cards = run_points(wanted, args.out / POINTS, args.domain)
    return make_sweep(key, [(relative(bag, args.out), card) for bag, card in cards], args.bound)


def require_own_folder(folder: Path, key: str) -> None:
    """
    Refuse to mix a sweep into another one, or into anything else.

    :raises ConfigError: the folder holds something, and no sweep of that key
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / POINTS).is_dir():
        raise ConfigError(f'{folder}: exists and holds no sweep; name another --out')
    from wm_eval_ros.cli.score import read_sweep
    written = folder / 'sweep.json'
    if written.is_file() and (other := read_sweep(written).key) != key:
        raise ConfigError(f'{folder}: holds a sweep over {other}; name another --out')


def _wanted(args: argparse.Namespace, axes: Sequence[tuple[str, list[object]]]) -> list[Wanted]:
    """Return the run of each value, everything checked before the first one starts."""
    from wm_eval_ros.cli.sweep_runs import Wanted
    keys = [key for key, _ in axes]
    for key in keys:
        if key in FIXED:
            raise ConfigError(f'--vary {key}: a sweep is of one task and clock mode on the same '
                              'starts; run them apart and `wm-eval compare` them')
        if keys.count(key) > 1:
            raise ConfigError(f'--vary {key}: given twice; name all its values at once')
    wanted: list[Wanted] = []
    for values in product(*(values for _, values in axes)):
        chosen = dict(zip(keys, values, strict=True))
        label = re.sub(r'[^A-Za-z0-9._-]+', '_', '_'.join(
            f'{key.rpartition(".")[2]}_{value}' for key, value in chosen.items()))
        if any(label == other.label for other in wanted):
            shown = ', '.join(map(repr, values))
            raise ConfigError(f'--vary {",".join(keys)}: {shown} is there twice, or named like '
                              'another')
        title = ', '.join(f'{key} = {value}' for key, value in chosen.items())
        wanted.append(Wanted(label, title, ','.join(keys), scenario_of(args, chosen)))
    return wanted


def from_bags(args: argparse.Namespace) -> Sweep:
    """Read everything off bags."""
    from wm_eval_ros.cli.reading import score_bag
    from wm_eval_ros.scoring.sweep import make_sweep, varied
    odd = next((text for text in args.vary if '=' in text), None)
    if odd is not None:
        raise ConfigError(f'--vary {odd}: with --bags name the key alone; the values are in the '
                          'bags')
    cards = [(bag, score_bag(bag)) for bag in args.bags]
    key = ','.join(args.vary)
    if not key:
        found = varied([card for _, card in cards])
        if len(found) != 1:
            raise ConfigError(f'--bags: the runs differ in {", ".join(found) or "no setting"}; '
                              'name what was varied with --vary KEY, once for each')
        key = found[0]
    here = args.out or Path()
    return make_sweep(key, [(relative(bag, here), card) for bag, card in cards], args.bound)


def parse_vary(text: str) -> tuple[str, list[object]]:
    """
    Parse ``KEY=V1,V2,...`` or ``KEY=[V1, V2]``.

    :raises ConfigError: no key, or fewer than two values

    >>> parse_vary('planner.horizon=4,8')
    ('planner.horizon', [4, 8])
    """
    key, equals, listed = text.partition('=')
    if not equals or not key:
        raise ConfigError(f'--vary {text}: write KEY=V1,V2,... such as planner.horizon=5,10,20')
    parsed = yaml_value(listed if listed.startswith('[') else f'[{listed}]', f'--vary {text}')
    if not isinstance(parsed, list) or len(parsed) < 2 or None in parsed:
        raise ConfigError(f'--vary {text}: give two or more values, separated by commas')
    return key, parsed
