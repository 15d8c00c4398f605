"""`wm-eval run`: start the nodes, record, score, print the scorecard."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import signal
import sys
import time
from typing import Any

from wm_eval_ros import plugins
from wm_eval_ros.cli.faults import require_processes
from wm_eval_ros.cli.gating import add_gates, conclude, judge, profile_of, require_conditions
from wm_eval_ros.cli.graph import Device, GraphRun, HERE
from wm_eval_ros.cli.outputs import print_result, write
from wm_eval_ros.cli.overrides import add_overrides, scenario_of
from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.cli.reading import read, score_bag
from wm_eval_ros.cli.until_decided import add_until_decided, refuse_stray, run_until_decided
from wm_eval_ros.config.scenario import Scenario, with_planner
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import EXIT_PASS, UnknownNameError
from wm_eval_ros.nodes.perturber import channels
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.host import Host
from wm_eval_ros.perturb.injector import Injector
from wm_eval_ros.records import EventKind, TERMINAL

EXAMPLE = """example:
  wm-eval run reacher --episodes 20 --baselines --out runs/reacher
  wm-eval run reacher --clock lockstep --perturb physical.payload:0.5
  wm-eval run reacher --until-decided --against-set planner.samples=16 --max-episodes 100
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser)
    parser.add_argument('--perturb', action='append', default=[],
                        metavar='NAME:SEVERITY[:START_S[:DURATION_S]]',
                        help="a perturbation beside the scenario's; may be given more than once")
    parser.add_argument('--baselines', action='store_true',
                        help="also run the scenario's baselines, on the same starts")
    parser.add_argument('--replay', type=Path, metavar='BAG',
                        help='play the sensors of a bag in the place of the robot (plant.kind '
                             'hardware); the run ends with the bag')
    add_gates(parser)
    add_until_decided(parser)
    parser.add_argument('--json', action='store_true',
                        help='print the scorecard, or the comparison, as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    refuse_stray(args)
    if args.until_decided:
        return run_until_decided(args)
    scenario, profile = scenario_of(args, replay(args)), profile_of(args)
    if profile is not None:
        require_conditions(profile, scenario)
    baselines = scenario.baselines if args.baselines else ()
    check(scenario, baselines)
    folder = args.out or default_folder(scenario.name)
    execute(GraphRun(folder), scenario, args.domain)
    cards = []
    for name in baselines:
        run = GraphRun(folder / 'baselines' / name)
        execute(run, with_planner(scenario, name), args.domain)
        cards.append(score_bag(run.bag))
    found = read(folder / 'bag')
    code = EXIT_PASS
    if profile is None:
        print_result(found.card, as_json=args.json)
    else:
        found, report = judge(found, profile)
        code = conclude(found, report, folder / 'score', as_json=args.json)
    written = write(found, folder / 'score', cards)
    print('\n'.join([f'bag: {folder / "bag"}', *(f'written: {path}' for path in written)]),
          file=sys.stderr)
    return code


def replay(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings, by dotted key, that ``--replay`` stands for."""
    return {} if args.replay is None else {'replay.bag': str(args.replay)}


def check(scenario: Scenario, baselines: Sequence[str] = ()) -> None:
    """
    Refuse what a node would refuse, before anything is started or written.

    :raises WmEvalError: the first that would be refused
    """
    check_names(scenario, baselines)
    check_planners(scenario, baselines)
    check_plant(scenario)
    check_replay(scenario)
    check_seal(scenario)


def check_names(scenario: Scenario, baselines: Sequence[str] = ()) -> None:
    """
    Refuse plug-ins nobody registered, and settings that a planner cannot search by.

    :raises UnknownNameError: naming the key and what is known
    :raises ConfigError: a perturbation with parameters or topics that it does not have, or
        settings of a planner that contradict each other
    """
    from wm_eval_ros.planning.load import check_settings
    asked = [('plant.kind', 'wm_eval_ros.plants', scenario.plant.kind),
             ('planner.planner', 'wm_eval_ros.planners', scenario.planner.planner),
             *(('baselines', 'wm_eval_ros.planners', name) for name in baselines)]
    for key, group, name in asked:
        if name not in (known := plugins.names(group)):
            raise UnknownNameError(f'{key}: no {name!r}{did_you_mean(name, known)}')
    for planner in (scenario, *(with_planner(scenario, name) for name in baselines)):
        check_settings(planner.planner)
    for each in scenario.perturbations:
        catalogue.check(each.name, each.parameters)
    require_processes(scenario)
    if scenario.plant.kind != 'hardware':
        # that of a robot is the relay's affair
        Injector(scenario.perturbations, Host(channels(scenario)))


def check_planners(scenario: Scenario, baselines: Sequence[str] = ()) -> None:
    """
    Make planners and detectors as their node will: what it would refuse is refused at once.

    :raises WmEvalError: the model or planner that cannot be made, the trace of latencies that
        cannot be read, the calibration that is not for this run
    """
    from wm_eval_ros.models.load import load_model
    from wm_eval_ros.planning.charge import read_trace
    from wm_eval_ros.planning.load import make_planner
    from wm_eval_ros.surprise.assemble import detector_of
    for each in (scenario, *(with_planner(scenario, name) for name in baselines)):
        settings = each.planner
        model = load_model(each) if settings.model else None
        make_planner(settings, model, each.interface)
        if settings.latency_trace:
            read_trace(Path(settings.latency_trace))
        detector_of(each, '' if model is None else model.spec.sha256)


def check_plant(scenario: Scenario) -> None:
    """
    Make the plant as its node will, and let go of it: what it would refuse is refused at once.

    A robot is not touched.

    :raises WmEvalError: there is no such task, or the model of a dream cannot be its world
    """
    if scenario.plant.kind != 'hardware':
        from wm_eval_ros.plants.load import make_plant
        close = getattr(make_plant(scenario), 'close', None)
        if close is not None:
            close()


def check_replay(scenario: Scenario) -> None:
    """
    Open the bag that is to be played, where one is: what the player would refuse is refused.

    :raises BagError: it cannot be read, or lacks what the model sees
    :raises ConfigError: the model sees a topic of commands
    """
    if scenario.replay.bag:
        from wm_eval_ros.bag.playback import absolute, sensor_topics
        from wm_eval_ros.bag.reader import open_bag
        with open_bag(scenario.replay.bag) as bag:
            sensor_topics(scenario.interface, bag.topics, absolute)


def check_seal(scenario: Scenario) -> None:
    """
    Begin the audit trail as the recorder will: a key that it would refuse is refused at once.

    :raises ConfigError: a key, and nothing to sign
    :raises SecurityError: the key cannot be used
    :raises MissingExtraError: a key, and `cryptography` is not installed
    """
    from wm_eval_ros.audit.seal import seal_of
    settings = scenario.recorder
    seal_of(Path(), audit=settings.audit, signing_key=settings.signing_key)


def default_folder(name: str) -> Path:
    """Return a new folder's name for a run."""
    return Path('runs') / f'{name}_{time.strftime("%Y%m%d_%H%M%S")}'


def execute(run: GraphRun, scenario: Scenario, domain: int | None, device: Device = HERE
            ) -> None:
    """Run one scenario with a progress bar over its episodes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bar = Progress(f'{scenario.name} ({scenario.planner.planner})', scenario.episodes)
    outcomes: dict[str, int] = {}
    unsupported: set[str] = set()

    def tell(said: dict[str, Any]) -> None:
        kind = said.get('kind', '')
        if kind == EventKind.PERTURB_SKIPPED.name and ': unsupported: ' in said['label']:
            unsupported.add(said['label'])
        if kind in {k.name for k in TERMINAL}:
            outcomes[kind] = outcomes.get(kind, 0) + 1
        note = ' '.join(f'{k.lower()} {n}' for k, n in sorted(outcomes.items()))
        bar.update(sum(outcomes.values()), note)

    try:
        run.execute(scenario, tell, domain, device)
    finally:
        bar.close()
    for label in sorted(unsupported):
        print(f'perturbation {label}', file=sys.stderr)
