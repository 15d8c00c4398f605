"""Options shared by the verbs that run a scenario."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.errors import ConfigError

#: the largest DDS domain
MAX_DOMAIN = 232


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario and what can be laid over it."""
    parser.add_argument('scenario', help='scenario file, or the name of a shipped scenario')
    parser.add_argument('--episodes', type=int, help='number of episodes')
    parser.add_argument('--seed', type=int, help='seed of the run; episode i resets with SEED + i')
    parser.add_argument('--clock', help='realtime, lockstep or free')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='any other setting by its dotted key, such as planner.samples=128')
    parser.add_argument('--out', type=Path, help='folder of the results; must be new or empty')
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


def scenario_of(args: argparse.Namespace) -> Scenario:
    """Return the scenario the options describe."""
    if args.domain is not None and not 0 <= args.domain <= MAX_DOMAIN:
        raise ConfigError(f'--domain {args.domain}: a DDS domain is 0 to {MAX_DOMAIN}')
    overrides: dict[str, object] = {
        key: value for key in ('episodes', 'seed', 'clock')
        if (value := getattr(args, key)) is not None}
    for entry in args.set:
        key, equals, text = entry.partition('=')
        if not equals:
            raise ConfigError(f'--set {entry}: write KEY=VALUE')
        overrides[key] = _value(text, entry)
    if 'planner.model' in overrides:
        # the scenario pins the weights of its own model, not of another
        overrides.setdefault('planner.model_sha256', '')
    return load_scenario(find_scenario(args.scenario), overrides)


def _value(text: str, entry: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f'--set {entry}: the value is not usable as YAML') from None
