"""`wm-eval recover BAG`: a damaged or unclosed bag as a new one that any reader opens."""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
import sys
from typing import Any, BinaryIO, TYPE_CHECKING

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.errors import BagError, EXIT_LOSSY, EXIT_NOTHING, EXIT_PASS, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.bag.recover import Recovery

EXAMPLE = """example:
  wm-eval recover runs/reacher/bag --out recovered
  wm-eval score recovered

The source is only read.
exit: 0 all of it, 3 some of it is lost, 1 nothing could be read, 2 there is no such bag,
74 the new bag cannot be written."""

#: of 90 million messages, a day at 1 kHz [bytes]
_MAX_SIDECAR_BYTES = 1 << 30
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
        source = args.bag if args.bag.is_dir() else args.bag.parent
        found = replace(found, notes=(*found.notes, *_copy_sidecar(source, found.folder)))
    if args.json:
        print(json.dumps(_plain(found), indent=1))
    else:
        print('\n'.join(_lines(found)))
    for note in found.notes:
        print(f'wm-eval recover: {note}', file=sys.stderr)
    return _CODES[found.outcome.value]


def _copy_sidecar(source: Path, folder: Path) -> tuple[str, ...]:
    """
    Let `wm-eval verify` hold the new bag against the checkpoints of the old.

    :returns: why it was not copied, if it is there and was not
    """
    from wm_eval_ros.audit.seal import SIDECAR
    from wm_eval_ros.bag.locate import inside
    from wm_eval_ros.config.bounded import open_regular
    path = source / SIDECAR
    if not path.exists():
        return ()
    try:
        with open_regular(inside(path, source)) as file:
            if os.fstat(file.fileno()).st_size > _MAX_SIDECAR_BYTES:
                return (f'{path}: larger than {_MAX_SIDECAR_BYTES} bytes; not copied',)
            return _copied(file, folder / SIDECAR)
    except (OSError, BagError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return (f'{path}: not copied ({why})',)


def _copied(file: BinaryIO, to: Path) -> tuple[str, ...]:
    try:
        with to.open('wb') as new:
            shutil.copyfileobj(file, new)
    except OSError as error:
        raise RecordingError(f'{to}: cannot be written ({error})') from None
    return ()


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
