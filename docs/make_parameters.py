"""
Write docs/parameters.md from the declarations in the code.

Usage, in the environment of `make setup`::

    .venv/bin/python docs/make_parameters.py            # writes the file
    .venv/bin/python docs/make_parameters.py --check    # exit code 1 where it is out of date
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
import dataclasses
from enum import Enum
from importlib import import_module
import inspect
import json
from pathlib import Path
import sys
import typing
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / 'docs' / 'parameters.md'
sys.path.insert(0, str(ROOT))

from build_support.manifest import console_scripts  # noqa: E402
from wm_eval_ros.config.schema import scalar_fields, to_plain  # noqa: E402

HEAD = """# Parameters

Written by `docs/make_parameters.py` from the settings classes, which also check the YAML files and
declare the ROS parameters. Do not edit by hand.

* Unknown keys and parameters, wrong types, numbers out of range and numbers that are not finite
  are refused with one line and exit code 2. A near miss is answered with "did you mean".
* *must* in the column of defaults: there is none.
* A setting of the scenario that a node declares as a parameter has the scenario's value as its
  default. A parameter given to a node acts on that node alone.
* All parameters are read at the start and read only from then on.
* `true` and `false`, lists and numbers are written as in YAML.
"""
NODES_HEAD = """## Parameters of the nodes

Given as `--ros-args -p NAME:=VALUE`, or in a parameter file. Every topic endpoint of a node but
what the recorder records also takes `qos_overrides.TOPIC.publisher.POLICY` and
`qos_overrides.TOPIC.subscription.POLICY`; TOPIC is the resolved name, POLICY `reliability`,
`depth` or `history`.
"""
SCENARIO_HEAD = """## Keys of a scenario

One YAML file, at most 1 MiB, without aliases and without duplicate keys. The shipped ones lie in
`config/scenarios`. `wm-eval run` lays `--set KEY=VALUE` over them, with dotted keys such as
`planner.samples`.
"""
OTHER_HEAD = """## Keys of a robot map

