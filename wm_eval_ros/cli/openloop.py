"""`wm-eval openloop BAG`: a small model, fitted and scored open loop on a robot's bag."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.errors import EXIT_PASS, MissingExtraError

if TYPE_CHECKING:
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.config.robot_map import RobotMap
    from wm_eval_ros.openloop.outcome import OpenLoop

EXAMPLE = """example:
  wm-eval openloop recordings/turtlebot3 --map turtlebot3 --out out/turtlebot3

writes openloop.json and openloop.html into --out; docs/openloop.md says how to write a map.
exit: 0 scored, 2 the bag or the map cannot be used."""
#: names of the files below --out
FILE_NAME, PAGE_NAME = 'openloop.json', 'openloop.html'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', type=Path, help='rosbag2 folder, or its .mcap or .db3 file')
    parser.add_argument('--map', help='robot map: a name or a YAML file; found by the topics of '
                                      'the bag when not given')
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    parser.add_argument('--out', type=Path, help=f'folder to write {FILE_NAME} and {PAGE_NAME} to')
    parser.add_argument('--salvage', action='store_true',
                        help='read what can be read of a damaged bag')


def main(args: argparse.Namespace) -> int:
    """Evaluate the bag, print the outcome, write the files."""
    from wm_eval_ros.report.openloop.document import document, to_json
    from wm_eval_ros.report.openloop.text import tables

    bag, robot = _open(args)
    with bag:
        outcome = _evaluate(bag, robot)
        text = to_json(document(outcome, robot, str(bag.path), bag.declared))
    sys.stdout.write(text if args.json else tables(outcome, robot))
    if args.out is not None:
        _write(args.out, text, outcome, robot, str(args.bag))
    return EXIT_PASS


def _evaluate(bag: Bag, robot: RobotMap) -> OpenLoop:
    """Evaluate the bag and lay the findings of the preflight beside."""
    from wm_eval_ros.bag.preflight import preflight
    from wm_eval_ros.openloop.evaluate import evaluate

    print(f'{bag.path}: looking the bag over', file=sys.stderr)
    findings = preflight(bag, closed_loop=False).findings
    print(f'{bag.path}: fitting and scoring with the map {robot.name}', file=sys.stderr)
    outcome = evaluate(bag, robot)
    return replace(outcome, findings=(*outcome.findings, *findings))


def _open(args: argparse.Namespace) -> tuple[Bag, RobotMap]:
    """Open the bag with the definitions that its map brings along."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.config.robot_map import find_map, load_map

    robot = load_map(args.map) if args.map else None
    if robot is None:
        with open_bag(args.bag, salvage=args.salvage) as bag:
            robot = find_map(bag.topics)
    return open_bag(args.bag, salvage=args.salvage, definitions=robot.definitions), robot


def _write(folder: Path, text: str, outcome: OpenLoop, robot: RobotMap, bag: str) -> None:
    """Write the files; without plotly the page is left out, and a line says so."""
    from wm_eval_ros.cli.outputs import write_files
    from wm_eval_ros.report.openloop.page import page

    files = {FILE_NAME: text}
    try:
        files[PAGE_NAME] = page(outcome, robot, bag)
    except MissingExtraError as error:
        print(f'wm-eval openloop: {error}', file=sys.stderr)
    written = write_files(folder, files)
    print(f'written: {", ".join(str(path) for path in written)}', file=sys.stderr)
