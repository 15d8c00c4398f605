"""`wm-eval collect`: drive the plant with exploration and record bags to train on."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
import sys

import numpy as np

from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.cli.outputs import writing
from wm_eval_ros.cli.overrides import add_overrides, scenario_of
from wm_eval_ros.cli.run import check, default_folder, execute
from wm_eval_ros.config.scenario import PlannerSettings, Scenario
from wm_eval_ros.records import ClockMode

EXAMPLE = """example:
  wm-eval collect reacher --episodes 100 --seed 0 --out data/reacher
  wm-eval train data/reacher/bag --name reacher --out models/reacher
"""
#: commands take effect this long after the observation: what a planner will need [ms]
LATENCY_MS = (5.0, 40.0)
#: latencies drawn, then repeated
TRACE_LENGTH = 10_007


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser)
    parser.add_argument('--model', default='',
                        help='checkpoint whose planner drives a share of the time')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    args.clock = args.clock or ClockMode.LOCKSTEP.value
    scenario = scenario_of(args)
    folder = args.out or default_folder(f'collect_{scenario.name}')
    trace = folder / 'latency_ms.txt'
    explored = exploring(scenario, args.model, trace)
    # the trace is not there yet: it is written once nothing else is refused
    check(dataclasses.replace(explored, planner=dataclasses.replace(explored.planner,
                                                                    latency_trace='')))
    run = GraphRun(folder)
    write_trace(trace, scenario.seed)
    execute(run, explored, args.domain)
    if args.json:
        print(json.dumps({'bag': str(run.bag), 'episodes': scenario.episodes,
                          'seed': scenario.seed}))
    else:
        print(f'bag: {run.bag}', file=sys.stderr)
    return 0


def exploring(scenario: Scenario, model: str, trace: Path) -> Scenario:
    """Return the scenario driven by exploration, at the trace's latencies in lockstep."""
    planner: PlannerSettings = dataclasses.replace(
        scenario.planner, planner='explore', model=model, model_sha256='',
        latency_trace=str(trace.resolve()), record_rollout=False)
    return dataclasses.replace(scenario, planner=planner)


def write_trace(path: Path, seed: int) -> None:
    """
    Write latencies drawn uniformly; a function of the seed.

    :raises RecordingError: the file cannot be written
    """
    drawn = np.random.default_rng(seed).uniform(*LATENCY_MS, TRACE_LENGTH)
    with writing(path):
        path.write_text('\n'.join(f'{value:.3f}' for value in drawn) + '\n', encoding='utf-8')
