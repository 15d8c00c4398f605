"""
Real-time factor of lockstep: task time over wall time, on all tasks.

    python bench/bench_lockstep.py --repeats 3

CEM plans where a checkpoint ships, random commands elsewhere, and random everywhere beside it: the
graph without a plan. Repeats of all tasks follow each other in turn. Below the factor stands where
the wall time of a slot goes: the planner's CPU time of the decision, and the rest, which is five
processes handing the slot on.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

import _graph
import _lockstep
from _machine import machine, machine_line
from _spread import shown, spread

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.records import CycleRecord

TASKS = ('reacher', 'cartpole', 'pusher', 'two_room')
GOAL = 1.0


def cases(tasks: tuple[str, ...] = TASKS) -> list[tuple[str, str]]:
    """Return task and planner of every case; an empty planner is the scenario's own."""
    return [(task, planner) for task in tasks
            for planner in (('', 'random') if _graph.has_checkpoint(task) else ('random',))]


def one(task: str, planner: str, limit_s: float, folder: Path) -> dict[str, Any]:
    """Run two episodes, at most `limit_s` of task time each."""
    clock = _lockstep.EpisodeClock()
    chosen = _graph.scenario(task, planner, clock='lockstep', episodes=2,
                             plant__time_limit_s=limit_s)
    bag_path = _graph.run(chosen, folder,
                          tell=lambda said: clock.tell(said, time.monotonic()))
    with open_bag(bag_path) as bag:
        cycles = [r for r in bag.records() if isinstance(r, CycleRecord)]
    slots = sum(task_s for task_s, _ in clock.spans) * 1e3 / chosen.planner.period_ms
    return {'factors': clock.factors, 'overall': clock.overall,
            'wall_ms_per_slot': sum(wall for _, wall in clock.spans) * 1e3 / slots,
            'cpu_ms': _lockstep.planner_cpu_ms(cycles)}


def measure(repeats: int, limit_s: float) -> list[dict[str, Any]]:
    """Run all cases in turn."""
    chosen = cases()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {case: [] for case in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(repeats):
            for task, planner in chosen:
                folder = Path(scratch) / f'{task}_{planner}_{repeat}'
                found[task, planner].append(one(task, planner, limit_s, folder))
            print(f'repeat {repeat + 1}/{repeats} done', file=sys.stderr)
    return [{'task': task, 'planner': planner or 'cem', 'goal': GOAL,
             'factor': spread([f for run in runs for f in run['factors']]),
             'slowest_run': min(run['overall'] for run in runs),
             'wall_ms_per_slot': spread([run['wall_ms_per_slot'] for run in runs]),
             'planner_cpu_ms': spread([x for run in runs for x in run['cpu_ms']])}
            for (task, planner), runs in found.items()]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the result as lines."""
    lines = [f'task time / wall time, one an episode: p50 [p10, p90]; the goal is above {GOAL:g}']
    for r in rows:
        lines += [f'{r["task"]:9s} {r["planner"]:7s} {shown(r["factor"], "x")}, '
                  f'slowest run {r["slowest_run"]:.2f}',
                  f'    a slot takes {r["wall_ms_per_slot"]["p50"]:.1f} ms of wall time; '
                  f'the decision {r["planner_cpu_ms"]["p50"]:.1f} ms of CPU']
    return lines


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--limit-s', type=float, default=4.0, help='task time of an episode')
    parser.add_argument('--quick', action='store_true', help='one short repeat: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.limit_s = 1, 1.0
    facts = machine()
    rows = measure(args.repeats, args.limit_s)
    if args.json:
        print(json.dumps({'machine': facts, 'cases': rows}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('\n'.join(table(rows)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
