"""
Success of every planner with the shipped checkpoints, at equal model evaluations.

    python bench/bench_planners.py --episodes 50 --rollouts 192

Closed loop in this process: the command of a slot takes effect 10 to 40 ms after the slot begins,
drawn anew for each slot. Every planner sees the same starts and latencies, with the scenario's own
objective, horizon and noise; only what decides the number of rollouts differs. An evaluation is
one imagined step of one candidate; one that a gradient is taken of counts twice, as the way back
costs what the way there costs. Planners that follow gradients are given fewer candidates for it.
"""

from __future__ import annotations

import argparse
import dataclasses
from importlib.metadata import entry_points
import json
import os
import sys
from typing import Any

from _machine import machine, machine_line
import numpy as np
import torch

from wm_eval_ros import plugins
from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.config.scenario import find_scenario, load_scenario, PlannerSettings, Scenario
from wm_eval_ros.models.load import load_model
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.records import EventKind
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.simulate import rollout_episodes, Timing

TASKS = ('reacher', 'cartpole', 'two_room')
PLANNERS = ('random_shooting', 'best_of_n', 'cem', 'icem', 'mppi', 'gradient', 'grad_mppi')
ITERATIONS = 3
#: candidates of the first iteration of `icem`, in those of all three (1 + 1/1.25 + 1/1.25^2)
ICEM_SHARE = 1 / 2.44


def sized(settings: PlannerSettings, planner: str, rollouts: int) -> PlannerSettings:
    """
    Return settings with which a decision costs so many rollouts.

    >>> base = PlannerSettings()
    >>> [sized(base, name, 192).samples for name in ('cem', 'icem', 'gradient', 'grad_mppi')]
    [64, 79, 8, 44]
    """
    each = rollouts // ITERATIONS
    changes: dict[str, Any] = {'planner': planner, 'iterations': ITERATIONS, 'samples': each}
    if planner == 'icem':
        changes |= {'samples': round(rollouts * ICEM_SHARE)}
    if planner == 'gradient':
        # one way there at the begin, then back and there again with every step
        starts = 8 if rollouts >= 96 else 4
        changes |= {'samples': starts,
                    'gradient_steps': max(1, round((rollouts / starts - 1) / 2 / ITERATIONS))}
    if planner == 'grad_mppi':
        elites, steps = (4, 2) if rollouts >= 96 else (2, 1)
        changes |= {'samples': each - elites * (1 + 2 * steps), 'elites': elites,
                    'gradient_steps': steps}
    changes.setdefault('elites', min(settings.elites, changes['samples']))
    return dataclasses.replace(settings, **changes)


class Meter:
    """Counts what a model is asked for."""

    def __init__(self, model: Any) -> None:
        self.steps = 0
        for name, weight in (('predict', 1), ('imagine', 1), ('rolled', 2),
                             ('rolled_with_uncertainty', 2)):
            if hasattr(model, name):
                setattr(model, name, self._counted(getattr(model, name), weight))

    def _counted(self, method: Any, weight: int) -> Any:
        def call(z: torch.Tensor, actions: torch.Tensor, **more: Any) -> Any:
            self.steps += weight * actions.shape[0] * actions.shape[1]
            return method(z, actions, **more)
        return call


def measure(scenario: Scenario, planner: str, rollouts: int, episodes: int, seed: int
            ) -> dict[str, Any]:
    """Try one planner on one task."""
    model = load_model(scenario)
    # `rolled` of an ensemble calls `rolled_with_uncertainty`: what is called first is counted
    if hasattr(model, 'rolled_with_uncertainty'):
        inner = type(model).rolled_with_uncertainty
        model.rolled = lambda z, actions: inner(model, z, actions)[0]  # type: ignore[attr-defined]
    settings = sized(scenario.planner, planner, rollouts)
    meter = Meter(model)
    made = plugins.load('wm_eval_ros.planners', planner)(settings, model, scenario.interface)
    plant = make_plant(scenario)
    timing = Timing(period_ns=round(settings.period_ms * 1e6),
                    latency_ns=(10_000_000, 40_000_000),
                    limit_ns=round(scenario.plant.time_limit_s * 1e9))
    bar = Progress(f'{scenario.name} ({planner})', episodes)
    outcomes = rollout_episodes(plant, made, scenario.interface, range(seed, seed + episodes),
                                model=model, timing=timing,
                                progress=lambda done, total, note: bar.update(done, note))
    bar.close()
    won = [o for o in outcomes if o.kind is EventKind.SUCCESS]
    found = clopper_pearson(len(won), episodes)
    plans = np.array([ns for o in outcomes for ns in o.plan_ns]) / 1e6
    return {'task': scenario.name, 'planner': planner, 'rollouts': rollouts, 'n': episodes,
            'seed': seed, 'success': found.value, 'low': found.low, 'high': found.high,
            'evaluations': meter.steps / len(plans) / settings.horizon,
            'slots_to_success': float(np.median([len(o.plan_ns) for o in won])) if won else None,
            'plan_p50_ms': float(np.median(plans)),
            'samples': settings.samples, 'gradient_steps': settings.gradient_steps}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the result as lines."""
    lines = ['task      planner          success [95 % limits]     n   slots to it   rollouts   '
             'plan p50']
    for r in rows:
        slots = '-' if r['slots_to_success'] is None else f'{r["slots_to_success"]:.0f}'
        lines.append(f'{r["task"]:9s} {r["planner"]:15s}  {r["success"]:.2f} [{r["low"]:.3f}, '
                     f'{r["high"]:.3f}]   {r["n"]:4d}  {slots:>12s}   {r["evaluations"]:8.0f}   '
                     f'{r["plan_p50_ms"]:6.1f} ms')
    return lines


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    known = sorted({point.name for point in entry_points(group='wm_eval_ros.planners')})
    parser.add_argument('--planners', nargs='+', choices=known, default=list(PLANNERS))
    parser.add_argument('--episodes', type=int, default=50)
    parser.add_argument('--rollouts', type=int, default=192,
                        help='rollouts a decision is given (192: 64 candidates x 3 iterations)')
    parser.add_argument('--seed', type=int, default=7000000)
    parser.add_argument('--quick', action='store_true', help='few episodes: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.tasks, args.episodes = ['reacher'], 2
    torch.set_num_threads(1)
    facts = machine()
    rows = []
    for task in args.tasks:
        scenario = load_scenario(find_scenario(task))
        rows += [measure(scenario, planner, args.rollouts, args.episodes, args.seed)
                 for planner in args.planners]
    if args.json:
        print(json.dumps({'machine': facts, 'runs': rows}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    print('\n'.join(table(rows)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
