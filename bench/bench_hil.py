"""
The floor of a latency test: an echo against a bare ping-pong, and what the other nodes add to it.

    python bench/bench_hil.py --blocks 5

In turn, at one rate: a bare rclpy ping-pong between two processes; the same ping against the echo
node alone; the echo in a whole run, with stimulus, supervisor, monitor and recorder, timed from
the bag, as it is and with SCHED_FIFO where the system grants it. Goals: echo over ping-pong at
most 1.3 at p50; the whole run over the echo alone at most 1.2 at p99.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

import _echo_ping
from _machine import machine, machine_line
import _pingpong
from _spread import ratio, shown, spread

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.graph import Device, GraphRun
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.records import LinkEvent, LinkKind
from wm_eval_ros.wire import topics

RATE_HZ = 100.0
#: the whole run once more with `realtime_priority`
FIFO = 'whole run, FIFO'
GOALS = {'echo / ping-pong': 1.3, 'whole run / echo': 1.2, f'{FIFO} / echo': 1.2}


def whole_run(seconds: float, folder: Path, *, priority: bool) -> list[float]:
    """Return the round trips of an echo in a whole run [ms], without those of its warm-up."""
    scenario = load_scenario(find_scenario('hil'), {
        'plant.time_limit_s': seconds, 'plant.observation_hz': RATE_HZ,
        'realtime_priority': priority})
    run = GraphRun(folder)
    run.execute(scenario, lambda said: None, None, Device(echo=''))
    sent: dict[int, int] = {}
    back: dict[int, int] = {}
    answer = '/' + topics.proposed(scenario.interface.command.topic)
    with open_bag(run.bag) as bag:
        for record in bag.records():
            if not isinstance(record, LinkEvent):
                continue
            ref = record.ref
            if record.kind is LinkKind.SENT and ref.topic == '/joint_states':
                sent[ref.stamp_ns] = ref.steady_ns
            elif record.kind is LinkKind.RECEIVED and ref.topic == answer:
                back.setdefault(ref.stamp_ns, ref.steady_ns)
    trips = [(back[stamp] - at) / 1e6 for stamp, at in sorted(sent.items()) if stamp in back]
    return trips[_pingpong.WARMUP:]


def measure(blocks: int, count: int) -> dict[str, Any]:
    """Run everything in turn."""
    found: dict[str, list[list[float]]] = {
        'ping-pong': [], 'echo': [], 'whole run': [], FIFO: []}
    lost = 0
    with tempfile.TemporaryDirectory() as scratch:
        for block in range(blocks):
            for name, one in (('ping-pong', _pingpong), ('echo', _echo_ping)):
                made = one.measure(RATE_HZ, count)
                found[name].append(made['round_trip_ms'])
                lost += made['lost']
            for name in ('whole run', FIFO):
                found[name].append(whole_run(count / RATE_HZ, Path(scratch) / f'{name} {block}',
                                             priority=name == FIFO))
            print(f'block {block + 1}/{blocks} done', file=sys.stderr)
    return {'round_trip_ms': {name: spread([x for b in series for x in b])
                              for name, series in found.items()},
            'lost': lost, 'goals': GOALS,
            'ratio': {'echo / ping-pong': ratio(found['echo'], found['ping-pong']),
                      'whole run / echo': ratio(found['whole run'], found['echo']),
                      f'{FIFO} / echo': ratio(found[FIFO], found['echo'])}}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--blocks', type=int, default=5, help='how often all is measured in turn')
    parser.add_argument('--count', type=int, default=1000, help='round trips a block')
    parser.add_argument('--quick', action='store_true', help='one short block: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.blocks, args.count = 1, 200
    facts = machine()
    result = measure(args.blocks, args.count)
    if args.json:
        print(json.dumps({'machine': facts, **result}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print(f'round trips at {RATE_HZ:g} Hz [ms], p50 [p10, p90]')
    for name, series in result['round_trip_ms'].items():
        print(f'  {name:15s} {shown(series)}')
    for name, r in result['ratio'].items():
        print(f'  {name}: p50 {r["p50"]:.2f} (blocks {r["low"]:.2f} to {r["high"]:.2f}), '
              f'p99 {r["p99"]:.2f}; goal {GOALS[name]:g}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
