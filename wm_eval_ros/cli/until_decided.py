"""`wm-eval run A --until-decided`: two systems by turns until one is shown to be better."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros import plugins
from wm_eval_ros.cli.compare import print_comparison, write_comparison
from wm_eval_ros.cli.gating import EXIT_CODES
from wm_eval_ros.cli.overrides import scenario_of
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError

if TYPE_CHECKING:
    from wm_eval_ros.scoring.compare import Comparison
    from wm_eval_ros.scoring.contrast import Question
    from wm_eval_ros.scoring.evidence import Evidence

#: options that only --until-decided knows
OPTIONS = ('against', 'against_set', 'max_episodes', 'block', 'alpha')
MAX_EPISODES, BLOCK, ALPHA = 200, 10, 0.05
_SIDES = ('a', 'b')


def add_until_decided(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--until-decided', action='store_true',
                        help='run this scenario and another by turns, on the same seeds, until '
                             'the sign e-test shows one to be better')
    parser.add_argument('--against', metavar='OTHER',
                        help='the other: a planner of this scenario without a model, or a '
                             'scenario; left out: this scenario with --against-set')
    parser.add_argument('--against-set', metavar='KEY=VALUE', action='append', default=[],
                        help='a setting of the other, such as planner.model=old')
    parser.add_argument('--max-episodes', type=int,
                        help=f'pairs after which it is given up ({MAX_EPISODES})')
    parser.add_argument('--block', type=int,
                        help=f'episodes of one system at a time, between two looks ({BLOCK})')
    parser.add_argument('--alpha', type=float,
                        help=f'chance of a false decision that is accepted ({ALPHA})')


def refuse_stray(args: argparse.Namespace) -> None:
    """
    Refuse options that would make no difference.

    :raises ConfigError: naming the first
    """
    stray = [name for name in OPTIONS if getattr(args, name) not in (None, [])]
    if stray and not args.until_decided:
        raise ConfigError(f'--{stray[0].replace("_", "-")}: only with --until-decided')
    if args.until_decided:
        for name, instead in (('episodes', 'give --max-episodes'), ('baselines', 'give --against'),
                              ('gates', 'hold `wm-eval score --gates` against its bags'),
                              ('replay', 'a bag does not obey, and has no success')):
            if getattr(args, name):
                raise ConfigError(f'--{name}: not with --until-decided; {instead}')


@dataclass(frozen=True)
class Plan:
    """Two scenarios, and when to look and to give up."""

    scenarios: tuple[Scenario, Scenario]
    max_episodes: int
    block: int
    alpha: float

    def blocks(self) -> Iterator[tuple[str, tuple[Scenario, Scenario]]]:
        """Yield name and scenarios of each block; the last one may be shorter."""
        seed = self.scenarios[0].seed
        for number, begin in enumerate(range(0, self.max_episodes, self.block)):
            size = min(self.block, self.max_episodes - begin)
            a, b = (replace(s, seed=seed + begin, episodes=size) for s in self.scenarios)
            yield f'{number:04d}', (a, b)


def plan_of(args: argparse.Namespace) -> Plan:
    """
    Return what the options ask for.

    :raises ConfigError: nothing to run against, a number out of range, or two scenarios whose
        success could not be compared
    """
    number = {'max_episodes': MAX_EPISODES, 'block': BLOCK}
    for name, default in number.items():
        given = getattr(args, name)
        number[name] = default if given is None else given
        if number[name] < 1:
            raise ConfigError(f'--{name.replace("_", "-")} {given}: at least 1')
    alpha = ALPHA if args.alpha is None else args.alpha
    if not 0 < alpha < 1:
        raise ConfigError(f'--alpha {alpha:g}: a chance, between 0 and 1')
    own = scenario_of(args)
    plan = Plan((own, replace(_other(args), seed=own.seed)), number['max_episodes'],
                min(number['block'], number['max_episodes']), alpha)
    _require_comparable(*plan.scenarios)
    return plan


def _other(args: argparse.Namespace) -> Scenario:
    """Return the scenario to run against."""
    if not args.against and not args.against_set:
        raise ConfigError('--until-decided: against what? give --against PLANNER or SCENARIO, or '
                          '--against-set KEY=VALUE')
    options = argparse.Namespace(**{**vars(args), 'set': list(args.against_set)})
    if not args.against:
        options.set = [*args.set, *args.against_set]
    elif args.against in plugins.names('wm_eval_ros.planners'):
        options.set = [*args.set, f'planner.planner={args.against}', "planner.model=''",
                       *args.against_set]
    else:
        options.scenario = args.against
    try:
        return scenario_of(options)
    except ConfigError as error:
        if not args.against:
            raise
        planners = ', '.join(plugins.names('wm_eval_ros.planners'))
        raise ConfigError(f'--against {args.against}: {error} (planners: {planners})') from None


def _require_comparable(a: Scenario, b: Scenario) -> None:
    """Refuse two scenarios before they are run if their success would not be comparable."""
    from wm_eval_ros.config.schema import to_plain
    from wm_eval_ros.scoring.conditions import obstacle, require_one_task, unmet
    from wm_eval_ros.scoring.evidence import Evidence
    if to_plain(a) == to_plain(b):
        raise ConfigError('--until-decided: both sides are the same scenario')
    sides = [Evidence({
        'task': s.plant.task, 'clock': s.clock.value, 'time_limit_s': s.plant.time_limit_s,
        'settings': to_plain(s)}, (), (), ()) for s in (a, b)]
    require_one_task([(a.name, sides[0]), (f'{b.name} (--against)', sides[1])])
    if why := sides[0].unknown_success or obstacle('success_rate', unmet(*sides), ()):
        raise ConfigError(f'--until-decided: {why}')


def run_until_decided(args: argparse.Namespace) -> int:
    """Run both by turns until it is decided; print and write the comparison."""
    from wm_eval_ros.cli.run import default_folder
    from wm_eval_ros.cli.sweep_runs import check_points, Wanted
    plan = plan_of(args)
    check_points([Wanted(name, name, '', s)
                  for name, s in zip(_SIDES, plan.scenarios, strict=True)])
    folder = args.out or default_folder(f'{plan.scenarios[0].name}_decided')
    sides = _run(plan, folder, args.domain)
    found = _compared(sides, plan)
    print_comparison(found, as_json=args.json)
    written = write_comparison(found, sides, folder)
    print('\n'.join([f'bags: {folder / "a"} {folder / "b"}',
                     *(f'written: {path}' for path in written)]), file=sys.stderr)
    return EXIT_CODES[found.verdict]


def _compared(sides: tuple[Evidence, Evidence], plan: Plan) -> Comparison:
    from wm_eval_ros.scoring.ranking import compare
    return compare(sides, _question(plan))


def _question(plan: Plan) -> Question:
    from wm_eval_ros.scoring.compare import Rule
    from wm_eval_ros.scoring.contrast import Question
    return Question(Rule.SEQUENTIAL, plan.alpha)


def _run(plan: Plan, folder: Path, domain: int | None) -> tuple[Evidence, Evidence]:
    """Run block by block; who goes first changes, so that a drifting host favours nobody."""
    from wm_eval_ros.cli.sides import evidence_of
    from wm_eval_ros.scoring.evidence import merge
    parts: tuple[list[Evidence], list[Evidence]] = ([], [])
    sides: list[Evidence] = []
    for number, (name, scenarios) in enumerate(plan.blocks()):
        for at in ((0, 1), (1, 0))[number % 2]:
            bag = _run_block(scenarios[at], folder / _SIDES[at] / name, domain)
            parts[at].append(evidence_of(bag))
        sides = [merge(part, str(folder / side))
                 for part, side in zip(parts, _SIDES, strict=True)]
        if _look(sides[0], sides[1], plan):
            break
    return sides[0], sides[1]


def _run_block(scenario: Scenario, folder: Path, domain: int | None) -> Path:
    """Run a block, unless it was finished before."""
    from wm_eval_ros.cli.graph import GraphRun
    from wm_eval_ros.cli.run import execute
    from wm_eval_ros.cli.sweep_runs import finished, set_aside
    if finished(folder, scenario) is None:
        set_aside(folder)
        execute(GraphRun(folder), scenario, domain)
    return folder / 'bag'


def _look(a: Evidence, b: Evidence, plan: Plan) -> bool:
    """Say whether it is decided, and tell how it stands."""
    from wm_eval_ros.scoring.pairs import match
    from wm_eval_ros.scoring.success import success_gap
    gap = success_gap(match(a.episodes, b.episodes), _question(plan).rule, plan.alpha)
    if gap.table is None or gap.p_value is None:
        print('no pair is decided yet', file=sys.stderr)
        return False
    t = gap.table
    print(f'after {t.pairs} pairs: only A solved {t.only_first}, only B {t.only_second}; largest '
          f'e-value {1 / gap.p_value:.3g}, {1 / plan.alpha:g} asked', file=sys.stderr)
    return gap.p_value <= plan.alpha
