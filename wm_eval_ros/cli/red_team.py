"""`wm-eval red-team`: the mildest perturbation that breaks the task, searched and confirmed."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.cli.overrides import add_overrides, scenario_of
from wm_eval_ros.errors import ConfigError, EXIT_INCONCLUSIVE, EXIT_PASS
from wm_eval_ros.records import ClockMode

if TYPE_CHECKING:
    from wm_eval_ros.cli.red_team_search import Plan, Run, Search
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.perturb.attack import Attack
    from wm_eval_ros.scoring.red_team import RedTeam, Successes

EXAMPLE = """example:
  wm-eval red-team reacher --perturbation physical.payload --budget 24 --out runs/red
  wm-eval red-team reacher --perturbation sensor.bias --perturbation physical.damping \\
    --over severity,duration
  wm-eval run runs/red/broken.yaml --out runs/broken

run again with the same --out to go on where it was interrupted.
exit: 0 a breaking perturbation was found and confirmed on fresh starts, 3 none was, 2 bad input,
4 a node died, 74 a result could not be written."""
#: what programs read, and a scenario that shows the winner
RESULT_FILE, SCENARIO_FILE = 'red_team.json', 'broken.yaml'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    add_overrides(parser, out='folder of the results; finished runs in it are kept')
    parser.add_argument('--perturbation', action='append', default=[], metavar='NAME',
                        help="perturbation to search over; several act at once; left out: all of "
                             "the scenario's")
    parser.add_argument('--over', default='severity,onset,duration', metavar='WHAT,...',
                        help='what of each is searched: severity, onset, duration')
    parser.add_argument('--range', action='append', default=[], metavar='NAME.PARAMETER=LOW:HIGH',
                        help="a parameter of a perturbation's own that is searched too")
    parser.add_argument('--budget', type=int, default=24,
                        help='sets of perturbations that are run at most')
    parser.add_argument('--bound', type=float, default=0.5,
                        help='success at which the task counts as broken, at most')
    parser.add_argument('--alpha', type=float, default=0.05,
                        help='level at which the fall of success must be significant')
    parser.add_argument('--confirm-episodes', type=int, default=0,
                        help='fresh starts of a confirmation; 0: twice the episodes')
    parser.add_argument('--confirmations', type=int, default=3,
                        help='how many of the mildest are confirmed at most, until one holds')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.cli.red_team_search import Search
    from wm_eval_ros.cli.run import check_names, check_planners, default_folder
    scenario = _scenario(args)
    check_names(scenario)
    check_planners(scenario)
    attack, nominal = _attack(args, scenario)
    plan = _plan(args, scenario)
    _require_supported(nominal, attack)
    folder: Path = args.out or default_folder(f'red_team_{scenario.name}')
    _require_own(folder)
    search = Search(nominal, attack, plan, graph_run(folder, args.domain))
    found = search.result()
    written = _write(found, search, folder)
    from wm_eval_ros.cli.red_team_output import table
    sys.stdout.write(found.to_json() if args.json else table(found))
    print(f'written: {", ".join(str(p) for p in written)}', file=sys.stderr)
    return EXIT_INCONCLUSIVE if found.confirmed is None else EXIT_PASS


def graph_run(folder: Path, domain: int | None) -> Run:
    """Return what runs a scenario on the graph below a folder, or reads the finished run."""
    from wm_eval_ros.cli.graph import GraphRun
    from wm_eval_ros.cli.reading import score_bag
    from wm_eval_ros.cli.run import execute
    from wm_eval_ros.cli.sweep_runs import finished, set_aside

    def run(scenario: Scenario, label: str) -> Successes:
        card = finished(folder / label, scenario)
        if card is None:
            set_aside(folder / label)
            graph = GraphRun(folder / label)
            execute(graph, scenario, domain)
            card = score_bag(graph.bag)
        _require_applied(folder / label / 'bag')
        return {e.seed: e.outcome == 'success' for e in card.episodes
                if e.decided and e.seed is not None and not e.solved_at_start}

    return run


def _require_supported(scenario: Scenario, attack: Attack) -> None:
    """
    Refuse what the plant does not support before anything is run: one in this process is asked.

    :raises ConfigError: a perturbation that it does not support, or a topic that is none
    """
    from wm_eval_ros.nodes.perturber import Perturber
    from wm_eval_ros.perturb.injector import Change, Outcome
    from wm_eval_ros.plants.load import make_plant
    strongest = tuple(replace(each, start_s=0.0, start_to_s=-1.0, probability=1.0)
                      for each in attack.settings(attack.strongest))
    plant = make_plant(scenario)
    plant.reset(scenario.seed)
    told: list[Change] = []
    perturber = Perturber(replace(scenario, perturbations=strongest), plant, told.append,
                          lambda apart: None, process_faults=True)
    perturber.begin(scenario.seed)
    perturber.step()
    for change in told:
        if change.outcome is Outcome.UNSUPPORTED:
            raise _unsupported(change.label)


def _unsupported(label: str) -> ConfigError:
    return ConfigError(f'--perturbation {label}; name another, or another --clock')


def _require_applied(bag_folder: Path) -> None:
    """
    Refuse to call a task robust against what was never done to it.

    :raises ConfigError: a perturbation is not supported
    """
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.records import EventKind
    from wm_eval_ros.wire import codec
    from wm_eval_ros.wire.topics import EPISODE_EVENT, TYPES
    with open_bag(bag_folder) as bag:
        named = [t for t, kind in bag.topics.items() if kind == TYPES[EPISODE_EVENT]]
        for _, message in bag.decoded(named):
            event = codec.event_from_msg(message)
            if event.kind is EventKind.PERTURB_SKIPPED and ': unsupported: ' in event.label:
                raise _unsupported(event.label)


def _scenario(args: argparse.Namespace) -> Scenario:
    scenario = scenario_of(args, {} if args.clock else {'clock': ClockMode.LOCKSTEP.value})
    if scenario.plant.kind == 'hardware':
        raise ConfigError('plant.kind: hardware; a robot is not broken on purpose, search in a '
                          'simulator and try the winner')
    planner = scenario.planner
    if (scenario.clock is ClockMode.LOCKSTEP and planner.latency_ms < 0
            and not planner.latency_trace):
        raise ConfigError('planner.latency_ms: -1 charges what was measured, and no run would be '
                          'repeatable; add --set planner.latency_ms=15')
    return scenario


def _attack(args: argparse.Namespace, scenario: Scenario) -> tuple[Attack, Scenario]:
    """Return what is searched, and the scenario without it."""
    from wm_eval_ros.config.perturbation import PerturbationSettings
    from wm_eval_ros.perturb import catalogue
    from wm_eval_ros.perturb.attack import Attack, COMMON
    there = {each.name: each for each in scenario.perturbations}
    names = args.perturbation or list(there)
    if not names:
        raise ConfigError(f'{scenario.name} schedules no perturbation; name one with '
                          f'--perturbation, such as physical.payload; `wm-eval list` names them')
    for name in names:
        catalogue.load(name)
    over = args.over.split(',') if args.over else []
    for what in over:
        if what not in COMMON:
            raise ConfigError(f'--over {what}: known are {", ".join(COMMON)}')
    attack = Attack([there.get(name, PerturbationSettings(name=name)) for name in names],
                    scenario.plant.time_limit_s, over, dict(map(_limits, args.range)))
    others = tuple(each for each in scenario.perturbations if each.name not in names)
    return attack, replace(scenario, perturbations=others)


def _limits(text: str) -> tuple[str, tuple[float, float]]:
    """
    Read ``NAME.PARAMETER=LOW:HIGH``.

    >>> _limits('physical.payload.ratio=0.5:2')
    ('physical.payload.ratio', (0.5, 2.0))
    """
    name, _, limits = text.partition('=')
    try:
        low, high = (float(bound) for bound in limits.split(':'))
    except ValueError:
        raise ConfigError(f'--range {text}: write NAME.PARAMETER=LOW:HIGH, such as '
                          'physical.payload.ratio=0.5:2') from None
    return name, (low, high)


def _plan(args: argparse.Namespace, scenario: Scenario) -> Plan:
    from wm_eval_ros.cli.red_team_search import Plan
    from wm_eval_ros.scoring.red_team import least_episodes
    for name, value, low, high in (('budget', args.budget, 1, 100000),
                                   ('confirmations', args.confirmations, 1, 100),
                                   ('confirm-episodes', args.confirm_episodes, 0, 1000000)):
        if not low <= value <= high:
            raise ConfigError(f'--{name} {value}: {low} to {high}')
    for name, value in (('bound', args.bound), ('alpha', args.alpha)):
        if not 0.0 < value < 1.0:
            raise ConfigError(f'--{name} {value:g}: between 0 and 1')
    plan = Plan(args.budget, args.bound, args.alpha,
                args.confirm_episodes or 2 * scenario.episodes, args.confirmations)
    for name, episodes, alpha in (
            ('episodes', scenario.episodes, plan.alpha),
            ('confirm-episodes', plan.confirm_episodes, plan.confirm_alpha)):
        if episodes < (least := least_episodes(alpha)):
            raise ConfigError(f'--{name} {episodes}: even the loss of all would not be '
                              f'significant at a level of {alpha:.3g}; give {least} or more')
    return plan


def _require_own(folder: Path) -> None:
    """
    Refuse to mix a search into anything else.

    :raises ConfigError: the folder holds something, and no search
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / 'nominal').is_dir():
        raise ConfigError(f'{folder}: exists and holds no search; name another --out')


def _write(found: RedTeam, search: Search, folder: Path) -> list[Path]:
    """
    Write the result, and with a winner the scenario that shows it.

    :raises RecordingError: the folder cannot be written
    """
    import yaml

    from wm_eval_ros.config.schema import to_plain
    files = {RESULT_FILE: found.to_json()}
    winner = found.confirmed
    if winner is not None:
        fresh = search.fresh(found.confirmations.index(winner))
        files[SCENARIO_FILE] = yaml.safe_dump(
            to_plain(search.perturbed(fresh, winner.label)), sort_keys=False)
    return write_files(folder, files)
