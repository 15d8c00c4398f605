"""`wm-eval list`: what there is to choose from."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json

from wm_eval_ros import plugins
from wm_eval_ros.config.gate import load_gates, shipped_gates
from wm_eval_ros.config.scenario import config_folder, load_scenario, SCENARIO_FOLDER
from wm_eval_ros.errors import WmEvalError

EXAMPLE = """example:
  wm-eval list --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('--json', action='store_true', help='print as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    kinds: dict[str, Callable[[], dict[str, str]]] = {
        'scenarios': _scenarios, 'tasks': _tasks, 'checkpoints': _checkpoints,
        'planners': lambda: _plugins('wm_eval_ros.planners'),
        'model families': lambda: _plugins('wm_eval_ros.world_models'),
        'plants': lambda: _plugins('wm_eval_ros.plants'), 'perturbations': _perturbations,
        'gate profiles': _gates,
    }
    found = {kind: make() for kind, make in kinds.items()}
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for kind, entries in found.items():
        print(kind)
        width = max((len(name) for name in entries), default=0)
        for name, about in entries.items():
            print(f'  {name:<{width}}  {about}'.rstrip())
    return 0


def _scenarios() -> dict[str, str]:
    listed = {}
    for path in sorted((config_folder() / SCENARIO_FOLDER).glob('*.yaml')):
        try:
            listed[path.stem] = load_scenario(path).description
        except WmEvalError as error:
            listed[path.stem] = f'not usable: {error}'
    return listed


def _gates() -> dict[str, str]:
    listed = {}
    for path in shipped_gates():
        try:
            listed[path.stem] = load_gates(str(path)).description
        except WmEvalError as error:
            listed[path.stem] = f'not usable: {error}'
    return listed


def _tasks() -> dict[str, str]:
    try:
        from wm_eval_ros.plants.tasks import task_names
    except ModuleNotFoundError as error:
        return {'(none)': f"needs {error.name}: pip install 'wm_eval_ros[sim]'"}
    return dict.fromkeys(task_names(), '')


def _checkpoints() -> dict[str, str]:
    try:
        from wm_eval_ros.models.checkpoint import find_checkpoint, load_spec, shipped_checkpoints
    except ModuleNotFoundError as error:
        return {'(none)': f"needs {error.name}: pip install 'wm_eval_ros[learn]'"}
    listed = {}
    for name in shipped_checkpoints():
        spec = load_spec(find_checkpoint(name))
        listed[name] = f'{spec.family} {spec.version}, sha256 {spec.sha256[:12]}'
    return listed


def _perturbations() -> dict[str, str]:
    from wm_eval_ros.perturb import catalogue
    listed = {}
    for name in catalogue.names():
        try:
            listed[name] = catalogue.summary(name)
        except WmEvalError as error:
            listed[name] = f'not usable: {error}'
    return listed


def _plugins(group: str) -> dict[str, str]:
    return dict.fromkeys(plugins.names(group), '')