For `wm-eval openloop --map`; the shipped ones lie in `config/maps`. `interface` has the keys of
[a scenario's](#interface).
"""
RECIPE_HEAD = """## Keys of a training recipe

For `wm-eval train --recipe`; the shipped ones lie in `config/recipes`.
"""
CASE_HEAD = """## Keys of a retraining case

For `wm-eval retrain`; the shipped ones lie in `config/retraining`. `shift[]` has the keys of a
scenario's `perturbations[]`.
"""
LAUNCH_HEAD = """## Arguments of the launch files

`ros2 launch wm_eval_ros FILE NAME:=VALUE`.
"""


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description='Write docs/parameters.md.')
    parser.add_argument('--check', action='store_true', help='write nothing; 1: out of date')
    args = parser.parse_args()
    text = document()
    if args.check:
        same = TARGET.is_file() and TARGET.read_text(encoding='utf-8') == text
        print('up to date' if same else f'{TARGET}: out of date', file=sys.stderr)  # noqa: T201
        return 0 if same else 1
    TARGET.write_text(text, encoding='utf-8')
    return 0


def document() -> str:
    """Return the whole file."""
    from wm_eval_ros.config.interface import CommandStream, ImageStream, Interface, Stream
    from wm_eval_ros.config.perturbation import PerturbationSettings
    from wm_eval_ros.config.replay import ReplaySettings
    from wm_eval_ros.config.robot_map import Agreement, RobotMap
    from wm_eval_ros.config.scenario import (
        ConstraintTerm,
        ObjectiveTerm,
        PlannerSettings,
        PlantSettings,
        RecorderSettings,
        Scenario,
        SupervisorSettings,
    )
    from wm_eval_ros.config.supervisor import BrakeTerm, ReflexTerm, StateLimit
    from wm_eval_ros.training.case import Case
    from wm_eval_ros.training.continued import ContinueSettings
    from wm_eval_ros.training.recipe import Recipe, Round
    from wm_eval_ros.training.selection import MineSettings
    from wm_eval_ros.training.settings import TrainSettings
    scenario = {
        'scenario': Scenario, 'interface': Interface,
        'interface.observations[], interface.unseen[], interface.goal': Stream,
        'interface.images[], interface.goal_image': ImageStream,
        'interface.command': CommandStream, 'plant': PlantSettings, 'planner': PlannerSettings,
        'planner.objective[]': ObjectiveTerm, 'planner.constraints[]': ConstraintTerm,
        'perturbations[]': PerturbationSettings,
        'supervisor': SupervisorSettings,
        'supervisor.state_limits[]': StateLimit, 'supervisor.brake[]': BrakeTerm,
        'supervisor.reflex[]': ReflexTerm,
        'recorder': RecorderSettings, 'replay': ReplaySettings}
    recipe = {'recipe': Recipe, 'rounds[]': Round, 'train': TrainSettings}
    case = {'case': Case, 'case.mine': MineSettings, 'case.train': ContinueSettings}
    parts = [HEAD, NODES_HEAD, *node_parts(), SCENARIO_HEAD,
             *(section(name, cls) for name, cls in scenario.items()),
             OTHER_HEAD + '\n' + table(every(RobotMap)), section('agreement[]', Agreement),
             RECIPE_HEAD,
             *(section(name, cls) for name, cls in recipe.items()), CASE_HEAD,
             *(section(name, cls) for name, cls in case.items()), LAUNCH_HEAD, *launch_parts()]
    return '\n'.join(parts)


def section(name: str, cls: type) -> str:
    """Return one heading, the class's sentence, and the table of its settings."""
    return f'### {name}\n\n{sentence(cls)}\n\n{table(every(cls))}'


def node_parts() -> Iterator[str]:
    """Yield one section for what all nodes declare, and one for each node's own."""
    modules = {script: import_module(name) for script, (name, _) in console_scripts(ROOT).items()
               if name.startswith('wm_eval_ros.nodes.')}
    declared = {script: declared_classes(module) for script, module in modules.items()}
    common = [cls for cls in next(iter(declared.values()))
              if all(cls in classes for classes in declared.values() if classes)]
    yield '### every node\n'
    yield from (f'{sentence(cls)}\n\n{table(list(scalar_fields(cls)))}' for cls in common)
    for script, module in modules.items():
        yield f'### {script}\n\n{sentence(module)}\n'
        yield from (f'{sentence(cls)}\n\n{table(list(scalar_fields(cls)))}'
                    for cls in declared[script] if cls not in common)


def declared_classes(module: Any) -> list[type]:
    """Return what the module passes to `Parameters.declare`, in the order of its source."""
    found = [node.args[0] for node in ast.walk(ast.parse(inspect.getsource(module)))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
             and node.func.attr == 'declare' and node.args and isinstance(node.args[0], ast.Name)]
    return [getattr(module, name.id) for name in sorted(found, key=lambda name: name.lineno)]


def launch_parts() -> Iterator[str]:
    """Yield one section for each launch file, read from its source."""
    for path in sorted((ROOT / 'launch').glob('*.launch.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        rows = [['argument', 'default', 'meaning']]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == (
                    'DeclareLaunchArgument'):
                words = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
                default = words.get('default_value')
                rows.append([f'`{ast.literal_eval(node.args[0])}`',
                             'must' if default is None else shown(default),
                             cell(words.get('description', ''))])
        yield f'### {path.name}\n\n{ast.get_docstring(tree)}\n\n{grid(rows)}'


def every(cls: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return (field, type) of every setting of a class."""
    hints = typing.get_type_hints(cls)
    return [(f, hints[f.name]) for f in dataclasses.fields(cls)]


def table(fields: list[tuple[dataclasses.Field[Any], Any]]) -> str:
    """Return the table of some settings."""
    rows = [['name', 'type', 'default', 'range', 'unit', 'meaning']]
    for field, hint in fields:
        known = field.metadata
        rows.append([f'`{field.name}`', kind(hint), default_of(field, hint), range_of(known),
                     known.get('unit', ''), cell(known.get('doc', ''))])
    return grid(rows)


def grid(rows: list[list[str]]) -> str:
    """Return rows as a Markdown table."""
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join([lines[0], '|' + '---|' * len(rows[0]), *lines[1:], ''])


def default_of(field: dataclasses.Field[Any], hint: Any) -> str:
    """Return the default as it would be written."""
    if field.default is not dataclasses.MISSING:
        return '' if field.default is None else shown(to_plain(field.default))
    if field.default_factory is not dataclasses.MISSING:
        return 'see there' if dataclasses.is_dataclass(hint) else shown(
            to_plain(field.default_factory()))
    return 'must'


def shown(value: Any) -> str:
    """Return a plain value as code."""
    if isinstance(value, str):
        return f'`{value}`' if value else 'empty'
    return f'`{json.dumps(value)}`'


def range_of(known: Any) -> str:
    """Return the allowed values."""
    low, high = known.get('low'), known.get('high')
    if known.get('choices'):
        return ', '.join(f'`{choice}`' for choice in known['choices'])
    if low is None and high is None:
        return ''
    if high is None:
        return f'>= {low:g}'
    return f'{number(low)} to {number(high)}'


def number(value: float | None) -> str:
    """Return a bound; large ones as a power."""
    if value is None:
        return 'any'
    if value == 2**53:
        return '2^53'
    return f'{value:.10g}'


def kind(hint: Any) -> str:
    """Return a type in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return f'list of {kind(inner[0])}'
    if origin is dict:
        return 'mapping'
    if inner:
        return kind(next(a for a in inner if a is not type(None))) + ', or left out'
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ', '.join(f'`{m.value}`' for m in hint)
    if dataclasses.is_dataclass(hint):
        return 'section'
    return {bool: 'bool', int: 'int', float: 'float', str: 'string'}[hint]


def sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring."""
    return ' '.join((inspect.getdoc(thing) or '').split('\n\n')[0].split())


def cell(text: str) -> str:
    """Return text that a table can hold."""
    return ' '.join(text.split()).replace('|', '\\|')


if __name__ == '__main__':
    sys.exit(main())
