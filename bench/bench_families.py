"""
Success of every family of world models under the same planners, and of the oracle.

    python bench/bench_families.py --tasks reacher cartpole --planners cem --episodes 50

One data set a task, collected as the task's recipe says (with the family of the recipe in its
second round); every family is trained on it with the recipe's settings, and tried closed loop in
this process on the same starts. The command takes effect 15 ms after its slot begins, always, so
that the oracle, MuJoCo itself, knows when. What the oracle solves and a family does not is the
model's fault; what the oracle does not solve either, the planner's. Rows are told as they come.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
import sys
import time
from typing import Any

from _machine import machine, machine_line
import numpy as np
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.records import EventKind
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.recipe import load_recipe, RecipeRunner
from wm_eval_ros.training.settings import FAMILIES
from wm_eval_ros.training.simulate import rollout_episodes, Timing
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset

TASKS = ('reacher', 'cartpole', 'two_room', 'pusher')
ORACLE = 'oracle'
#: from the begin of a slot to its command's effect, as the scenarios declare it [ms]
LATENCY_MS = 15.0
#: seed of the first start
SEED = 8_000_000


def quiet(done: int, total: int, words: str) -> None:
    """Tell nothing."""


def fitted(family: str, data: Dataset, settings: Any) -> tuple[WorldModel, dict[str, Any]]:
    """Train a family; return the model and what is known of it."""
    begun = time.monotonic()
    result = train(data, replace(settings, family=family), family, quiet)
    return result.model, {'one_step_ratio': result.report['one_step_ratio'],
                          'error': result.report['rmse'][-1],
                          'persistence': result.report['persistence'][-1],
                          'train_s': time.monotonic() - begun}


def tried(scenario: Scenario, model: WorldModel, planner: str, episodes: int) -> dict[str, Any]:
    """Try a model under a planner."""
    settings = replace(scenario.planner, planner=planner, latency_ms=LATENCY_MS)
    plant = make_plant(scenario)
    made = plugins.load('wm_eval_ros.planners', planner)(settings, model, scenario.interface)
    latency_ns = round(LATENCY_MS * 1e6)
    timing = Timing(period_ns=round(settings.period_ms * 1e6),
                    latency_ns=(latency_ns, latency_ns),
                    limit_ns=round(scenario.plant.time_limit_s * 1e9))
    outcomes = rollout_episodes(plant, made, scenario.interface, range(SEED, SEED + episodes),
                                model=model, timing=timing)
    won = sum(o.kind is EventKind.SUCCESS for o in outcomes)
    found = clopper_pearson(won, episodes)
    plans = np.concatenate([o.plan_ns for o in outcomes]) / 1e6
    return {'task': scenario.name, 'planner': planner, 'won': won, 'n': episodes,
            'low': found.low, 'high': found.high, 'plan_p50_ms': float(np.median(plans))}


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    known = '' if 'error' not in row else (
        f'  error of 10 steps {row["error"]:.3f} (persistence {row["persistence"]:.3f}), '
        f'trained in {row["train_s"]:.0f} s')
    return (f'{row["task"]:9s} {row["family"]:12s} {row["planner"]:12s} {row["won"]:3d} of '
            f'{row["n"]:3d} [{row["low"]:.2f}, {row["high"]:.2f}]  plan {row["plan_p50_ms"]:6.1f} '
            f'ms{known}')


def measure(task: str, families: list[str], planners: list[str], episodes: int,
            steps: int | None) -> list[dict[str, Any]]:
    """Try all families on a task."""
    recipe = load_recipe(task)
    scenario = load_scenario(find_scenario(recipe.scenario))
    data = RecipeRunner(recipe).gather(task, lambda words: quiet)
    settings = recipe.train if steps is None else replace(recipe.train, steps=steps)
    rows = []
    for family in families:
        if family == ORACLE:
            declared = {'clock': 'lockstep', 'planner.model': ORACLE, 'planner.model_sha256': '',
                        'planner.latency_ms': LATENCY_MS}
            model, known = load_model(load_scenario(find_scenario(recipe.scenario), declared)), {}
        else:
            model, known = fitted(family, data, settings)
        for planner in planners:
            rows.append({'family': family, **tried(scenario, model, planner, episodes), **known})
            print(line(rows[-1]), flush=True)
    return rows


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--families', nargs='+', choices=(*FAMILIES, ORACLE),
                        default=[ORACLE, *FAMILIES])
    parser.add_argument('--planners', nargs='+', default=['cem', 'icem', 'mppi'])
    parser.add_argument('--episodes', type=int, default=50)
    parser.add_argument('--steps', type=int, help='gradient steps; default: those of the recipe')
    parser.add_argument('--json', metavar='FILE', help='write the rows there')
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = machine()
    rows = [row for task in args.tasks
            for row in measure(task, args.families, args.planners, args.episodes, args.steps)]
    print(machine_line(facts))
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump({'machine': facts, 'rows': rows}, file, indent=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
