"""`wm-eval calibrate`: thresholds of the surprise detectors from nominal runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.surprise.calibration import Calibration

EXAMPLE = """example:
  wm-eval run reacher --clock lockstep --episodes 120 --seed 5000 --out runs/nominal
  wm-eval calibrate runs/nominal/bag --out reacher.calibration.json
  wm-eval run reacher --clock lockstep --set detector.calibration=reacher.calibration.json

exit: 0 written, 2 too few or unfit runs, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bags', metavar='BAG', type=Path, nargs='+',
                        help='bags of nominal runs of one model, task, period, clock and planner')
    parser.add_argument('--out', metavar='FILE', type=Path, required=True,
                        help='file of the calibration')
    parser.add_argument('--alpha', type=float, default=0.05,
                        help='share of nominal episodes that may raise an alarm')
    parser.add_argument('--rule', choices=('tolerance', 'marginal'), default='tolerance',
                        help='tolerance: that share is kept with 95 %% confidence in this '
                        'calibration; marginal: on average over calibrations, of fewer episodes')
    parser.add_argument('--streams', default='', metavar='S1,S2,...',
                        help='score streams; default: effect and innovation where both have '
                             'scores in these runs, else all that have any')
    parser.add_argument('--h-steps', type=int, default=5,
                        help='slots that the stream h_step looks ahead')
    parser.add_argument('--detectors', metavar='D1,D2,...',
                        help='detector plug-ins; default: band where the streams are the two of '
                             'the default, else band and cusum')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.surprise.calibration import write_calibration
    from wm_eval_ros.surprise.fit import Wish
    from wm_eval_ros.training.calibration import calibrate_bags
    if not 1e-6 <= args.alpha <= 0.5:
        raise ConfigError(f'--alpha: {args.alpha:g}; between 0.000001 and 0.5')
    if args.h_steps < 2:
        raise ConfigError(f'--h-steps: {args.h_steps}; at least 2')
    wish = Wish(alpha=args.alpha, rule=args.rule, streams=_names(args.streams),
                h_steps=args.h_steps, detectors=_names(args.detectors or ''))
    if args.detectors is not None and not wish.detectors:
        raise ConfigError('--detectors: none named; band is one')
    found = calibrate_bags(args.bags, wish)
    facts = _facts(found, write_calibration(args.out, found))
    print(json.dumps(facts, indent=1) if args.json else _text(facts))
    if found.action_blind:
        print('wm-eval calibrate: the model is action-blind: what it imagines hardly depends '
              'on the commands, so that faults of the actuators are not seen', file=sys.stderr)
    print(f'written: {args.out}', file=sys.stderr)
    return EXIT_PASS


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(',') if (name := part.strip()))


def _facts(found: Calibration, sha256: str) -> dict[str, Any]:
    return {**found.facts(sha256), 'streams': list(found.streams), 'h_steps': found.h_steps,
            'clock': found.scope.clock, 'period_ns': found.scope.period_ns,
            'planner': found.scope.planner, 'referred': found.referred, 'shaped': found.shaped,
            'unreadable': found.unreadable,
            'action_sensitivity': found.action_sensitivity,
            'foreign': sum(s.foreign for s in found.sources),
            'sources': [{'run_id': s.run_id, 'seed': s.seed, 'episodes': s.episodes,
                         'foreign': s.foreign} for s in found.sources]}


def _text(facts: dict[str, Any]) -> str:
    known = facts['action_sensitivity']
    shown = 'not known: no checkpoint here is that model' if known is None else f'{known:.3g}'
    return '\n'.join([
        f'alpha       {facts["alpha"]:g} of nominal episodes, all streams and detectors together',
        f'threshold   {facts["threshold"]:.6g}: rank {facts["rank"]} of {facts["n"]} '
        f'({facts["rule"]})',
        f'episodes    {facts["referred"]} for the reference, {facts["shaped"]} for the band, '
        f'{facts["n"]} ranked'
        + (f', {facts["unreadable"]} of these with slots that could not be read: alarms'
           if facts['unreadable'] else ''),
        *([f'left out    {facts["foreign"]} episodes in which somebody else drove']
          if facts['foreign'] else []),
        f'streams     {", ".join(facts["streams"])}',
        f'detectors   {", ".join(facts["detectors"])}',
        f'commands    action sensitivity {shown}'
        + (': action-blind' if facts['action_blind'] else ''),
        f'model       {facts["model_sha256"]}', f'sha256      {facts["sha256"]}'])
