"""`wm-eval quantize MODEL|BAG`: how few bits a model can have before it stops working."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import (
    BagError,
    CheckpointError,
    ConfigError,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
    RecordingError,
)

if TYPE_CHECKING:
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.models.protocol import TrainedModel, WorldModelSpec
    from wm_eval_ros.records import RunInfo
    from wm_eval_ros.training.quantize_record import Cell, CellResult

EXAMPLE = """example:
  wm-eval quantize reacher --out quantized/reacher
  wm-eval quantize runs/reacher/bag --bits int8,int4 --modules all --episodes 50
  wm-eval quantize reacher --bits 4 --save int4/all/channel --out quantized/q4

weights are rounded, what is computed stays fp32; trials are in process. exit: 0 done, 3 fp32
solves no episode, or episodes are too few to show any fall, 2 bad input, 74 not written."""
REPORT, PAGE = 'report.json', 'quantize.md'
#: most episodes, states and inputs of a group that are taken for meant
_MOST = 100_000


@dataclass(frozen=True)
class _Run:
    """What :func:`wm_eval_ros.training.fidelity.find_model` asks of a run."""

    info: RunInfo
    scenario: Scenario


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('model', metavar='MODEL',
                        help='checkpoint, or the bag of a run: its model and scenario')
    parser.add_argument('--scenario', default='',
                        help='scenario it is tried in; default: the shipped one that fits, of a '
                             'bag its own')
    parser.add_argument('--bits', default='bf16,int8,int6,int4,int3', metavar='B1,B2,...',
                        help='bf16, or int2 to int8 (also without int); fp32 is always tried')
    parser.add_argument('--modules', default='', metavar='M1,M2,...',
                        help='encoder, dynamics, read_out, all; default: those the model has')
    parser.add_argument('--granularity', default='tensor,channel,group', metavar='G1,G2,...',
                        help='what shares a scale: tensor, channel, group')
    parser.add_argument('--group', type=int, default=32, metavar='N',
                        help='inputs of an output that share a scale under group')
    parser.add_argument('--episodes', type=int, default=20,
                        help='episodes of each cell, all cells from the same starts')
    parser.add_argument('--states', type=int, default=40,
                        help='states of the fp32 episodes from which candidates are ranked')
    parser.add_argument('--seed', type=int, default=None,
                        help="seed of the first start; default: the scenario's")
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help=f'folder of {REPORT} and {PAGE}; must be new or empty')
    parser.add_argument('--save', default='', metavar='CELL',
                        help='write this cell as a checkpoint below --out, such as int4/all/group')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    bits = _checked(args)
    import torch

    from wm_eval_ros.cli.quantize_output import page, plain, text, Tried
    from wm_eval_ros.cli.train import phase_progress
    from wm_eval_ros.scoring.scorecard import canonical
    from wm_eval_ros.training.quantize import cells
    from wm_eval_ros.training.quantize_trial import Questions, require_tryable, try_grid
    scenario, model, notes = _found(args)
    require_tryable(scenario)
    grid = cells(model, bits, _words(args.modules), _words(args.granularity))
    saved = _saved(args.save, grid)
    torch.set_num_threads(scenario.planner.torch_threads)
    first = scenario.seed if args.seed is None else args.seed
    questions = Questions(range(first, first + args.episodes), args.states, args.group)
    trial = try_grid(scenario, model, grid, questions, phase_progress('trying cells'))
    tried = Tried(trial, scenario, model, questions, notes)
    told = canonical(plain(tried)) + '\n'
    sys.stdout.write(told if args.json else text(tried))
    if args.out is not None:
        _write(args.out, {REPORT: told, PAGE: page(tried)})
    if saved is not None:
        _save(args.out, model, next(r for r in trial.results if r.cell == saved), args.group)
    return EXIT_INCONCLUSIVE if trial.smallest is None else EXIT_PASS


def _checked(args: argparse.Namespace) -> tuple[str, ...]:
    """Refuse what needs neither model nor scenario to be wrong; return the bits."""
    from wm_eval_ros.cli.outputs import require_writable
    from wm_eval_ros.cli.overrides import require_new
    for name, least in (('group', 1), ('episodes', 1), ('states', 1)):
        if not least <= getattr(args, name) <= _MOST:
            raise ConfigError(f'--{name}: {getattr(args, name)}; give {least} to {_MOST}')
    if args.seed is not None and not 0 <= args.seed <= 2**53:
        raise ConfigError(f'--seed: {args.seed}; give 0 to 2^53')
    if args.save and args.out is None:
        raise ConfigError('--save: name the folder with --out')
    if args.out is not None:
        require_new(args.out)
        require_writable(args.out)
    known = ('fp32', 'bf16', *(f'int{n}' for n in range(2, 9)))
    bits = tuple(f'int{w}' if w.isdecimal() else w for w in _words(args.bits))
    for option, words, of in (
            ('bits', bits, known), ('granularity', _words(args.granularity),
                                    ('tensor', 'channel', 'group')),
            ('modules', _words(args.modules), ('encoder', 'dynamics', 'read_out', 'all'))):
        for word in words:
            if word not in of:
                raise ConfigError(f'--{option}: {word[:80]!r}; known: {", ".join(of)}')
    return bits


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(',') if word.strip())


def _saved(name: str, grid: Sequence[Cell]) -> Cell | None:
    """Return the cell to be written."""
    if not name:
        return None
    found = next((cell for cell in grid[1:] if cell.name == name), None)
    if found is None:
        known = ', '.join(cell.name for cell in grid[1:])
        raise ConfigError(f'--save: no cell {name[:80]!r} in this grid; it has {known}')
    return found


def _found(args: argparse.Namespace) -> tuple[Scenario, TrainedModel, list[str]]:
    """Return scenario, model, and what to know about them."""
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, load_spec
    bag = _bag(Path(args.model)) if args.model else None
    if bag is not None:
        if args.scenario:
            raise ConfigError('--scenario: a bag has its own; name the model instead of the bag')
        return _of_run(bag)
    folder = find_checkpoint(args.model)
    scenario = _scenario_for(load_spec(folder), args.scenario, str(folder))
    model: Any = load_checkpoint(folder, interface=scenario.interface)
    return scenario, model, []


def _bag(path: Path) -> Path | None:
    """Return the bag that a path is, or the one of a run's folder; None: it is none."""
    endings = ('.mcap', '.db3')
    if path.suffix in endings:
        return path
    for folder in (path, path / 'bag'):
        if folder.is_dir() and ((folder / 'metadata.yaml').is_file() or any(
                f.suffix in endings for f in folder.iterdir())):
            return folder
    return None


