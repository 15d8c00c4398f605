"""
What the families of world models differ in: a cue of the first slot, needed T slots later.

    python bench/bench_memory.py --waits 5 10 20 40 --episodes 100

Every family is trained on the same episodes of random commands in the world of `_recall.py`, one
model for each T, and then tried closed loop under the cross-entropy method, in process, each slot
with a latency of its own. Success is shown with its Clopper-Pearson 95 % interval over the trial
episodes: it is that of the very models trained here, not of others by another seed. Who remembers
nothing wins half of the episodes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
import json
import os
import sys
import time
from typing import Any

from _machine import machine, machine_line
from _recall import AFTER, FREE, INTERFACE, PERIOD_NS, PLANNER, RecallPlant
import torch

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.planning.baselines import RandomPlanner
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.records import EventKind
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.simulate import rollout_episodes, Timing, to_dataset
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset

#: seeds of trial episodes begin here: none is trained on
TRIALS = 1_000_000


@dataclass(frozen=True)
class Case:
    """A family as it is tried."""

    name: str
    family: str
    #: settings laid over the common ones
    changes: dict[str, Any]
    #: steps a transformer looks back on beyond T; None: as in `changes`
    beyond: int | None = None

    def settings(self, wait: int, steps: int, seed: int) -> TrainSettings:
        """Return how it is trained for a wait."""
        found = TrainSettings(family=self.family, steps=steps, seed=seed, batch=64, hidden=64,
                              context=wait + 1, unroll=FREE + AFTER, patience=20,
                              horizon=FREE, **self.changes)
        if self.beyond is not None:
            found = replace(found, memory=wait + self.beyond)
        return found


CASES = {case.name: case for case in (
    Case('mlp', 'mlp', {}),
    Case('ensemble', 'ensemble', {'members': 3}),
    Case('rssm', 'rssm', {}),
    Case('ssm', 'ssm', {}),
    Case('transformer-8', 'transformer', {'memory': 8}),
    Case('transformer', 'transformer', {}, beyond=FREE),
)}


def timing(plant: RecallPlant) -> Timing:
    """Return when things happen in a slot."""
    return Timing(period_ns=PERIOD_NS, limit_ns=plant.limit_ns)


def collect(wait: int, episodes: int, seed: int) -> Dataset:
    """Return episodes of random commands."""
    plant = RecallPlant(wait)
    outcomes = rollout_episodes(plant, RandomPlanner(PLANNER, None, INTERFACE), INTERFACE,
                                range(seed, seed + episodes), timing=timing(plant))
    return to_dataset(outcomes, INTERFACE, timing(plant), 'random commands')


def attempt(case: Case, wait: int, data: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    """Train one model and try it."""
    bar = Progress(f'{case.name}, T = {wait}: training', args.steps)
    try:
        result = train(data, case.settings(wait, args.steps, args.seed), case.name,
                       lambda done, total, words: bar.update(done))
    finally:
        bar.close()
    plant = RecallPlant(wait)
    begun = time.monotonic()
    outcomes = rollout_episodes(
        plant, CemPlanner(PLANNER, result.model, INTERFACE), INTERFACE,
        range(TRIALS, TRIALS + args.episodes), model=result.model, timing=timing(plant))
    won = sum(o.kind is EventKind.SUCCESS for o in outcomes)
    share = clopper_pearson(won, len(outcomes))
    plans = sorted(ns for o in outcomes for ns in o.plan_ns)
    print(f'{case.name}, T = {wait}: {won} of {len(outcomes)} won', file=sys.stderr)
    return {'case': case.name, 'wait': wait, 'won': won, 'n': len(outcomes),
            'success': share.value, 'low': share.low, 'high': share.high,
            'train_s': result.seconds, 'train_steps': result.steps,
            'trial_s': time.monotonic() - begun, 'plan_p50_ms': plans[len(plans) // 2] / 1e6,
            'rmse': result.report['rmse']}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return success by case and T as a table in Markdown."""
    waits = sorted({r['wait'] for r in rows})
    lines = ['| family | ' + ' | '.join(f'T = {w}' for w in waits) + ' |',
             '|---' * (len(waits) + 1) + '|']
    for name in dict.fromkeys(r['case'] for r in rows):
        found = {r['wait']: r for r in rows if r['case'] == name}
        cells = [shown(found[w]) if w in found else '' for w in waits]
        lines.append(f'| `{name}` | ' + ' | '.join(cells) + ' |')
    return lines


def shown(row: dict[str, Any]) -> str:
    """Return a share with its interval."""
    return f'{row["success"]:.2f} [{row["low"]:.2f}, {row["high"]:.2f}]'


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments; None: those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--families', nargs='+', choices=sorted(CASES), default=list(CASES))
    parser.add_argument('--waits', nargs='+', type=int, default=[10, 40], metavar='T')
    parser.add_argument('--episodes', type=int, default=100, help='trial episodes')
    parser.add_argument('--train-episodes', type=int, default=400)
    parser.add_argument('--steps', type=int, default=600, help='gradient steps')
    parser.add_argument('--seed', type=int, default=0, help='of training and its episodes')
    parser.add_argument('--quick', action='store_true', help='few episodes: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args(words)
    if args.quick:
        args.waits, args.episodes, args.train_episodes, args.steps = [2], 5, 40, 20
    return args


def main() -> int:
    """Run the bench."""
    args = parsed()
    torch.set_num_threads(1)
    facts, rows = machine(), []
    for wait in args.waits:
        data = collect(wait, args.train_episodes, args.seed)
        rows += [attempt(CASES[name], wait, data, args) for name in args.families]
    if args.json:
        print(json.dumps({'machine': facts, 'settings': vars(args), 'runs': rows}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print(f'{args.train_episodes} training episodes, {args.steps} steps, {args.episodes} trials')
    print('\n'.join(table(rows)))
    print(f'training {sum(r["train_s"] for r in rows):.0f} s, '
          f'trials {sum(r["trial_s"] for r in rows):.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
