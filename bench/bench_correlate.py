"""
Do planners rank alike in the dream and in the world: runs of the graph, correlated from bags.

    python bench/bench_correlate.py --out runs/correlate

Planners of graded quality run in lockstep with the declared latency on the same starts in the
simulator, in the dream of another model (trained here, from other starts and with another seed),
and in the dream of the planner's own model. Runs that are there are kept: a bench that was
interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

from _machine import machine, machine_line
import torch

from wm_eval_ros.cli.correlate import correlation_of
from wm_eval_ros.cli.sweep_runs import run_points, Wanted
from wm_eval_ros.cli.train import phase_progress
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.models.checkpoint import save_checkpoint, SPEC
from wm_eval_ros.plants.load import pinned
from wm_eval_ros.report.correlation import correlation_text
from wm_eval_ros.training.recipe import load_recipe, RecipeRunner
from wm_eval_ros.training.trainer import train

TASKS = ('reacher', 'cartpole')
GOAL = 0.9
_BLIND = {'planner.model': '', 'planner.model_sha256': ''}
#: name -> settings: planners from none at all to the scenario's own
GRADES: dict[str, dict[str, dict[str, Any]]] = {
    'reacher': {
        'noop': {'planner.planner': 'noop', **_BLIND},
        'random': {'planner.planner': 'random', **_BLIND},
        'cem_2x1': {'planner.samples': 2, 'planner.elites': 1, 'planner.iterations': 1},
        'cem_4x1': {'planner.samples': 4, 'planner.elites': 2, 'planner.iterations': 1},
        'cem_6x1': {'planner.samples': 6, 'planner.elites': 3, 'planner.iterations': 1},
        'cem_8x1': {'planner.samples': 8, 'planner.elites': 4, 'planner.iterations': 1},
        'cem_12x1': {'planner.samples': 12, 'planner.elites': 6, 'planner.iterations': 1},
        'shooting_8x1': {'planner.planner': 'random_shooting', 'planner.samples': 8,
                         'planner.iterations': 1},
        'cem_weak': {'planner.action_limit': 0.05, 'planner.noise_std': 0.02},
        'cem_h3': {'planner.samples': 16, 'planner.horizon': 3},
        'cem': {}},
    'cartpole': {
        'random': {'planner.planner': 'random', **_BLIND},
        'cem_4x1': {'planner.samples': 4, 'planner.elites': 2, 'planner.iterations': 1},
        'cem_6x1': {'planner.samples': 6, 'planner.elites': 3, 'planner.iterations': 1},
        'cem_8x1': {'planner.samples': 8, 'planner.elites': 4, 'planner.iterations': 1},
        'shooting': {'planner.planner': 'random_shooting'},
        'cem_h3': {'planner.horizon': 3},
        'cem_h6': {'planner.horizon': 6},
        'cem_h8': {'planner.horizon': 8},
        'cem_h10': {'planner.horizon': 10},
        'cem_weaker': {'planner.action_limit': 0.15},
        'cem_weak': {'planner.action_limit': 0.2},
        'cem': {}}}
#: the other model: how family, data and weights of the shipped recipe are varied
OTHER_FAMILY: dict[str, dict[str, Any]] = {
    'reacher': {'family': 'mlp', 'hidden': 128, 'steps': 4000}, 'cartpole': {'steps': 3000}}
OTHER_SEED, MORE_DATA = 600000, 2


def other_model(task: str, folder: Path) -> Path:
    """Train the model whose dream is not the planner's own: other starts, seed and family."""
    if not (folder / SPEC).is_file():
        recipe = load_recipe(task)
        rounds = tuple(replace(r, seed=r.seed + OTHER_SEED, episodes=MORE_DATA * r.episodes)
                       for r in recipe.rounds)
        recipe = replace(recipe, rounds=rounds,
                         train=replace(recipe.train, **OTHER_FAMILY[task], seed=1))
        data = RecipeRunner(recipe).gather(f'{task}_other', phase_progress)
        made = train(data, recipe.train, f'{task}_other', phase_progress('training')).model
        save_checkpoint(folder, made.spec, made.tensors)
    return folder


def scenario(task: str, grade: str, episodes: int, seed: int, world: dict[str, Any]) -> Scenario:
    """Return a planner's scenario in a world."""
    return load_scenario(find_scenario(task), {
        'clock': 'lockstep', 'episodes': episodes, 'seed': seed, 'baselines': [],
        **GRADES[task][grade], **world})


def measure(task: str, out: Path, episodes: int, seed: int, grades: list[str],
            keyframes: int) -> dict[str, Any]:
    """Run every planner in every world, and correlate the dreams with the world."""
    worlds: dict[str, dict[str, Any]] = {
        'world': {},
        'other': dreamed(task, str(other_model(task, out / 'models' / task))),
        'own': dreamed(task, task)}
    if keyframes:
        worlds['other_keyframes'] = {**worlds['other'], 'plant.keyframe_steps': keyframes}
    folders = {}
    for name, world in worlds.items():
        folders[name] = out / task / name
        run_points([Wanted(grade, f'{task} {name} {grade}', 'planner',
                           scenario(task, grade, episodes, seed, world)) for grade in grades],
                   folders[name], None)
    return {name: correlation_of([folders['world']], [folders[name]])
            for name in worlds if name != 'world'}


def dreamed(task: str, model: str) -> dict[str, Any]:
    """Return the settings of a dream."""
    bare = {'plant.kind': 'dream', 'plant.model': model}
    found = pinned(load_scenario(find_scenario(task), bare))
    return {**bare, 'plant.model_sha256': found.plant.model_sha256}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--episodes', type=int, default=30)
    parser.add_argument('--seed', type=int, default=1000)
    parser.add_argument('--keyframes', type=int, default=0,
                        help='also dream with key frames every so many steps; 0: not')
    parser.add_argument('--out', type=Path, help='folder of the runs; left out: a temporary one')
    parser.add_argument('--quick', action='store_true', help='few episodes: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    grades = {task: list(GRADES[task]) for task in args.tasks}
    if args.quick:
        args.tasks, args.episodes = ['reacher'], 3
        grades = {'reacher': list(GRADES['reacher'])[:5]}
    facts = machine()
    with tempfile.TemporaryDirectory() as scratch:
        found = {task: measure(task, args.out or Path(scratch), args.episodes, args.seed,
                               grades[task], args.keyframes) for task in args.tasks}
    if args.json:
        print(json.dumps({'machine': facts, 'goal': GOAL, 'tasks': {
            task: {name: each.to_dict() for name, each in dreams.items()}
            for task, dreams in found.items()}}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    for task, dreams in found.items():
        for name, each in dreams.items():
            print(f'\n{task}, dream of {name} model\n\n{correlation_text(each)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