def _of_run(path: Path) -> tuple[Scenario, TrainedModel, list[str]]:
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.config.scenario import Scenario
    from wm_eval_ros.config.schema import build
    from wm_eval_ros.training.dataset import run_info_of
    from wm_eval_ros.training.fidelity import find_model
    with open_bag(path) as bag:
        info = run_info_of(bag)
    try:
        scenario = build(Scenario, info.settings, f'{path}: run_info.settings')
    except ConfigError as error:
        raise BagError(f'{error}; the run was recorded by another version '
                       f'({info.package_version})') from None
    found = find_model(_Run(info, scenario))
    model: Any = found.model
    if not getattr(model, 'tensors', None):
        raise CheckpointError(f'model {model.spec.name!r} of the family {model.spec.family} has '
                              'no weights')
    return scenario, model, list(found.notes)


def _scenario_for(spec: WorldModelSpec, name: str, where: str) -> Scenario:
    """Return the scenario named, or the shipped one of its name, or that alone fits it."""
    from wm_eval_ros.config.scenario import (
        config_folder,
        find_scenario,
        load_scenario,
        SCENARIO_FOLDER,
    )
    if name:
        return load_scenario(find_scenario(name))
    shipped = [load_scenario(path)
               for path in sorted((config_folder() / SCENARIO_FOLDER).glob('*.yaml'))]
    fits = [s for s in shipped if _fits(spec, s, where)]
    own = [s for s in fits if s.name in _names(spec.name, spec.provenance)]
    if len(own or fits) == 1:
        return (own or fits)[0]
    which = ', '.join(s.name for s in fits)
    raise ConfigError(f'{where}: ' + (f'fits several scenarios, {which}' if fits else
                                      'fits no shipped scenario') + '; name one with --scenario')


def _names(name: str, provenance: Mapping[str, Any]) -> set[str]:
    """Return the names of a model and of those it was rounded from."""
    found, made = {name}, provenance.get('quantized')
    while isinstance(made, dict):
        found.add(str(made.get('source_name')))
        made = made.get('source_quantized')
    return found


def _fits(spec: WorldModelSpec, scenario: Scenario, where: str) -> bool:
    from wm_eval_ros.models.checkpoint import check_interface
    from wm_eval_ros.training.quantize_trial import require_tryable
    try:
        require_tryable(scenario)
        check_interface(spec, scenario.interface, where)
    except (CheckpointError, ConfigError):
        return False
    mine, theirs = spec.interface, scenario.interface
    return (len(mine.images), len(mine.unseen)) == (len(theirs.images), len(theirs.unseen))


def _write(folder: Path, files: dict[str, str]) -> None:
    from wm_eval_ros.cli.outputs import write_files
    written = write_files(folder, files)
    print(f'written: {", ".join(map(str, written))}', file=sys.stderr)


def _save(folder: Path, model: TrainedModel, result: CellResult, group: int) -> None:
    """Write a cell as a checkpoint."""
    from wm_eval_ros.cli.quantize_output import card
    from wm_eval_ros.models.checkpoint import save_checkpoint
    from wm_eval_ros.training.quantize import quantized
    made = quantized(model, result.cell, group)
    below = folder / result.cell.name.replace('/', '_')
    try:
        spec = save_checkpoint(below, made.spec, made.tensors, card(made.spec, result))
    except OSError as error:
        raise RecordingError(f'{below}: cannot be written ({error.strerror})') from None
    print(f'written: {below}, sha256 {spec.sha256}', file=sys.stderr)
