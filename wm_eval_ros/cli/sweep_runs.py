"""The runs of a sweep: checked first, done once each, kept when finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import sys

from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.cli.reading import score_bag
from wm_eval_ros.cli.run import check_names, check_planners, execute
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.records import ClockMode
from wm_eval_ros.scoring.scorecard import clean, Scorecard
from wm_eval_ros.scoring.sweep import flat, INJECTED, keys_of, LATENCY

#: reason of an ABORT that ended the run, not an episode
_STOPPED = 'stopped'


@dataclass(frozen=True)
class Wanted:
    """One point of a sweep."""

    #: names its folder
    label: str
    title: str
    #: dotted key of the varied setting; of several, with commas between
    key: str
    scenario: Scenario


def run_points(
    wanted: Sequence[Wanted], folder: Path, domain: int | None
) -> list[tuple[Path, Scorecard]]:
    """
    Run every point that is not finished yet.

    :param folder: of the points; one that lies there unfinished is set aside, never deleted
    :returns: bag and scorecard of each
    :raises ConfigError: a point cannot be run as it is asked for, or the folder holds a finished
        run of other settings
    """
    check_points(wanted)
    there = {w.label: finished(folder / w.label, w.scenario) for w in wanted}
    cards = []
    for i, point in enumerate(wanted):
        card = there[point.label]
        bag = folder / point.label / 'bag'
        kept = '' if card is None else ': finished before'
        print(f'{point.title} ({i + 1} of {len(wanted)}){kept}', file=sys.stderr)
        if card is None:
            set_aside(folder / point.label)
            run = GraphRun(folder / point.label)
            execute(run, point.scenario, domain)
            card = score_bag(run.bag)
        cards.append((bag, card))
    return cards


def check_points(wanted: Sequence[Wanted]) -> None:
    """
    Refuse what would fail in the middle of a sweep: names, planners, a latency nobody charges.

    :raises WmEvalError: the first point that cannot be run
    """
    seen: set[object] = set()
    for point in wanted:
        scenario = point.scenario
        check_names(scenario)
        if LATENCY in keys_of(point.key) and scenario.clock is not ClockMode.LOCKSTEP:
            raise ConfigError(f'{LATENCY}: charged in lockstep only, the clock is '
                              f'{scenario.clock}; add --clock lockstep')
        if INJECTED in keys_of(point.key) and scenario.clock is not ClockMode.REALTIME:
            raise ConfigError(f'{INJECTED}: injected in realtime only, the clock is '
                              f'{scenario.clock}; in lockstep vary {LATENCY}')
        if scenario.planner not in seen:
            check_planners(scenario)
            seen.add(scenario.planner)


def finished(folder: Path, scenario: Scenario) -> Scorecard | None:
    """
    Return the scorecard of a point that was run to its end before, None where there is none.

    :raises ConfigError: it was run with other settings
    """
    try:
        card = score_bag(folder / 'bag')
    except BagError:
        return None
    have = flat(card.manifest.get('settings') or {})
    want = flat(clean(to_plain(scenario)))
    odd = sorted(k for k in have.keys() | want.keys() if have.get(k) != want.get(k))
    if odd:
        raise ConfigError(f'{folder}: was run with {odd[0]} = {have.get(odd[0])}, asked for is '
                          f'{want.get(odd[0])}; name another --out')
    ended = [e for e in card.episodes if e.outcome != 'open' and e.label != _STOPPED]
    return card if len(ended) >= scenario.episodes else None


def set_aside(folder: Path) -> None:
    """Rename what an interrupted run left."""
    if not folder.exists():
        return
    number = 1
    while (aside := folder.with_name(f'{folder.name}.unfinished{number}')).exists():
        number += 1
    folder.rename(aside)
    print(f'an unfinished run is now {aside}', file=sys.stderr)
