"""`wm-eval hil`: how long a device takes to answer, by rate, payload and load."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.firmware import standing_in
from wm_eval_ros.cli.graph import Device, GraphRun, HERE
from wm_eval_ros.cli.outputs import write, write_files
from wm_eval_ros.cli.overrides import add_overrides, require_new, scenario_of
from wm_eval_ros.cli.reading import read
from wm_eval_ros.cli.run import check_names, check_planners, default_folder, execute
from wm_eval_ros.errors import (
    ConfigError,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
)
from wm_eval_ros.nodes.serial_port import open_port, speed_of
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.wire import topics

if TYPE_CHECKING:
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.records import MetricValue
    from wm_eval_ros.scoring.scorecard import Scorecard

EXAMPLE = """example:
  wm-eval hil reacher --out runs/hil
  wm-eval hil reacher --rates 10 100 500 --payloads state 64x64 640x480 640x480:jpeg --loads 0 2
  wm-eval hil reacher --devices planner --elsewhere --domain 7 --seconds 120 --at-most-ms 40
  wm-eval hil reacher --actuator pty

the device's nodes run here, each point as processes of their own; with --elsewhere they are
started on the device first (see docs/hil.md), and one point is measured.
exit: 0 measured (or p99 within --at-most-ms), 1 p99 above it, 2 bad input, 3 not to be told,
4 a node failed.
"""
#: devices that can be tested
DEVICES = ('echo', 'planner')
STATE = 'state'
#: an actuator that is a stand-in behind a pseudo-terminal
PTY = 'pty'
#: rate of a payload of images at most [Hz]
IMAGE_HZ = 30.0
_PAYLOAD = re.compile(r'(?P<width>\d{1,4})x(?P<height>\d{1,4})(?::(?P<encoding>jpeg|png))?')
#: figures of a point: column -> name of the figure; {answer} is the topic of the answers
COLUMNS = {
    'p50': 'round_trip[{answer}].p50', 'p95': 'round_trip[{answer}].p95',
    'p99': 'round_trip[{answer}].p99', 'p99.9': 'round_trip[{answer}].p99_9',
    'max': 'round_trip[{answer}].max', 'warm-up': 'round_trip_warmup[{answer}].max',
    'back p50': 'one_way_back[{answer}].p50', 'jitter p99': 'interval[{answer}].p99',
    'misses': 'deadline_miss_rate', 'burst': 'longest_miss_run'}
#: further columns of points with an actuator; {command} is the topic of what it obeys
ACTUATOR_COLUMNS = {
    'acts p50': 'actuation[{command}].p50', 'acts p95': 'actuation[{command}].p95',
    'acts p99': 'actuation[{command}].p99', 'acts p99.9': 'actuation[{command}].p99_9',
    'acts max': 'actuation[{command}].max',
    'command to act p50': 'command_to_actuation[{command}].p50',
    'act jitter p99': 'actuation_interval[{command}].p99',
    'not applied': 'commands_not_applied[{command}]', 'trips': 'watchdog_trips[{command}]'}
_SCHEDULE = ('misses', 'burst')
#: columns that are not times in ms
_PLAIN = (*_SCHEDULE, 'not applied', 'trips')


@dataclass(frozen=True)
class Point:
    """What is varied."""

    device: str
    rate_hz: float
    payload: str
    #: busy processes beside the device
    load: int

    @property
    def label(self) -> str:
        """Name of its folder."""
        payload = self.payload.replace(':', '_')
        return f'{self.device}_{self.rate_hz:g}hz_{payload}_load{self.load}'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser)
    parser.add_argument('--devices', nargs='+', choices=DEVICES, default=list(DEVICES),
                        help='what is tested: an echo, the floor; the planner. Default: both')
    parser.add_argument('--elsewhere', action='store_true',
                        help="the device's nodes run on another host, or are started by hand")
    parser.add_argument('--seconds', type=float, default=30.0, help='length of a point')
    parser.add_argument('--rates', nargs='+', type=float, metavar='HZ',
                        help="rates of the samples; default: the scenario's")
    parser.add_argument('--payloads', nargs='+', default=[STATE], metavar='PAYLOAD',
                        help='state, WIDTHxHEIGHT of an image beside it, or one of those with '
                        ':jpeg or :png')
    parser.add_argument('--loads', nargs='+', type=int, default=[0], metavar='N',
                        help='busy processes on this host')
    parser.add_argument('--world', action='store_true',
                        help="keep the scenario's plant: the loop is closed, and images rendered")
    parser.add_argument('--actuator', metavar='PORT',
                        help='serial port of an actuator of this host that is to obey, or pty: a '
                        'stand-in of one; tells when commands act')
    parser.add_argument('--baud', type=int, default=115200, help='rate of its line')
    parser.add_argument('--at-most-ms', type=float, metavar='MS',
                        help="verdict: the upper 95 %% limit of the planner's p99 within this")
    parser.add_argument('--json', action='store_true', help='print the points as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    points = points_of(args)
    scenarios = [scenario_for(args, point) for point in points]
    check_names(scenarios[0])
    make_plant(scenarios[0])
    if 'planner' in args.devices and not args.elsewhere:
        check_planners(scenarios[0])
    check_actuator(args)
    folder = args.out or default_folder(f'hil_{scenarios[0].name}')
    require_new(folder)
    found = []
    for point, scenario in zip(points, scenarios, strict=True):
        print(f'{point.label}', file=sys.stderr)
        run = GraphRun(folder / point.label)
        with busy(point.load), actuator(args, run.folder / 'log' / 'firmware.jsonl') as port:
            execute(run, scenario, args.domain,
                    replace(device_of(point, args), port=port, baud=args.baud))
        scored = read(run.bag)
        write(scored, run.folder / 'score')
        found.append(row(point, scenario, scored.card))
    verdict, sentence, code = verdict_of(found, args.at_most_ms)
    result = {'verdict': verdict, 'sentence': sentence, 'points': found}
    written = write_files(folder, {'hil.json': json.dumps(result, indent=1) + '\n',
                                   'hil.md': table(found) + f'\n{sentence}\n'})
    print(json.dumps(result, indent=1) if args.json else f'{table(found)}\n{sentence}')
    print('\n'.join(f'written: {path}' for path in written), file=sys.stderr)
    return code


def points_of(args: argparse.Namespace) -> list[Point]:
    """
    Return the points: each rate, payload and load with the first of the two others.

    :raises ConfigError: a value that is none, or what cannot be done on another host
    """
    if not 1.0 <= args.seconds <= 86400.0:
        raise ConfigError(f'--seconds {args.seconds:g}: give 1 to 86400')
    for payload in args.payloads:
        if payload != STATE and not _PAYLOAD.fullmatch(payload):
            raise ConfigError(f'--payloads {payload}: give state, or WIDTHxHEIGHT, as it is or '
                              'with :jpeg or :png')
    most = 8 * (os.cpu_count() or 1)
    for load in args.loads:
        if not 0 <= load <= most:
            raise ConfigError(f'--loads {load}: give 0 to {most} busy processes')
    rates = args.rates or [scenario_of(args).plant.observation_hz]
    for rate in rates:
        if not 1.0 <= rate <= 1000.0:
            raise ConfigError(f'--rates {rate:g}: give 1 to 1000 Hz')
    first = (rates[0], args.payloads[0], args.loads[0])
    wanted = [*((rate, *first[1:]) for rate in rates),
              *((first[0], payload, first[2]) for payload in args.payloads),
              *((*first[:2], load) for load in args.loads)]
    points = [Point(device, *each) for device in dict.fromkeys(args.devices)
              for each in dict.fromkeys(wanted)]
    if args.elsewhere and len(points) > 1:
        raise ConfigError(f'--elsewhere: {len(points)} points asked for, and the device is '
                          'started for one; name one device, rate, payload and load')
    if args.elsewhere and points[0].load:
        raise ConfigError('--loads: with --elsewhere the load belongs on the device; start it '
                          'there')
    return points


def scenario_for(args: argparse.Namespace, point: Point) -> Scenario:
    """Return the scenario of a point."""
    further: dict[str, object] = {
        'clock': 'realtime', 'episodes': 1, 'plant.link': True,
        'plant.time_limit_s': args.seconds, 'plant.observation_hz': point.rate_hz}
    if not args.world:
        further['plant.kind'] = 'stimulus'
    shape = _PAYLOAD.fullmatch(point.payload)
    if shape is not None:
        further |= {'plant.camera_hz': min(point.rate_hz, IMAGE_HZ),
                    'plant.camera_width': int(shape['width']),
                    'plant.camera_height': int(shape['height']),
                    'plant.camera_encoding': shape['encoding'] or 'raw'}
    return scenario_of(args, further)


def check_actuator(args: argparse.Namespace) -> None:
    """
    Open the actuator's port, and close it again.

    :raises ConfigError: it cannot be opened, or has no such rate
    """
    if args.actuator == PTY:
        speed_of(args.baud)
    elif args.actuator is not None:
        os.close(open_port(args.actuator, args.baud))


@contextmanager
def actuator(args: argparse.Namespace, log: Path) -> Iterator[str]:
    """Return the actuator's port, behind which a stand-in runs meanwhile if one is asked for."""
    if args.actuator == PTY:
        with standing_in('--baud', str(args.baud), '--log', str(log)) as port:
            yield port
    else:
        yield args.actuator or ''


