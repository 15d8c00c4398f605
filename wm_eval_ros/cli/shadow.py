"""`wm-eval shadow BAG`: what a planner in shadow mode would have done, beside what was done."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.errors import BagError, EXIT_PASS, FieldPathError

if TYPE_CHECKING:
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.config.interface import CommandStream
    from wm_eval_ros.metrics.shadow import Driving
    from wm_eval_ros.records import MetricValue, RunInfo

EXAMPLE = """example:
  wm-eval shadow shadow_bag --json

docs/supervisor.md says how to record one.
exit: 0 compared, 2 the bag cannot be used."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', type=Path, help='rosbag2 folder, or its .mcap or .db3 file')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    parser.add_argument('--salvage', action='store_true',
                        help='read what can be read of a damaged bag')


def main(args: argparse.Namespace) -> int:
    """Compare, print."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.text import aligned, interval_text, number
    from wm_eval_ros.scoring.scorecard import value_json

    with open_bag(args.bag, salvage=args.salvage) as bag:
        values = figures(bag)
    if args.json:
        print(json.dumps({'bag': str(args.bag), 'values': [value_json(v) for v in values]},
                         indent=1, ensure_ascii=False, allow_nan=False))
        return EXIT_PASS
    rows = [['metric', 'value', 'unit', 'n', 'interval or reason'],
            *([v.name, number(v.value), v.unit, str(v.n), interval_text(v)] for v in values)]
    sys.stdout.write(aligned(rows, (1, 3)) + '\n')
    return EXIT_PASS


def figures(bag: Bag) -> tuple[MetricValue, ...]:
    """
    Compute everything from the bag alone.

    :raises BagError: no run, not in shadow mode, or nobody's commands are in it
    """
    from wm_eval_ros.metrics.episodes import order
    from wm_eval_ros.metrics.shadow import shadow
    from wm_eval_ros.records import CycleRecord, EpisodeEvent, Mode, RunInfo

    found = list(bag.records())
    info = next((r for r in found if isinstance(r, RunInfo)), None)
    cycles = [r for r in found if isinstance(r, CycleRecord) and r.mode is Mode.SHADOW]
    if info is None or not cycles:
        raise BagError(f'{bag.path}: no slots in shadow mode; record a run with '
                       'supervisor.shadow: true, or a planner with shadow:=true')
    events = sorted((r for r in found if isinstance(r, EpisodeEvent)), key=order)
    return shadow(cycles, events, _driving(bag, _command(bag, info)))


def _command(bag: Bag, info: RunInfo) -> CommandStream:
    from wm_eval_ros.config.interface import Interface
    from wm_eval_ros.config.schema import build
    where = f'{bag.path}: run info: interface'
    return build(Interface, info.settings.get('interface', {}), where).command


def _driving(bag: Bag, command: CommandStream) -> Driving:
    import numpy as np

    from wm_eval_ros.metrics.shadow import Driving
    from wm_eval_ros.wire.fields import StreamReader
    topic = next((t for t in bag.topics if t.strip('/') == command.topic.strip('/')), None)
    if topic is None:
        raise BagError(f'{bag.path}: no topic {command.topic}; what really drove was not '
                       'recorded, and nothing can be compared')
    reader = StreamReader(command)
    logs, actions = [], []
    for raw, message in bag.decoded([topic]):
        try:
            actions.append(reader.read(message))
        except FieldPathError as error:
            raise BagError(f'{bag.path}: {error}') from None
        logs.append(raw.log_ns)
    rank = np.argsort(np.array(logs, np.int64), kind='stable')
    return Driving(np.array(logs, np.int64)[rank],
                   np.array(actions, float).reshape(len(logs), len(command.fields))[rank],
                   command.fields, command.low, command.high)
