"""`wm-eval verify BAG`: is a bag what was recorded, and if not, from which record on."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.audit.verify import Bad, Verification

VERIFY_SCHEMA = 1
EXAMPLE = """example:
  wm-eval verify runs/reacher/bag
  wm-eval verify runs/reacher/bag --key lab.pub --json

exit: 0 intact (with --key: and signed by that key), 1 not what was recorded, 2 no bag or key that
can be read, 3 not proven: nothing is sealed, or not the end, or with --key nothing is signed."""

_EXITS = {'intact': EXIT_PASS, 'tampered': EXIT_FAIL}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or its MCAP file, with audit.jsonl beside it')
    parser.add_argument('--key', metavar='PUB', type=Path,
                        help='public key (PEM or OpenSSH) that the seals must be signed with')
    parser.add_argument('--json', action='store_true', help='print what was found as JSON')


def main(args: argparse.Namespace) -> int:
    """Verify the bag and say what was found."""
    from wm_eval_ros.audit.keys import load_public_key
    from wm_eval_ros.audit.verify import verify
    from wm_eval_ros.cli.progress import Progress
    key = None if args.key is None else load_public_key(args.key)
    shown = Progress('verifying', _messages(args.bag))
    found = verify(args.bag, key, lambda count: shown.update(count, 'messages'))
    shown.close()
    if args.json:
        print(json.dumps({'schema_version': VERIFY_SCHEMA, 'bag': str(args.bag),
                          **_plain(asdict(found))}, indent=1, ensure_ascii=False))
    else:
        print('\n'.join(lines(found, key_given=key is not None)))
    for note in found.notes:
        print(f'note: {note}', file=sys.stderr)
    return _EXITS.get(found.outcome.value, EXIT_INCONCLUSIVE)


def lines(found: Verification, *, key_given: bool) -> list[str]:
    """Return what was found as lines of text."""
    weight = _weight(found)
    told = [f'{found.outcome}{weight}{";" if weight else ":"} {_SAYS[found.outcome.value]}',
            f'{found.sealed} of {found.messages} messages sealed by {found.checkpoints} '
            f'checkpoints; {_signed(found, key_given=key_given)}']
    if found.unsealed:
        told.append(f'{found.unsealed} messages follow the last checkpoint: recorded or put there '
                    'later, nothing tells which')
    if found.damage:
        told.append(f'the files themselves are damaged or were changed: {found.damage}')
    told += [f'seal: {fault}' for fault in found.faults]
    if found.bad is not None:
        told += _bad(found.bad)
    return told


_SAYS = {
    'intact': 'every message is the one recorded, in its order, to the final seal',
    'open': 'every message up to the last checkpoint is the one recorded; the recorder ended '
            'without a final seal, so that what follows it, or followed, is not proven',
    'tampered': 'this is not what was recorded',
    'not sealed': 'the bag holds no seal and has none beside it; nothing can be said',
    'unsigned': 'the chain holds, but nobody signed it: whoever can write can forge it',
}


def _weight(found: Verification) -> str:
    """Say what a chain that holds is worth."""
    if not found.accidents_only or found.outcome.value not in ('intact', 'open'):
        return ''
    return f', {"signed by an unknown key" if found.signer else "unsigned"}: shows accidents only'


def _signed(found: Verification, *, key_given: bool) -> str:
    if not found.signer:
        return 'not signed' if found.checkpoints else 'no signature'
    if key_given:
        return f'signed by the given key {found.signer}'
    return f'signed by an unknown key {found.signer}: give --key to pin it'


def _bad(bad: Bad) -> list[str]:
    at = bad.place
    told = [f'first bad record: number {bad.index} in the file, {bad.change} '
            f'({bad.was} sealed, {bad.now} there)']
    if at is None:
        told.append('  nothing stands there: the file ends before')
    else:
        slot = '' if at.slot is None else f', slot {at.slot}'
        after = '' if at.after_slot is None else f', after slot {at.after_slot}'
        told.append(f'  there stands {at.topic}{slot}{after}, logged at {at.log_ns} ns, '
                    f'{at.file} byte {at.offset}')
    before, behind = bad.between
    told.append(f'  between {_number(before, "the begin")} and {_number(behind, "the end")}')
    if bad.missing:
        told.append('  missing: ' + ', '.join(f'{n} of {topic}' for topic, n in bad.missing))
    return told


def _number(checkpoint: int | None, otherwise: str) -> str:
    return otherwise if checkpoint is None else f'checkpoint {checkpoint}'


def _messages(path: Path) -> int:
    """Return how many messages a bag declares; 0 where it cannot be opened as a whole one."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.errors import BagError
    try:
        with open_bag(path) as bag:
            return sum(bag.declared.values())
    except BagError:
        return 0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if hasattr(value, 'value') else value
