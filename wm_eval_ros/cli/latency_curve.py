"""`wm-eval latency-curve`: success over injected latency, against the latency of a board."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
import math
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.outputs import require_writable
from wm_eval_ros.cli.overrides import add_overrides, scenario_of, set_values, yaml_value
from wm_eval_ros.cli.sweep import POINTS, require_own_folder
from wm_eval_ros.cli.sweep_output import relative
from wm_eval_ros.errors import ConfigError

if TYPE_CHECKING:
    from wm_eval_ros.cli.sweep_runs import Wanted
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.scoring.board import Board, Fit
    from wm_eval_ros.scoring.confirmation import Confirmation
    from wm_eval_ros.scoring.latency_curve import LatencyCurve
    from wm_eval_ros.scoring.scorecard import Scorecard

    Cards = Sequence[tuple[str, Scorecard]]

EXAMPLE = """example:
  wm-eval latency-curve reacher --confirm --out runs/latency
  wm-eval latency-curve reacher --device board/bag --compensate --out runs/latency_told
  wm-eval latency-curve --bags runs/latency/points/*/bag --device-p99-ms 38 --strict

runs the scenario in lockstep once a latency on the same starts, finds the largest at which success
is still there, and holds the latency of a board against it; --confirm then injects that latency,
and the next, into runs in realtime. Run again with the same --out to go on
where it was interrupted.
exit: 0 the board is fast enough (without one: some latency holds), 1 it is not, or realtime
refutes the curve, 3 not decided, 2 bad input, 4 a node died, 74 a result could not be written."""
#: where the runs in realtime lie below the folder of the curve
REALTIME = 'realtime'
#: the largest latency that is charged [ms]
MAX_MS = 10_000.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser, optional=True,
                  out='folder of the results; finished points in it are kept')
    parser.add_argument('--latencies', default='', metavar='MS1,MS2,...',
                        help='latencies to inject; default: 0, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5, '
                             '1.9 and 2.9 periods')
    parser.add_argument('--bags', type=Path, nargs='+', default=[], metavar='BAG',
                        help='instead of a scenario: bags of runs that differ in the latency')
    parser.add_argument('--bound', type=float, default=0.8,
                        help='success that a latency must leave')
    parser.add_argument('--strict', action='store_true',
                        help='the lower 95 %% limit of success must be at the bound')
    parser.add_argument('--compensate', action='store_true',
                        help='tell the planner of each latency: delay_steps, action_repeat')
    parser.add_argument('--device', type=Path, action='append', default=[], metavar='BAG',
                        help='bag of a realtime run on the board; may be given more than once')
    parser.add_argument('--device-figure', default='decision_latency', metavar='FIGURE',
                        help='decision_latency, sense_to_act, round_trip or actuation of '
                             'that bag')
    parser.add_argument('--device-p99-ms', type=float, action='append', default=[],
                        metavar='MS', help='instead of a bag, or beside it: the latency itself')
    parser.add_argument('--confirm', action='store_true',
                        help='then run it in realtime, the largest latency that holds injected, '
                             'and the smallest that does not')
    parser.add_argument('--realtime', type=Path, nargs='+', default=[], metavar='BAG',
                        help='bags of such runs, held against the curve')
    parser.add_argument('--json', action='store_true', help='print the curve as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.cli.latency_curve_output import print_curve, write_curve
    from wm_eval_ros.cli.reading import score_bag
    from wm_eval_ros.scoring.latency_curve import make_curve
    _check(args)
    boards = _boards(args)
    realtime = [(bag, score_bag(bag)) for bag in args.realtime]
    cards = _from_bags(args) if args.bags else _from_runs(args, [card for card, _ in boards])
    curve = make_curve(cards, args.bound, strict=args.strict)
    curve = replace(curve, fits=_fits(curve, boards, cards[0][1]),
                    confirmations=_confirmations(args, curve, cards[0], realtime))
    print_curve(curve, as_json=args.json)
    if args.out is not None:
        print(f'written: {", ".join(str(p) for p in write_curve(curve, args.out))}',
              file=sys.stderr)
    return EXIT_CODES[curve.verdict]


def _check(args: argparse.Namespace) -> None:
    """Refuse what the options alone show to be wrong."""
    from wm_eval_ros.scoring.board import FIGURES
    if bool(args.bags) == bool(args.scenario):
        raise ConfigError('give either a scenario, or --bags: not both, not neither')
    if not 0 < args.bound < 1:
        raise ConfigError(f'--bound {args.bound:g}: a success between 0 and 1')
    if args.device_figure not in FIGURES:
        raise ConfigError(f'--device-figure {args.device_figure}: one of {", ".join(FIGURES)}')
    for value in args.device_p99_ms:
        if not 0 <= value < math.inf:
            raise ConfigError(f'--device-p99-ms {value:g}: milliseconds, 0 or more')
    if len(args.bags) == 1:
        raise ConfigError(f'--bags {args.bags[0]}: one latency is no curve; give two or more')
    if args.bags:
        own = {'--latencies': args.latencies, '--compensate': args.compensate, '--set': args.set,
               '--confirm': args.confirm, '--episodes': args.episodes, '--seed': args.seed,
               '--clock': args.clock, '--domain': args.domain}
        # a seed of 0 is given
        odd = next((name for name, value in own.items()
                    if value is not None and value is not False and value not in ('', [])), None)
        if odd is not None:
            raise ConfigError(f'{odd}: not with --bags, where everything is read off the bags')
    if args.out is not None:
        require_writable(args.out)


def _boards(args: argparse.Namespace) -> list[tuple[Scorecard | None, Board]]:
    """Read the boards, before anything is run."""
    from wm_eval_ros.cli.reading import score_bag
    from wm_eval_ros.scoring.board import board_of, given
    found: list[tuple[Scorecard | None, Board]] = []
    for path in args.device:
        card = score_bag(path)
        found.append((card, board_of(card, str(path), args.device_figure)))
    return [*found, *((None, given(value)) for value in args.device_p99_ms)]


def _fits(curve: LatencyCurve, boards: Sequence[tuple[Scorecard | None, Board]],
          ours: Scorecard) -> tuple[Fit, ...]:
    from wm_eval_ros.scoring.board import differences, hold
    return tuple(hold(board, curve.bracket, curve.bound,
                      () if card is None else differences(card, ours, board.name,
                                                          following=curve.compensated))
                 for card, board in boards)


def _confirmations(
    args: argparse.Namespace, curve: LatencyCurve, reference: tuple[str, Scorecard],
    runs: Sequence[tuple[Path, Scorecard]],
) -> tuple[Confirmation, ...]:
    """Hold runs in realtime against the curve; do those that are asked for."""
    from wm_eval_ros.cli.sweep_runs import run_points
    from wm_eval_ros.scoring.confirmation import Prediction
    from wm_eval_ros.scoring.latency_curve import FOLLOWING
    said = Prediction(reference, [at.point for at in curve.points], curve.bracket, curve.bound,
                      curve.strict, FOLLOWING if curve.compensated else ())
    if args.confirm:
        runs = [*runs, *run_points(_injected(args, curve), args.out / REALTIME, args.domain)]
    found = [said.confirm(relative(bag, args.out or Path()), card) for bag, card in runs]
    return tuple(sorted(found, key=lambda each: each.latency_ms))


def _injected(args: argparse.Namespace, curve: LatencyCurve) -> list[Wanted]:
    """Return the run in realtime of either end of the bracket, told as the curve's was."""
    from wm_eval_ros.cli.sweep_runs import Wanted
    from wm_eval_ros.scoring.sweep import INJECTED
    told = {at.latency_ms: at.told.settings() for at in curve.points}
    ends = [value for value in curve.bracket if value is not None]
    return [Wanted(f'latency_ms_{value:g}', f'{INJECTED} = {value:g}, realtime', INJECTED,
                   scenario_of(args, {'clock': 'realtime', INJECTED: value,
                                      **(told[value] if curve.compensated else {})}))
            for value in ends]


def _from_bags(args: argparse.Namespace) -> Cards:
    from wm_eval_ros.cli.reading import score_bag
    here = args.out or Path()
    return [(relative(bag, here), score_bag(bag)) for bag in args.bags]


def _from_runs(args: argparse.Namespace, boards: Sequence[Scorecard | None]) -> Cards:
    """Run what is not there yet."""
    from wm_eval_ros.cli.run import default_folder
    from wm_eval_ros.cli.sweep_runs import check_points, run_points
    from wm_eval_ros.scoring.sweep import LATENCY
    wanted = _wanted(args)
    check_points(wanted)
    _require_model(wanted[0].scenario, args.device, boards)
    if args.out is None:
        args.out = default_folder(f'latency_{wanted[0].scenario.name}')
    require_own_folder(args.out, LATENCY)
    cards = run_points(wanted, args.out / POINTS, args.domain)
    return [(relative(bag, args.out), card) for bag, card in cards]


def _require_model(scenario: Scenario, paths: Sequence[Path],
                   boards: Sequence[Scorecard | None]) -> None:
    """
    Refuse the bag of a board that another model ran on, before hours of runs.

    :raises ConfigError: naming the bag and both weights
    """
    from wm_eval_ros.models.load import load_model
    cards = [card for card in boards if card is not None]
    if not cards or not scenario.planner.model:
        return
    wanted = load_model(scenario).spec.sha256
    for path, card in zip(paths, cards, strict=True):
        found = str((card.manifest.get('model') or {}).get('sha256', ''))
        if found != wanted:
            raise ConfigError(f'--device {path}: the model on it is {found[:12] or "none"}, that '
                              f'of the curve is {wanted[:12]}; record the board with that model, '
                              'or give --device-p99-ms')


def _wanted(args: argparse.Namespace) -> list[Wanted]:
    """Return the run of each latency, everything checked before the first one starts."""
    from wm_eval_ros.cli.sweep_runs import Wanted
    from wm_eval_ros.scoring.latency_curve import FOLLOWING, PERIODS
    from wm_eval_ros.scoring.sweep import LATENCY
    if args.clock not in (None, 'lockstep'):
        raise ConfigError(f'--clock {args.clock}: a latency is injected in lockstep only')
    taken = {LATENCY, *(FOLLOWING[:2] if args.compensate else ())} & set_values(args.set).keys()
    if taken:
        raise ConfigError(f'--set {min(taken)}: the latency curve sets it itself')
    own = scenario_of(args, {'clock': 'lockstep'})
    if own.planner.latency_trace:
        raise ConfigError(f'planner.latency_trace: {own.planner.latency_trace}; it would be '
                          'charged instead of the latencies of the curve; set it to nothing')
    period = own.planner.period_ms
    values = parse_latencies(args.latencies) if args.latencies else [
        round(x * period, 6) for x in PERIODS if x * period <= MAX_MS]
    wanted = []
    for value in values:
        further = {'clock': 'lockstep', LATENCY: value,
                   **(_told(own, value) if args.compensate else {})}
        wanted.append(Wanted(f'latency_ms_{value:g}', f'{LATENCY} = {value:g}', LATENCY,
                             scenario_of(args, further)))
    return wanted


def _told(own: Scenario, latency_ms: float) -> dict[str, int]:
    """Return the settings that tell the planner of a latency; what is dead time stays."""
    from wm_eval_ros.scoring.latency_curve import told
    planner = own.planner
    before = told(max(0.0, planner.latency_ms), planner.period_ms, planner.horizon)
    dead = max(0, planner.delay_steps - before.delay_steps)
    return told(latency_ms, planner.period_ms, planner.horizon, planner.action_repeat,
                dead).settings()


def parse_latencies(text: str) -> list[float]:
    """
    Parse ``MS1,MS2,...``.

    :raises ConfigError: fewer than two, one twice, or what is no latency

    >>> parse_latencies('0, 12.5,50')
    [0.0, 12.5, 50.0]
    """
    parsed = yaml_value(text if text.startswith('[') else f'[{text}]', f'--latencies {text}')
    if not isinstance(parsed, list) or len(parsed) < 2:
        raise ConfigError(f'--latencies {text}: give two or more [ms], separated by commas')
    found: list[float] = []
    for value in parsed:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                0 <= value <= MAX_MS):
            raise ConfigError(f'--latencies {text}: {value!r} is no latency of 0 to '
                              f'{MAX_MS:g} ms')
        if f'{value:g}' in [f'{other:g}' for other in found]:
            raise ConfigError(f'--latencies {text}: {value:g} is there twice')
        found.append(float(value))
    return sorted(found)
