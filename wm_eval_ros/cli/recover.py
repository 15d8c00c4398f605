"""`wm-eval recover BAG`: a damaged or unclosed bag as a new one that any reader opens."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import shutil
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.errors import EXIT_LOSSY, EXIT_NOTHING, EXIT_PASS, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.bag.recover import Recovery

EXAMPLE = """example:
  wm-eval recover runs/reacher/bag --out recovered
  wm-eval score recovered

The source is only read.
exit: 0 all of it, 3 some of it is lost, 1 nothing could be read, 2 there is no such bag,
74 the new bag cannot be written."""

_CODES = {'full': EXIT_PASS, 'lossy': EXIT_LOSSY, 'nothing': EXIT_NOTHING}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bag', metavar='BAG', type=Path,
                        help='rosbag2 folder or storage file (MCAP, sqlite3)')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='folder of the new bag (default: beside the old, with _recovered)')
    parser.add_argument('--json', action='store_true', help='print what came out as JSON')


def main(args: argparse.Namespace) -> int:
    """Recover the bag, and say what came out and what did not."""
    from wm_eval_ros.bag.recover import recover
    source = args.bag.resolve()
    folder = args.out or source.with_name(f'{source.stem}_recovered')
    bar = Progress('recovering', 100)
    try:
        found = recover(args.bag, folder, lambda share: bar.update(round(100 * share), '%'))
    finally:
        bar.close()
    if found.folder is not None:
        _copy_sidecar(args.bag if args.bag.is_dir() else args.bag.parent, found.folder)
    if args.json:
        print(json.dumps(_plain(found), indent=1))
    else:
        print('\n'.join(_lines(found)))
    for note in found.notes:
        print(f'wm-eval recover: {note}', file=sys.stderr)
    return _CODES[found.outcome.value]


def _copy_sidecar(source: Path, folder: Path) -> None:
    """Let `wm-eval verify` hold the new bag against the checkpoints of the old."""
    from wm_eval_ros.audit.seal import SIDECAR
    if not (source / SIDECAR).is_file():
        return
    try:
        shutil.copyfile(source / SIDECAR, folder / SIDECAR)
    except OSError as error:
        raise RecordingError(f'{folder / SIDECAR}: cannot be written ({error})') from None


def _plain(found: Recovery) -> dict[str, Any]:
    return {
        'outcome': found.outcome.value, 'source': str(found.source),
        'bag': None if found.folder is None else str(found.folder),
        'messages': found.messages, 'size_bytes': found.size_bytes,
        'lost_bytes': found.lost_bytes,
        'topics': [{name: getattr(topic, name) for name in (
            'topic', 'type', 'messages', 'bytes', 'lost_at_least')} for topic in found.topics],
        'notes': list(found.notes)}


def _lines(found: Recovery) -> list[str]:
    if found.folder is None:
        return [f'{found.source}: nothing could be recovered of {found.size_bytes} bytes']
    from wm_eval_ros.report.text import aligned
    rows = [['topic', 'messages', 'bytes', 'lost at least']]
    rows += [[t.topic, str(t.messages), str(t.bytes), str(t.lost_at_least)]
             for t in found.topics]
    return [aligned(rows, right=(1, 2, 3)), '',
            f'{found.outcome}: {found.messages} messages, {found.lost_bytes} of '
            f'{found.size_bytes} bytes of the source gave nothing',
            f'bag: {found.folder}']
