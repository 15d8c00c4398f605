"""
Plans that return later than the deadline and one iteration, with a model made artificially slow.

    python bench/bench_deadline.py --plans 10000

Every imagined rollout sleeps 1 to 10 ms, one in twenty 60 to 200 ms: more than the whole deadline
of 50 ms. The clock is the real one. A planner may begin an iteration as long as the longest one of
the decision so far would fit; a plan that returns after the deadline plus its own last iteration
is a fault. How many returned after the deadline itself is shown beside: those are the cases of an
iteration that took longer than every one before it, the first among them.
"""

from __future__ import annotations

import argparse
import dataclasses
from importlib.metadata import entry_points
import json
import os
import sys
import time
from typing import Any

from _machine import machine, machine_line
import numpy as np
import torch

from wm_eval_ros import plugins
from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.planning.conformance import INTERFACE, PointModel, SETTINGS
from wm_eval_ros.planning.search import SearchPlanner
from wm_eval_ros.stats.proportion import clopper_pearson

GROUP = 'wm_eval_ros.planners'
DEADLINE_NS = 50_000_000
#: iterations that would fit if a rollout took no time
ITERATIONS = 1000


class SlowModel(PointModel):
    """The checker's point, whose rollouts take the time of a slow model."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self._rng = rng

    def rolled(self, z: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        slow = self._rng.random() < 0.05
        time.sleep(self._rng.uniform(0.06, 0.2) if slow else self._rng.uniform(0.001, 0.01))
        return super().rolled(z, actions)


def searches() -> list[str]:
    """Return the names of the planners that search a model."""
    found = []
    for point in sorted(entry_points(group=GROUP)):
        try:
            kind = point.load()
        except ModuleNotFoundError:
            continue
        if issubclass(kind, SearchPlanner):
            found.append(point.name)
    return found


def measure(name: str, plans: int, seed: int) -> dict[str, Any]:
    """Have one planner plan; return what came when [ms]."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    planner: Any = plugins.load(GROUP, name)(
        dataclasses.replace(SETTINGS, iterations=ITERATIONS), SlowModel(rng), INTERFACE)
    refine, ends = planner._refine, list[int]()

    def noted(*args: Any) -> None:
        refine(*args)
        ends.append(time.monotonic_ns())
    planner._refine = noted
    late, over, iterations = [], [], []
    bar = Progress(name, plans)
    for i in range(plans):
        latent = torch.tensor(rng.uniform(-1, 1, 2), dtype=torch.float32)
        ends.clear()
        begun = time.monotonic_ns()
        plan = planner.plan(latent, torch.zeros(2), begun + DEADLINE_NS)
        back = time.monotonic_ns()
        last = ends[-1] - ([begun, *ends][-2])
        late.append((back - begun - DEADLINE_NS) / 1e6)
        over.append((back - begun - DEADLINE_NS - last) / 1e6)
        iterations.append(plan.iterations)
        bar.update(i + 1)
    bar.close()
    return {'planner': name, 'n': plans, 'faults': int((np.array(over) > 0).sum()),
            'worst_ms': float(np.max(over)), 'after_deadline': int((np.array(late) > 0).sum()),
            'latest_ms': float(np.max(late)), 'iterations_p50': float(np.median(iterations))}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--plans', type=int, default=1000, help='over all planners')
    parser.add_argument('--planners', nargs='+', choices=searches(), default=searches())
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true', help='few plans: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    plans = 40 if args.quick else args.plans
    torch.set_num_threads(1)
    facts = machine()
    share, rest = divmod(plans, len(args.planners))
    rows = [measure(name, share + (i < rest), args.seed) for i, name in enumerate(args.planners)]
    if args.json:
        print(json.dumps({'machine': facts, 'runs': rows}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('planner           plans   later than deadline + one iteration   after the deadline   '
          'iterations p50')
    for r in rows:
        print(f'{r["planner"]:16s} {r["n"]:6d}   {r["faults"]:6d} (nearest {r["worst_ms"]:7.1f} '
              f'ms)          {r["after_deadline"]:6d} (by {r["latest_ms"]:.0f} ms)     '
              f'{r["iterations_p50"]:8.0f}')
    faults, n = sum(r['faults'] for r in rows), sum(r['n'] for r in rows)
    high = clopper_pearson(faults, n).high
    print(f'{faults} of {n} later than deadline + one iteration (95 % limit {high:.2g})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
