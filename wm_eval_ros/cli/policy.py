"""`wm-eval policy`: what each node of a scenario's run may say and hear, as an SROS 2 policy."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
import sys

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import EXIT_PASS, UnknownNameError
from wm_eval_ros.nodes.policy import enclave, policy_xml, rights
from wm_eval_ros.nodes.topic_list import (
    ACTUATOR,
    ALL_NODES,
    COMMAND_RELAY,
    PLAYER,
    SENSOR_RELAY,
)

EXAMPLE = """example:
  wm-eval policy reacher --out reacher.policy.xml
  ros2 security create_keystore keystore
  ros2 security generate_artifacts -k keystore -p reacher.policy.xml
"""
KNOWN = (*ALL_NODES, SENSOR_RELAY, COMMAND_RELAY, ACTUATOR, PLAYER)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('scenario', help='scenario file, or the name of a shipped scenario')
    parser.add_argument('--nodes', nargs='+', default=list(ALL_NODES), metavar='NODE',
                        help='nodes that take part; left out: those of a run in a simulator')
    parser.add_argument('--out', type=Path, help='file of the policy; left out: standard output')
    parser.add_argument('--json', action='store_true', help='print the rights as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    for node in args.nodes:
        if node not in KNOWN:
            raise UnknownNameError(f'--nodes: no node {node!r}{did_you_mean(node, KNOWN)}')
    scenario = load_scenario(find_scenario(args.scenario))
    text = policy_xml(scenario, args.nodes)
    if args.out is not None:
        write_files(args.out.parent, {args.out.name: text})
    if args.json:
        allowed = {enclave(node): asdict(r) for node, r in rights(scenario, args.nodes).items()}
        print(json.dumps(allowed, indent=1))
    elif args.out is None:
        sys.stdout.write(text)
    return EXIT_PASS
