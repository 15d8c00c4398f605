"""`wm-eval export-model BAG`: fit the model of a run for int8, and try every engine on it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.outputs import require_writable, writing
from wm_eval_ros.errors import CheckpointError, ConfigError, EXIT_FAIL, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.models.protocol import WorldModelSpec
    from wm_eval_ros.training.export import Export, Trial

EXPORT_SCHEMA = 1
#: of the card: below it stands what the export adds
RANGES_HEADING = '## Ranges of int8'
EXAMPLE = """example:
  wm-eval export-model runs/reacher/bag --out models/reacher_int8
  wm-eval run reacher --set planner.model=models/reacher_int8 \\
      --set planner.engine=openvino --set planner.precision=int8

the weights stay what they are; the ranges that int8 needs are added to the spec. needs the extra
`fast`. exit: 0 done, 1 int8 orders candidates too differently and nothing is written, 2 bad input,
such as a run whose planner torch itself cannot be tried for, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file of a run: its states and goals')
    parser.add_argument('--out', metavar='DIR', type=Path, required=True,
                        help='folder of the new checkpoint; must not exist')
    parser.add_argument('--model', default='', metavar='CHECKPOINT',
                        help='checkpoint to export; default: the one that drove the run')
    parser.add_argument('--states', type=int, default=64,
                        help='recorded states drawn: half set the ranges, half are tried on')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the states and commands drawn')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    for name, least in (('states', 2), ('seed', 0)):
        if getattr(args, name) < least:
            raise ConfigError(f'--{name}: {getattr(args, name)}; at least {least}')
    if args.out.exists():
        raise ConfigError(f'{args.out}: exists already; choose another --out')
    require_writable(args.out)
    import torch

    from wm_eval_ros.cli.train import phase_progress
    from wm_eval_ros.training.export import export
    from wm_eval_ros.training.fidelity import find_model
    from wm_eval_ros.training.fidelity_data import read_evidence
    evidence = read_evidence(args.bag)
    torch.set_num_threads(evidence.scenario.planner.torch_threads)
    asked = find_model(evidence, args.model)
    model: Any = asked.model
    own = own_card(asked.folder, model.spec.name)
    if not hasattr(model, 'tensors'):
        raise CheckpointError(f'model {model.spec.name!r} of the family {model.spec.family} has '
                              'no weights to export')
    found = export(evidence, model, states=args.states, seed=args.seed,
                   progress=phase_progress('trying the engines'))
    settings = evidence.scenario.planner
    what = f'{settings.samples} candidates x {settings.horizon} steps'
    spec: WorldModelSpec | None = None
    try:
        if found.good:
            spec = _save(args.out, found, own)
    finally:  # what was found is told, whatever becomes of the folder
        sys.stdout.write(_json(found, what, spec) if args.json else _text(found, what))
    print(f'written: {args.out}' if found.good else
          'nothing written: int8 orders candidates too differently', file=sys.stderr)
    return EXIT_PASS if found.good else EXIT_FAIL


def _save(folder: Path, found: Export, own: str) -> WorldModelSpec:
    from wm_eval_ros.models.checkpoint import save_checkpoint
    with writing(folder):
        return save_checkpoint(folder, found.model.spec, found.model.tensors, card(found, own))


def own_card(folder: Path | None, name: str) -> str:
    """
    Return the card of the checkpoint that is exported, without what an earlier export added.

    :raises CheckpointError: it cannot be read
    """
    from wm_eval_ros.config.bounded import read_bounded, text_of
    from wm_eval_ros.models.checkpoint import CARD, MAX_SPEC_BYTES
    if folder is None or not (path := folder / CARD).is_file():
        return f'# {name}\n\nThe checkpoint that this is made of has no card.\n'
    text = text_of(read_bounded(path, MAX_SPEC_BYTES, CheckpointError), path, CheckpointError)
    return text.partition(f'\n{RANGES_HEADING}\n')[0]


def card(found: Export, own: str) -> str:
    """
    Return the card of an export: data, held-out errors and limits as they were, and the trials.

    :param own: card of the checkpoint that is exported
    """
    lines = '\n'.join(_line(t) for t in found.trials)
    return (f'{own.rstrip()}\n\n{RANGES_HEADING}\nThe weights of {found.model.spec.sha256}, '
            f'with the ranges of int8.\n\n{lines}\n')


def _text(found: Export, what: str) -> str:
    from wm_eval_ros.report.text import aligned, number
    rows = [['engine', 'precision', 'rank, median', 'rank, least', 'time / torch', 'batch [ms]',
             'states', 'left out', '']]
    rows += [[t.engine, t.precision, number(t.rank, 4), number(t.rank_min, 4),
              number(t.time_ratio, 3), number(t.batch_ms, 3), str(t.states), str(t.left_out),
              t.why] for t in found.trials]
    return f'{found.model.spec.name}, {what}, imagined and judged\n' + aligned(
        rows, range(2, 8)) + '\n'


def _line(trial: Trial) -> str:
    if trial.rank is None:
        return f'* {trial.engine} {trial.precision}: {trial.why}'
    return (f'* {trial.engine} {trial.precision}: rank correlation of candidate costs with torch '
            f'{trial.rank:.4f} (least {trial.rank_min:.4f}), {trial.states} states, '
            f'{trial.left_out} candidates left out')


def _json(found: Export, what: str, spec: WorldModelSpec | None) -> str:
    return json.dumps({
        'schema_version': EXPORT_SCHEMA, 'model': found.model.spec.name, 'batch': what,
        'sha256': None if spec is None else spec.sha256, 'good': found.good,
        'trials': [asdict(t) for t in found.trials]}, indent=1) + '\n'
