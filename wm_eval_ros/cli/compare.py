"""`wm-eval compare A B [C ...]`: which system is better, and how sure that is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.cli.sides import evidence_of
from wm_eval_ros.config.json_text import load_json
from wm_eval_ros.errors import BagError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from wm_eval_ros.scoring.compare import Comparison
    from wm_eval_ros.scoring.contrast import Question
    from wm_eval_ros.scoring.evidence import Evidence

EXAMPLE = """example:
  wm-eval compare runs/new/bag runs/old/bag
  wm-eval compare runs/cem runs/cem/baselines/random runs/cem/baselines/hold --out runs/compared

exit: 0 the first is shown to be better (than every other), 1 another is shown to be better than
the first, 3 neither is shown, 2 the runs cannot be compared."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('run', metavar='RUN', type=Path, nargs='+',
                        help='two or more systems: a bag, the folder of a run or of several runs '
                             'of one system, or a scorecard.json; the first is the candidate')
    parser.add_argument('--sequential', action='store_true',
                        help='decide by the sign e-test, which stays valid when episodes were '
                             'added until the result was clear; the default for the sides of '
                             '`run --until-decided`')
    parser.add_argument('--alpha', type=float, default=0.05,
                        help='chance of a false decision that is accepted (0.05)')
    parser.add_argument('--across', metavar='CONDITION', action='append', default=[],
                        help='compare across a condition that differs: clock, time_limit, period, '
                             'deadline, plant, perturbations or processor')
    parser.add_argument('--salvage', action='store_true',
                        help='read what can be read of damaged bags; what is missing is named')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder to write compare.json, compare.html and summary.md to')
    parser.add_argument('--json', action='store_true', help='print the comparison as JSON')


def main(args: argparse.Namespace) -> int:
    """Compare, print, write."""
    question = _question(args)
    if len(args.run) < 2:
        raise ConfigError(f'{args.run[0]}: one system alone; give two or more to compare')
    from wm_eval_ros.scoring.ranking import compare
    evidence = [evidence_of(path, salvage=args.salvage) for path in args.run]
    found = compare(evidence, question)
    print_comparison(found, as_json=args.json)
    if args.out is not None:
        written = write_comparison(found, evidence, args.out)
        print(f'written: {", ".join(map(str, written))}', file=sys.stderr)
    return EXIT_CODES[found.verdict]


def _question(args: argparse.Namespace) -> Question:
    from wm_eval_ros.scoring.compare import Rule
    from wm_eval_ros.scoring.contrast import Question
    if not 0 < args.alpha < 1:
        raise ConfigError(f'--alpha {args.alpha:g}: a chance, between 0 and 1')
    rule = Rule.SEQUENTIAL if args.sequential else Rule.BATCH
    if rule is Rule.BATCH and (record := looked_at_between(args.run)) is not None:
        print(f'wm-eval compare: {record} was decided while episodes were added; the sign e-test '
              'decides, as with --sequential', file=sys.stderr)
        rule = Rule.SEQUENTIAL
    return Question(rule, args.alpha, frozenset(args.across))


def looked_at_between(paths: Sequence[Path]) -> Path | None:
    """
    Return the record of `run --until-decided` that two of the systems are the sides of, if any.

    A fixed-number test does not hold for such runs: they ended when the result was clear.
    """
    folders = [path.resolve().parent for path in paths if path.name in ('a', 'b')]
    for folder in folders:
        record = folder / 'compare.json'
        if folders.count(folder) > 1 and record.is_file():
            try:
                data = load_json(record, BagError)
            except BagError:
                continue
            if isinstance(data, dict) and data.get('rule') == 'sequential':
                return record
    return None


def print_comparison(found: Comparison, *, as_json: bool) -> None:
    """Print a comparison on stdout."""
    from wm_eval_ros.report.comparison_text import comparison_text
    sys.stdout.write(found.to_json() if as_json else comparison_text(found))


def write_comparison(found: Comparison, evidence: Sequence[Evidence], folder: Path) -> list[Path]:
    """
    Write compare.json, summary.md, and compare.html where plotly is installed.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.comparison import page
    from wm_eval_ros.report.markdown import comparison_summary
    files = {'compare.json': found.to_json(), 'summary.md': comparison_summary(found)}
    try:
        files['compare.html'] = page(found, evidence)
    except MissingExtraError as error:
        print(f'wm-eval compare: {error}', file=sys.stderr)
    return write_files(folder, files)
