"""Options shared by the verbs that run a scenario."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import build
from wm_eval_ros.config.yaml_file import parse_yaml
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.plants.load import pinned

#: the largest DDS domain
MAX_DOMAIN = 232
#: of a setting so much is shown in an error [characters]
_SHOWN = 80


def add_overrides(
    parser: argparse.ArgumentParser, *, optional: bool = False,
    out: str = 'folder of the results; must be new or empty',
) -> None:
    """
    Declare the scenario and what can be laid over it.

    :param optional: the scenario may be left out
    :param out: help of ``--out``
    """
    parser.add_argument('scenario', help='scenario file, or the name of a shipped scenario',
                        nargs='?' if optional else None)
    parser.add_argument('--episodes', type=int, help='number of episodes')
    parser.add_argument('--seed', type=int, help='seed of the run; episode i resets with SEED + i')
    parser.add_argument('--clock', help='realtime, lockstep or free')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='any other setting by its dotted key, such as planner.samples=128')
    parser.add_argument('--out', type=Path, help=out)
    parser.add_argument('--domain', type=int,
                        help='DDS domain; left out: a free one, for a robot ROS_DOMAIN_ID')


def require_new(folder: Path) -> None:
    """
    Refuse a folder of results that would be mixed with what is there.

    :raises ConfigError: it is a file, or not empty
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f'{folder}: exists and is not empty; name another with --out')
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f'{folder}: is a file; name a folder with --out')


def scenario_of(
    args: argparse.Namespace, further: Mapping[str, object] = MappingProxyType({})
) -> Scenario:
    """
    Return the scenario the options describe.

    :param further: settings by dotted key, laid over those of the options
    """
    if args.domain is not None and not 0 <= args.domain <= MAX_DOMAIN:
        raise ConfigError(f'--domain {args.domain}: a DDS domain is 0 to {MAX_DOMAIN}')
    overrides: dict[str, object] = {
        key: value for key in ('episodes', 'seed', 'clock')
        if (value := getattr(args, key)) is not None}
    overrides.update(set_values(args.set))
    overrides.update(further)
    for section in ('planner', 'plant'):
        if f'{section}.model' in overrides:
            # the scenario pins the weights of its own model, not of another
            overrides.setdefault(f'{section}.model_sha256', '')
    scenario = load_scenario(find_scenario(args.scenario), overrides)
    asked = tuple(perturbation_of(text) for text in getattr(args, 'perturb', ()))
    return pinned(replace(scenario, perturbations=(*scenario.perturbations, *asked)))


def set_values(entries: Sequence[str]) -> dict[str, object]:
    """
    Return the values of ``--set KEY=VALUE`` by their keys; of two with one key the last.

    :raises ConfigError: not of the form, or a value that is not usable as YAML
    """
    found: dict[str, object] = {}
    for entry in entries:
        key, equals, text = entry.partition('=')
        if not equals:
            raise ConfigError(f'--set {entry[:_SHOWN]}: write KEY=VALUE')
        found[key] = yaml_value(text, f'--set {entry[:_SHOWN]}')
    return found


def perturbation_of(text: str) -> PerturbationSettings:
    """
    Read a perturbation as it is given on the command line.

    :raises ConfigError: not of the form, or a number out of its range

    >>> found = perturbation_of('sensor.bias:0.5:1.0')
    >>> found.name, found.severity, found.start_s, found.duration_s
    ('sensor.bias', 0.5, 1.0, 0.0)
    """
    name, *words = text.split(':')
    try:
        numbers = [float(word) for word in words]
        if not 1 <= len(numbers) <= 3:
            raise ValueError
    except ValueError:
        raise ConfigError(f'--perturb {text}: write NAME:SEVERITY[:START_S[:DURATION_S]], such '
                          'as sensor.bias:0.5:1.0:0.5') from None
    given = zip(('severity', 'start_s', 'duration_s'), numbers, strict=False)
    return build(PerturbationSettings, {'name': name, **dict(given)}, f'--perturb {name}')


def yaml_value(text: str, where: str) -> object:
    """
    Parse a value given on the command line.

    :raises ConfigError: not usable as YAML
    """
    return parse_yaml(text, where)
