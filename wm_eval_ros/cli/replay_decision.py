"""`wm-eval replay-decision BAG SLOT`: plan a recorded slot again and compare the command."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
import json
from pathlib import Path
import platform
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import (
    BagError,
    ConfigError,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.records import CycleRecord, EpisodeEvent, RunInfo
    from wm_eval_ros.training.replan import Replanned

REPLAY_SCHEMA = 1
EXAMPLE = """example:
  wm-eval replay-decision runs/reacher/bag 17
  wm-eval replay-decision runs/reacher/bag --all --json

the episode is planned again from its START, with the recorded inputs, seed and iterations.
exit: 0 identical to the bit, 1 different, 2 bad input, 3 it cannot be planned again, and why."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file of a run')
    parser.add_argument('slot', metavar='SLOT', type=int, nargs='?',
                        help='number of the slot; not with --all')
    parser.add_argument('--all', action='store_true', help='every slot of the bag')
    parser.add_argument('--episode', type=int, help='with --all, every slot of this episode')
    parser.add_argument('--model', default='', metavar='CHECKPOINT',
                        help='checkpoint to plan with; default: the one that drove the run')
    parser.add_argument('--salvage', action='store_true',
                        help='read what can be read of a damaged bag')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Plan again and say whether the same came out."""
    if (args.slot is None) is not args.all:
        raise ConfigError('give the number of a slot, or --all')
    if args.episode is not None and not args.all:
        raise ConfigError('--episode: goes with --all; a slot is of one episode')
    run = _Run(args.bag, salvage=args.salvage)
    found, notes = _replanned(run, args)
    counts = Counter(str(one.outcome.value) for one in found)
    told = _unlike(run.info, found, other_model=bool(notes))
    if args.json:
        print(json.dumps({
            'schema_version': REPLAY_SCHEMA, 'bag': str(args.bag), 'counts': dict(counts),
            'notes': [*notes, *told], 'slots': [_plain(one) for one in found]}, indent=1))
    else:
        print('\n'.join([*notes, *_lines(found, counts, every=args.all), *told]))
    return _code(counts)


class _Run:
    """What a bag says of its decisions."""

    def __init__(self, path: Path, *, salvage: bool) -> None:
        from wm_eval_ros.bag.reader import open_bag
        from wm_eval_ros.config.scenario import Scenario
        from wm_eval_ros.config.schema import build
        from wm_eval_ros.records import CycleRecord, EpisodeEvent, RunInfo
        self.cycles: list[CycleRecord] = []
        self.events: list[EpisodeEvent] = []
        infos: list[RunInfo] = []
        with open_bag(path, salvage=salvage) as bag:
            for record in bag.records():
                if isinstance(record, CycleRecord):
                    self.cycles.append(record)
                elif isinstance(record, EpisodeEvent):
                    self.events.append(record)
                elif isinstance(record, RunInfo):
                    infos.append(record)
        if not infos or not self.slots():
            raise BagError(f'{path}: no {"planner cycle" if infos else "run info"}; give the bag '
                           'of a run of this package')
        self.info: RunInfo = infos[0]
        try:
            self.scenario: Scenario = build(Scenario, self.info.settings,
                                            f'{path}: run_info.settings')
        except ConfigError as error:
            raise BagError(f'{error}; the run was recorded by another version '
                           f'({self.info.package_version})') from None

    def episode_of(self, slot: int) -> int:
        """Return the episode of a slot."""
        slots = self.slots()
        own = [c.episode for c in slots if c.slot == slot]
        if not own:
            raise BagError(f'no slot {slot} in the bag; it holds {slots[0].slot} to '
                           f'{slots[-1].slot}')
        return own[0]

    def slots(self) -> list[CycleRecord]:
        """Return the slots of the schedule."""
        from wm_eval_ros.records import CycleStatus
        return [c for c in self.cycles if c.status is not CycleStatus.WARMUP]


def _replanned(run: _Run, args: argparse.Namespace) -> tuple[list[Replanned], list[str]]:
    import torch

    from wm_eval_ros.cli.progress import Progress
    from wm_eval_ros.training.fidelity import find_model
    from wm_eval_ros.training.replan import replan, Replanner
    torch.set_num_threads(run.scenario.planner.torch_threads)
    notes: list[str] = []
    model = None
    if run.scenario.planner.model or args.model:
        asked = find_model(run, args.model)
        model, notes = asked.model, list(asked.notes)
    episode = run.episode_of(args.slot) if args.slot is not None else args.episode
    chosen = [c for c in run.slots() if episode is None or c.episode == episode]
    if not chosen:
        raise BagError(f'no episode {episode} in the bag')
    shown, found = Progress('planning again', len(chosen)), []
    again = replan(Replanner(run.scenario, model), run.events, run.cycles,
                   lambda number: episode is None or number == episode)
    for one in again:
        found.append(one)
        shown.update(len(found), 'slots')
        if one.slot == args.slot:
            break
    shown.close()
    return [one for one in found if args.all or one.slot == args.slot], notes


def _code(counts: Counter[str]) -> int:
    if counts['different']:
        return EXIT_FAIL
    return EXIT_INCONCLUSIVE if counts['not replayable'] or not counts['identical'] else EXIT_PASS


def _lines(found: Sequence[Replanned], counts: Counter[str], *, every: bool) -> list[str]:
    told = []
    if every:
        told.append(', '.join(f'{count} {name}' for name, count in sorted(counts.items()))
                    + f', of {len(found)} slots')
    for one in found:
        if every and one.outcome.value in ('identical', 'no decision'):
            continue
        told.append(f'slot {one.slot} of episode {one.episode}: {one.outcome}'
                    + (f': {one.why}' if one.why else ''))
        if one.recorded and (not every or one.outcome.value == 'different'):
            told.append(f'  recorded {_numbers(one.recorded)}, planned {_numbers(one.planned)}')
        if one.differs:
            told.append(f'  differs: {", ".join(one.differs)}')
    return told


def _numbers(values: Sequence[float]) -> str:
    return '(' + ', '.join(repr(v) for v in values) + ')'


def _unlike(info: RunInfo, found: Sequence[Replanned], *, other_model: bool) -> list[str]:
    """Say what is not as it was, where the commands are not."""
    if all(one.outcome.value != 'different' for one in found):
        return []
    import torch

    from wm_eval_ros.nodes.manifest import cpu_name, engine_facts
    engine = info.settings.get('planner', {}).get('engine', 'torch')
    now = {'torch': torch.__version__, 'python': platform.python_version(),
           'machine': platform.machine(), 'cpu': cpu_name(), **engine_facts(engine)}
    unlike = ['the model'] if other_model else []
    unlike += [f'{name} {info.host.get(name)} then, {value} now'
               for name, value in now.items() if info.host.get(name) != value]
    return ['not as it was: ' + ('; '.join(unlike) or 'nothing that is recorded: processor, '
                                 'torch and Python are the same')]


def _plain(one: Replanned) -> dict[str, Any]:
    return {**asdict(one), 'outcome': str(one.outcome.value)}
