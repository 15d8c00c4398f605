"""`wm-eval mine`: cut the hard cases out of bags, into a data set to train on."""

from __future__ import annotations

import argparse
from collections import Counter
import json
from pathlib import Path
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.outputs import require_writable
from wm_eval_ros.cli.overrides import require_new
from wm_eval_ros.errors import EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.training.selection import MineSettings

EXAMPLE = """example:
  wm-eval mine runs/shifted/bag --out data/hard
  wm-eval mine runs/*/bag --reason surprise --reason failure --share 0.2 --out data/hard
  wm-eval train runs/nominal/bag data/hard --out models/reacher

exit: 0 written, 2 a bag was refused or holds no hard case, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bags', metavar='BAG', type=Path, nargs='+',
                        help='bags of runs of one scenario')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the data set; must be new or empty')
    parser.add_argument('--reason', action='append', default=[], metavar='NAME',
                        help='mine for this reason only; may be given more than once (surprise, '
                             'prediction_error, hand_over, failure, deadline, limit, refused)')
    parser.add_argument('--windows', type=int, default=None, help='most windows')
    parser.add_argument('--share', type=float, default=None,
                        help='largest share of all slots that is mined')
    parser.add_argument('--before', type=int, default=None, help='slots kept before a hard case')
    parser.add_argument('--after', type=int, default=None, help='slots kept after it')
    parser.add_argument('--near', type=float, default=None,
                        help='share of the deadline, or of half the command range, that is a '
                             'near miss')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.training.mined import write_mined
    from wm_eval_ros.training.mining import mine
    settings = _settings(args)
    require_new(args.out)
    require_writable(args.out)
    found = mine(args.bags, settings)
    sha256 = write_mined(args.out, found.data, found.manifest)
    report = summary(found.manifest, args.out, sha256)
    print(json.dumps(report, indent=1) if args.json else text(report))
    return EXIT_PASS


def _settings(args: argparse.Namespace) -> MineSettings:
    """Return the settings of the options, checked as a file's are."""
    from wm_eval_ros.config.schema import build
    from wm_eval_ros.training.selection import MineSettings
    names = ('windows', 'share', 'before', 'after', 'near')
    given = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    if args.reason:
        given['reasons'] = args.reason
    return build(MineSettings, given, 'command line')


def summary(manifest: dict[str, Any], folder: Path, sha256: str) -> dict[str, Any]:
    """Return what is told of a mined data set: counts, and how often each reason holds."""
    reasons = Counter(name for w in manifest['windows'] for name in w['reasons'])
    return {'folder': str(folder), 'manifest_sha256': sha256, 'bags': len(manifest['bags']),
            'windows': len(manifest['windows']), 'mined': manifest['mined'],
            'slots': manifest['slots'], 'reasons': dict(sorted(reasons.items()))}


def text(report: dict[str, Any]) -> str:
    """Return the summary in words."""
    why = ', '.join(f'{name} {count}' for name, count in report['reasons'].items())
    return (f'{report["windows"]} windows, {report["mined"]} of {report["slots"]} slots of '
            f'{report["bags"]} bags\n  windows by reason: {why}\n'
            f'  written to {report["folder"]}, sha256 {report["manifest_sha256"]}')
