"""
Overhead of the whole graph, sense to command less plan, over the round trip of a bare ping-pong.

    python bench/bench_loop.py --blocks 3

Blocks of the graph on Reacher (planners noop and cem) and of the ping-pong follow each other in
turn. The goal is against the ping-pong paced at the loop's own 20 Hz, with the scheduling priority
that the nodes have; back to back it is faster, and shown too. What exactly is counted stands in
`_loop.py`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

import _graph
import _loop
from _machine import machine, machine_line
import _pingpong
from _spread import ratio, shown, spread

GOAL = 3.0
PLANNERS = ('noop', 'cem')


#: floors: rate [Hz], 0 is back to back; real-time priority; pings in units of `--pings`
FLOORS = {'paced': (20.0, False, 1), 'paced_fifo': (20.0, True, 1),
          'back_to_back': (0.0, False, 5)}


def loop_block(planner: str, episodes: int, folder: Path) -> _loop.Overheads:
    """Run the graph on Reacher once."""
    chosen = _graph.scenario('reacher', '' if planner == 'cem' else planner, episodes=episodes)
    bag = _graph.run(chosen, folder, note_arrivals=True)
    topic = f'/{chosen.interface.command.topic.lstrip("/")}'
    return _loop.bag_overheads(bag, _graph.arrivals(folder), topic)


def measure(blocks: int, episodes: int, pings: int) -> dict[str, Any]:
    """Run everything in turn."""
    loops: dict[str, list[_loop.Overheads]] = {planner: [] for planner in PLANNERS}
    floors: dict[str, list[list[float]]] = {
        name: [] for name, (_, fifo, _) in FLOORS.items() if not fifo or _pingpong.may_fifo()}
    lost, realtime = 0, False
    with tempfile.TemporaryDirectory() as scratch:
        for block in range(blocks):
            for planner in PLANNERS:
                folder = Path(scratch) / f'{planner}{block}'
                # an episode of noop lasts its whole 3 s, one of cem less than a third of it
                loops[planner].append(
                    loop_block(planner, episodes * (1 if planner == 'noop' else 3), folder))
                realtime = _graph.is_realtime(folder)
            for name in floors:
                rate_hz, fifo, share = FLOORS[name]
                found = _pingpong.measure(rate_hz, share * pings, fifo=fifo)
                floors[name].append(found['round_trip_ms'])
                lost += found['lost']
            print(f'block {block + 1}/{blocks} done', file=sys.stderr)
    return {
        'goal': GOAL, 'goal_floor': 'paced_fifo' if realtime else 'paced',
        'loop_ms': {p: {part: spread([x for o in loops[p] for x in getattr(o, part)])
                        for part in (*_loop.PARTS, 'total', 'bag', 'plan')} for p in PLANNERS},
        'unseen': {p: sum(o.unseen for o in loops[p]) for p in PLANNERS},
        'ping_pong_ms': {name: spread([x for b in series for x in b])
                         for name, series in floors.items()},
        'lost_pongs': lost,
        'ratio': {p: {name: ratio([o.total for o in loops[p]], series)
                      for name, series in floors.items()} for p in PLANNERS}}


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as lines."""
    lines = ['milliseconds, p50 [p10, p90]']
    for name, found in result['ping_pong_ms'].items():
        lines.append(f'  ping-pong {name:12s} {shown(found)}')
    for planner, parts in result['loop_ms'].items():
        for part, found in parts.items():
            lines.append(f'  loop {planner:4s} {part:12s} {shown(found)}')
        lines.append(f'  loop {planner:4s} commands the plant never saw: '
                     f'{result["unseen"][planner]}')
    lines.append(f'total / ping-pong: the goal is at most {result["goal"]:g} of '
                 f'{result["goal_floor"]}, the one with the rate and the priority of the nodes')
    for planner, by_floor in result['ratio'].items():
        for name, r in by_floor.items():
            if r['p50'] is not None:
                lines.append(f'  {planner:4s} / {name:12s} p50 {r["p50"]:.2f} (blocks '
                             f'{r["low"]:.2f} to {r["high"]:.2f}), p99 {r["p99"]:.2f}')
    return lines


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--blocks', type=int, default=3, help='how often all is measured in turn')
    parser.add_argument('--episodes', type=int, default=4, help='episodes of 3 s a block')
    parser.add_argument('--pings', type=int, default=200, help='paced pings a block')
    parser.add_argument('--quick', action='store_true', help='one short block: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.blocks, args.episodes, args.pings = 1, 2, 60
    facts = machine()
    result = measure(args.blocks, args.episodes, args.pings)
    if args.json:
        print(json.dumps({'machine': facts, **result}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('\n'.join(table(result)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
