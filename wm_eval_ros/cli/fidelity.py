"""`wm-eval fidelity`: ask the model of a recorded run again."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.errors import ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.records import MetricValue
    from wm_eval_ros.training.fidelity import Found, Questions

EXAMPLE = """example:
  wm-eval fidelity runs/reacher/bag
  wm-eval fidelity runs/reacher/bag --model models/better --states 400 --json

asks the model that drove the run, found by its sha256, what it imagines from the recorded states.
writes fidelity.json and prints the figures. exit: 0 done, 2 bad input, 74 not written."""
#: name of the file
FIDELITY_FILE = 'fidelity.json'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file of a run')
    parser.add_argument('--model', default='', metavar='CHECKPOINT',
                        help='checkpoint to ask; default: the one that drove the run')
    parser.add_argument('--horizon', type=int, default=0,
                        help="imagined steps; default: those of the run's planner")
    parser.add_argument('--states', type=int, default=200,
                        help='recorded states from which other commands are tried')
    parser.add_argument('--samples', type=int, default=32,
                        help='command sequences tried from each of them')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the states and commands drawn')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder of fidelity.json; default: score/ beside the bag')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch')
    parser.add_argument('--json', action='store_true',
                        help='print the content of fidelity.json instead of the table')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    _check(args)
    import torch

    from wm_eval_ros.cli.train import phase_progress
    from wm_eval_ros.scoring.scorecard import canonical, value_json
    from wm_eval_ros.training.fidelity import ask, find_model, Questions, to_dict
    from wm_eval_ros.training.fidelity_data import read_evidence
    torch.set_num_threads(args.threads)
    questions = Questions(args.horizon, args.states, args.samples, args.seed)
    evidence = read_evidence(args.bag)
    found = find_model(evidence, args.model)
    values = ask(evidence, found.model, questions, phase_progress('trying other commands'))
    plain = to_dict(args.bag.name, evidence, found, questions, values)
    plain['values'] = [value_json(v) for v in values]
    text = canonical(plain) + '\n'
    sys.stdout.write(text if args.json else table(found, questions, evidence.names, values))
    folder = args.out or args.bag.resolve().parent / 'score'
    [path] = write_files(folder, {FIDELITY_FILE: text})
    print(f'written: {path}', file=sys.stderr)
    return EXIT_PASS


def _check(args: argparse.Namespace) -> None:
    for name, least in (('horizon', 0), ('states', 1), ('samples', 2), ('seed', 0),
                        ('threads', 1)):
        if getattr(args, name) < least:
            raise ConfigError(f'--{name}: {getattr(args, name)}; at least {least}')
    if args.samples % 2:
        raise ConfigError(f'--samples: {args.samples}; an even number, futures are compared two '
                          'by two')


def table(found: Found, questions: Questions, names: tuple[str, ...],
          values: tuple[MetricValue, ...]) -> str:
    """Return the figures as text: errors of features in one table, all others in another."""
    from wm_eval_ros.report.text import aligned, interval_text, number
    named = {v.name: v for v in values}
    steps = [v.name[len('probe_ratio[h='):-1] for v in values if v.name.startswith('probe_ratio')]
    rows = [['error / persistence', 'unit', *(f'h={h}' for h in steps)]]
    for name in names:
        cells = [f'{number(named[f"probe_error[{name}, h={h}]"].value, 3)} / '
                 f'{number(named[f"probe_persistence[{name}, h={h}]"].value, 3)}' for h in steps]
        rows.append([name, named[f'probe_error[{name}, h={steps[0]}]'].unit, *cells])
    others = [v for v in values if not v.name.startswith(('probe_error', 'probe_persistence'))
              and not (v.value is None and v.name.startswith(('psnr', 'ssim')))]
    lines = [['figure', 'value', 'unit', 'n', 'interval', '']]
    lines += [[v.name, number(v.value, 3), v.unit, str(v.n),
               interval_text(v) if v.interval is not None else '', v.why] for v in others]
    spec = found.model.spec
    images = next((v for v in values if v.name.startswith('psnr')), None)
    tail = [] if images is None or images.value is not None else [f'psnr, ssim: {images.why}']
    head = f'{spec.name} ({spec.family}), {spec.sha256[:16]}..., ' + (
        'the model of the run' if found.same else 'NOT the model of the run')
    return '\n'.join([head, *found.notes, '', aligned(rows, range(2, len(rows[0]))), '',
                      aligned(lines, [1, 3]), *tail]) + '\n'
