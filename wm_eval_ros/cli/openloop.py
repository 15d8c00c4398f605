"""`wm-eval openloop BAG`: a small model, trained and scored open loop on a robot's bag."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import EXIT_PASS, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.bag.preflight import Finding
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.config.robot_map import RobotMap
    from wm_eval_ros.records import MetricValue
    from wm_eval_ros.training.openloop import Lag, OpenLoop, Score

EXAMPLE = """example:
  wm-eval openloop recordings/turtlebot3 --map turtlebot3 --out out/turtlebot3

exit: 0 scored, 2 the bag or the map cannot be used."""
#: version of the layout of the JSON
SCHEMA_VERSION = 1
#: name of the file below --out
FILE_NAME = 'openloop.json'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', type=Path, help='rosbag2 folder, or its .mcap or .db3 file')
    parser.add_argument('--map', help='robot map: a name or a YAML file; found by the topics of '
                                      'the bag when not given')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    parser.add_argument('--out', type=Path, help=f'folder to write {FILE_NAME} to')
    parser.add_argument('--salvage', action='store_true',
                        help='read what can be read of a damaged bag')


def main(args: argparse.Namespace) -> int:
    """Evaluate the bag and print the outcome."""
    from wm_eval_ros.bag.preflight import preflight
    from wm_eval_ros.training.openloop import evaluate

    bag, robot = _open(args)
    with bag:
        print(f'{args.bag}: looking the bag over', file=sys.stderr)
        findings = preflight(bag, closed_loop=False).findings
        print(f'{args.bag}: fitting and scoring with the map {robot.name}', file=sys.stderr)
        outcome = evaluate(bag, robot)
        findings = (*outcome.findings, *findings)
        report = _report(bag, robot, outcome, findings)
    text = json.dumps(report, indent=2, allow_nan=False)
    if args.out is not None:
        _write(args.out, text)
    print(text if args.json else '\n'.join(_table(robot, outcome, findings)))
    return EXIT_PASS


def _open(args: argparse.Namespace) -> tuple[Bag, RobotMap]:
    """Open the bag with the definitions that its map brings along."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.config.robot_map import find_map, load_map

    robot = load_map(args.map) if args.map else None
    if robot is None:
        with open_bag(args.bag, salvage=args.salvage) as bag:
            robot = find_map(bag.topics)
    return open_bag(args.bag, salvage=args.salvage, definitions=robot.definitions), robot


def _report(
    bag: Bag, robot: RobotMap, outcome: OpenLoop, findings: tuple[Finding, ...],
) -> dict[str, Any]:
    from wm_eval_ros.config.schema import to_plain

    declared = bag.declared
    return {
        'schema_version': SCHEMA_VERSION, 'bag': str(bag.path), 'map': to_plain(robot),
        'messages': {'declared': sum(declared.values()), 'topics': declared},
        'scores': [_score(score) for score in outcome.scores],
        'lags': [_lag(lag) for lag in outcome.lags],
        'findings': [to_plain(finding) for finding in findings],
    }


def _score(score: Score) -> dict[str, Any]:
    return {'feature': score.feature, 'horizon_s': score.horizon_s,
            'verdict': score.verdict.value, 'rmse_model': score.rmse_model,
            'rmse_persistence': score.rmse_persistence, 'ratio': _metric(score.ratio)}


def _lag(lag: Lag) -> dict[str, Any]:
    return {'feature': lag.feature, 'command': lag.command, 'correlation': lag.correlation,
            'lag': _metric(lag.lag)}


def _metric(value: MetricValue) -> dict[str, Any]:
    interval = value.interval
    return {'name': value.name, 'value': value.value, 'unit': value.unit, 'n': value.n,
            'interval': None if interval is None else interval._asdict(), 'why': value.why}


def _table(
    robot: RobotMap, outcome: OpenLoop, findings: tuple[Finding, ...],
) -> Iterator[str]:
    width = max(len(score.feature) for score in outcome.scores)
    yield (f'{robot.name}: RMSE(model) / RMSE(persistence), fitted on the first '
           f'{robot.train_share:.0%}, scored on the rest')
    yield f'{"feature":<{width}}  {"ahead":>7}  {"ratio":>6}  {"95 % interval":>15}  verdict'
    for score in outcome.scores:
        yield f'{score.feature:<{width}}  {score.horizon_s:>5g} s  {_figures(score)}'
    yield ''
    yield f'{"feature":<{width}}  {"lag":>7}  follows'
    for lag in outcome.lags:
        value = lag.lag.value
        shown = f'      -  ({lag.lag.why})' if value is None else (
            f'{value:>5.2f} s  {lag.command} (correlation {lag.correlation:.2f})')
        yield f'{lag.feature:<{width}}  {shown}'
    yield ''
    yield f'{len(findings)} findings'
    yield from (f'{f.severity:<8}{f.kind:<11}{f.topic}{": " if f.topic else ""}{f.what}'
                for f in findings)


def _figures(score: Score) -> str:
    ratio = score.ratio
    if ratio.value is None:
        return f'{"-":>6}  {"":>15}  {score.verdict} ({ratio.why})'
    interval = ratio.interval
    shown = '' if interval is None else f'{interval.low:.2f} .. {interval.high:.2f}'
    why = f' ({ratio.why})' if ratio.why else ''
    return f'{ratio.value:>6.2f}  {shown:>15}  {score.verdict}{why}'


def _write(folder: Path, text: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(text + '\n', encoding='utf-8')
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror})') from None