def device_of(point: Point, args: argparse.Namespace) -> Device:
    """Return where the device runs, and what an echo of it answers."""
    if point.device == 'planner':
        return Device(elsewhere=True) if args.elsewhere else HERE
    shape = _PAYLOAD.fullmatch(point.payload)
    topic = '' if shape is None else topics.camera(shape['encoding'] or 'raw')
    return Device(elsewhere=args.elsewhere, echo=topic)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    running = [subprocess.Popen([sys.executable, '-S', '-c', 'while True: pass'])
               for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def row(point: Point, scenario: Scenario, card: Scorecard) -> dict[str, Any]:
    """Return what is told of a point: its figures as they stand in its scorecard."""
    command = scenario.interface.command.topic
    answer = '/' + topics.proposed(command)
    known = {v.name: v for v in (*card.values, *card.host)}
    figures = {}
    for column, name in (COLUMNS | ACTUATOR_COLUMNS).items():
        value = known.get(name.format(answer=answer, command='/' + command.lstrip('/')))
        # an echo keeps no schedule
        if value is not None and not (column in _SCHEDULE and point.device == 'echo'):
            figures[column] = plain(value)
    inputs = {name: plain(value) for name, value in known.items() if name.startswith(
        # not what became of the unused: the recorder of the host hears what the device never got
        ('staleness[', 'samples_unused[', 'one_way_out[', 'clock_offset[',
         'commands_unreceived[', 'stimuli_unanswered[', 'interval[', 'actuation[',
         'command_to_actuation[', 'actuation_interval['))}
    host = card.manifest.get('host') or card.provenance.get('host') or {}
    return {'device': point.device, 'rate_hz': point.rate_hz, 'payload': point.payload,
            'load': point.load, 'folder': point.label, 'figures': figures, 'more': inputs,
            'host': host}


def plain(value: MetricValue) -> dict[str, Any]:
    """Return a figure as plain data."""
    found: dict[str, Any] = {'value': value.value, 'n': value.n}
    if value.interval is not None:
        found |= {'low': value.interval.low, 'high': value.interval.high}
    if value.why:
        found['why'] = value.why
    return found


def table(points: Sequence[dict[str, Any]]) -> str:
    """Return the points as a table in Markdown; round trips in ms."""
    acting = any('trips' in point['figures'] for point in points)
    columns = [*COLUMNS, *(ACTUATOR_COLUMNS if acting else ())]
    lines = ['| device | rate [Hz] | payload | load | ' + ' | '.join(columns) + ' |',
             '|---' * (4 + len(columns)) + '|']
    for point in points:
        cells = [point['device'], f'{point["rate_hz"]:g}', point['payload'], str(point['load'])]
        cells += [cell(point['figures'].get(c), plain=c in _PLAIN) for c in columns]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def cell(figure: dict[str, Any] | None, *, plain: bool) -> str:
    """Return a figure with its interval."""
    if figure is None or figure['value'] is None:
        return '–'
    form = '.3g' if plain else '.2f'
    text = f'{figure["value"]:{form}}'
    if 'low' in figure:
        text += f' [{figure["low"]:{form}}, {figure["high"]:{form}}]'
    return text


def verdict_of(points: Sequence[dict[str, Any]], limit_ms: float | None) -> tuple[str, str, int]:
    """Return the verdict on the slowest planner point, the sentence and the exit code."""
    if limit_ms is None:
        return 'PASS', f'{len(points)} points measured.', EXIT_PASS
    worst = [p for p in points if p['device'] == 'planner'] or list(points)
    highs = [(p['figures'].get('p99', {}).get('high'), p) for p in worst]
    unknown = [p['folder'] for high, p in highs if high is None]
    told = [(high, p['folder']) for high, p in highs if high is not None]
    over = [(high, name) for high, name in told if high > limit_ms]
    if over:
        high, name = max(over)
        return ('FAIL', f'FAIL: the upper limit of p99 is {high:.2f} ms at {name}, more than '
                f'{limit_ms:g} ms.', EXIT_FAIL)
    if unknown:
        return ('INCONCLUSIVE', f'INCONCLUSIVE: no limit of p99 at {", ".join(unknown)}: measure '
                'longer, at least 299 answers beyond the warm-up.', EXIT_INCONCLUSIVE)
    high, name = max(told)
    return ('PASS', f'PASS: the upper limit of p99 is {high:.2f} ms at most ({name}), within '
            f'{limit_ms:g} ms.', EXIT_PASS)
