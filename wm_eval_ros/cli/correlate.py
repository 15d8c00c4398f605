"""`wm-eval correlate RUN... --dream RUN...`: whether a dream ranks policies as the world does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.cli.sides import bags_of, evidence_of, MOST_NOTES
from wm_eval_ros.errors import ConfigError, WmEvalError

if TYPE_CHECKING:
    from wm_eval_ros.records import MetricValue
    from wm_eval_ros.scoring.dreams import Correlation
    from wm_eval_ros.scoring.evidence import Evidence

EXAMPLE = """example:
  wm-eval correlate runs/real runs/dreamed
  wm-eval correlate runs/real/* --dream runs/dreamed/* --at-least 0.9 --json

runs of the same planner settings are one policy; a folder stands for the runs in it.
exit: 0 correlated (with --at-least: shown to be so), 1 shown to be below --at-least,
3 neither shown, or fewer than five policies, 2 the runs cannot be paired."""
#: why there is no error by depth
_NOT_ASKED = 'not asked for: --no-depth'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('run', metavar='RUN', type=Path, nargs='+',
                        help='runs in the world: bags, folders of runs, or folders of several; '
                             'without --dream those in a dream are told apart by their manifests')
    parser.add_argument('--dream', metavar='RUN', type=Path, nargs='+', default=[],
                        help='runs in the dream')
    parser.add_argument('--at-least', type=float, metavar='R',
                        help="pass if the whole interval of Pearson's r lies at or above this, "
                             'fail if below')
    parser.add_argument('--across', metavar='CONDITION', action='append', default=[],
                        help='pair across a condition that differs: clock, time_limit, period, '
                             'deadline, plant (always paired across), perturbations or '
                             'processor')
    parser.add_argument('--no-depth', action='store_true',
                        help='do not put the simulator beside the dreams: needs no torch and no '
                             'MuJoCo')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder to write correlate.json and summary.md to; none: nothing is '
                             'written')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.report.correlation import correlation_summary, correlation_text
    from wm_eval_ros.scoring.conditions import CONDITIONS
    if args.at_least is not None and not -1 <= args.at_least <= 1:
        raise ConfigError(f'--at-least {args.at_least:g}: a correlation is -1 to 1')
    if unknown := sorted(set(args.across) - CONDITIONS.keys()):
        raise ConfigError(f'--across: no condition {", ".join(unknown)}; known: '
                          f'{", ".join(CONDITIONS)}')
    found = correlation_of(args.run, args.dream, at_least=args.at_least, waived=args.across,
                           depth=not args.no_depth)
    sys.stdout.write(found.to_json() if args.json else correlation_text(found))
    if args.out is not None:
        written = write_files(args.out, {'correlate.json': found.to_json(),
                                         'summary.md': correlation_summary(found)})
        print(f'written: {", ".join(map(str, written))}', file=sys.stderr)
    return EXIT_CODES[found.verdict]


def correlation_of(
    real: Sequence[Path], dreamed: Sequence[Path] = (), *, at_least: float | None = None,
    waived: Sequence[str] = (), depth: bool = True,
) -> Correlation:
    """
    Read the runs and correlate them.

    :param real: bags or folders; where none is given as dreamed, of both kinds
    :param depth: also put the simulator beside the dreams
    :raises WmEvalError: the runs cannot be read, or not be paired
    """
    from wm_eval_ros.scoring.dreams import correlate, is_dream
    world, dream = _read(real), _read(dreamed)
    if not dreamed:
        world, dream = ([entry for entry in world if is_dream(entry[1]) is wanted]
                        for wanted in (False, True))
    found = correlate([e for _, e in world], [e for _, e in dream], at_least=at_least,
                      waived=waived)
    # only now are the dreams known to be of one task and one model
    figures, notes = _depth([bag for bag, _ in dream]) if depth else (_missing(_NOT_ASKED), ())
    return replace(found, depth=figures, notes=(*found.notes, *notes))


def _read(paths: Sequence[Path]) -> list[tuple[Path, Evidence]]:
    return [(bag, evidence_of(bag)) for path in paths for bag in bags_of(path)]


def _depth(bags: Sequence[Path]) -> tuple[tuple[MetricValue, ...], tuple[str, ...]]:
    """Return the error by depth over all dreams that can be followed, and which cannot."""
    try:
        from wm_eval_ros.training.imagined import error_by_depth, followed
        episodes, left_out = followed(sorted(bags))
        if len(left_out) == len(bags):
            return _missing(_joined(left_out)), ()
        notes = (f'{len(left_out)} of {len(bags)} dreams are not in the error by depth: '
                 f'{_joined(left_out)}',) if left_out else ()
        return error_by_depth(episodes), notes
    except WmEvalError as error:
        return _missing(str(error)), ()
    except ModuleNotFoundError as error:
        return _missing(f'{error.name} is not installed, so nothing can be put beside the dreams'
                        ), ()


def _joined(reasons: Sequence[str]) -> str:
    more = [f'{len(reasons) - MOST_NOTES} more'] if len(reasons) > MOST_NOTES else []
    return '; '.join([*reasons[:MOST_NOTES], *more])


def _missing(why: str) -> tuple[MetricValue, ...]:
    from wm_eval_ros.metrics.base import missing
    return (missing('imagination_error[h=1]', '1', why),
            missing('imagination_persistence[h=1]', '1', why))
