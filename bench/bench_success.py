"""
Success of learned model + CEM in realtime at a 50 ms deadline, beside planners without a model.

    python bench/bench_success.py --episodes 50

The starts vary: episode i resets with SEED + i, the same for every planner. The goal is the lower
Clopper-Pearson 95 % limit of success. Deadline misses are counted by schedule: a slot without a
command in [due, due + deadline] is one, whether or not the planner was called. The baselines run
in lockstep by default: they have no plan that could come late, and in realtime each of their lost
episodes takes its full time limit. `--baseline-clock realtime` runs them like the planner.
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
from _machine import machine, machine_line

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.cli.reading import score_bag
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.scorecard import Scorecard

TASKS = ('reacher', 'cartpole')
GOAL = 0.80
FIGURES = {'success': 'success_rate', 'worst_case': 'success_rate_worst_case',
           'misses': 'deadline_miss_rate', 'plan_p50_ms': 'plan_latency.p50',
           'plan_p99_ms': 'plan_latency.p99', 'time_s': 'time_to_success.median'}


def figure(value: MetricValue) -> dict[str, Any]:
    """Return a figure with its limits, or the reason why there is none."""
    found: dict[str, Any] = {'value': value.value, 'n': value.n}
    if value.interval is not None:
        found |= {'low': value.interval.low, 'high': value.interval.high}
    if value.value is None:
        found['why'] = value.why
    return found


def figures(card: Scorecard) -> dict[str, Any]:
    """Return the figures of one run."""
    return {name: figure(card[key]) for name, key in FIGURES.items()}


def run_case(task: str, planner: str, clock: str, episodes: int, seed: int,
             folder: Path) -> dict[str, Any]:
    """Run and score one planner; an empty name is the scenario's own."""
    chosen = _graph.scenario(task, planner, clock=clock, episodes=episodes, seed=seed,
                             planner__deadline_ms=50.0)
    ended = 0
    bar = Progress(f'{task} ({planner or chosen.planner.planner}, {clock})', episodes)

    def tell(said: dict[str, Any]) -> None:
        nonlocal ended
        ended += said.get('kind') in ('SUCCESS', 'FAILURE', 'TIMEOUT', 'ABORT')
        bar.update(ended)

    try:
        bag = _graph.run(chosen, folder, tell=tell)
    finally:
        bar.close()
    return {'task': task, 'planner': planner or chosen.planner.planner, 'clock': clock,
            'seed': seed, **figures(score_bag(bag))}


def measure(tasks: list[str], episodes: int, baseline_episodes: int, baseline_clock: str,
            seed: int) -> list[dict[str, Any]]:
    """Run every planner of every task."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for task in tasks:
            baselines = _graph.scenario(task).baselines
            for planner, clock, count in (
                    ('', 'realtime', episodes),
                    *((name, baseline_clock, baseline_episodes) for name in baselines)):
                folder = Path(scratch) / f'{task}_{planner}'
                rows.append(run_case(task, planner, clock, count, seed, folder))
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the result as lines."""
    lines = ['task      planner  clock      success [95 % limits]      n   misses [95 % limits]'
             '      plan p50, p99',
             f'the goal is a lower limit of at least {GOAL:g}']
    for r in rows:
        misses = limits(r['misses']) if r['clock'] == 'realtime' else 'no deadline in lockstep'
        plan = '' if r['clock'] != 'realtime' else (
            f'  {number(r["plan_p50_ms"])}, {number(r["plan_p99_ms"])} ms')
        lines.append(f'{r["task"]:9s} {r["planner"]:8s} {r["clock"]:9s}  '
                     f'{limits(r["success"]):24s} {r["success"]["n"]:3d}   {misses}{plan}')
    return lines


def limits(found: dict[str, Any]) -> str:
    """Return a share with its limits as text."""
    if found['value'] is None:
        return found['why']
    return f'{found["value"]:.4g} [{found["low"]:.3g}, {found["high"]:.3g}]'


def number(found: dict[str, Any]) -> str:
    """Return a figure as text."""
    return '-' if found['value'] is None else f'{found["value"]:.1f}'


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--episodes', type=int, default=50)
    parser.add_argument('--baseline-episodes', type=int, default=20)
    parser.add_argument('--baseline-clock', choices=('lockstep', 'realtime'), default='lockstep')
    parser.add_argument('--seed', type=int, default=1000)
    parser.add_argument('--quick', action='store_true', help='few episodes: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.tasks, args.episodes, args.baseline_episodes = ['reacher'], 3, 2
    facts = machine()
    rows = measure(args.tasks, args.episodes, args.baseline_episodes, args.baseline_clock,
                   args.seed)
    if args.json:
        print(json.dumps({'machine': facts, 'goal': GOAL, 'runs': rows}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('\n'.join(table(rows)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
