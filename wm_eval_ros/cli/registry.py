"""`wm-eval registry`: the versions of a model, and which of them is in force."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import shutil
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import CheckpointError, ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.models.registry import Registry

EXAMPLE = """example:
  wm-eval registry add registry/reacher models/reacher --why "twice the data"
  wm-eval registry list registry/reacher
  wm-eval registry promote registry/reacher 2 --why "success 0.97 of 100"
  wm-eval registry rollback registry/reacher

exit: 0 done, 2 no such registry, version or checkpoint, or one damaged, changed or of another
model, 74 not written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('action', choices=('list', 'add', 'promote', 'rollback'),
                        help='what to do')
    parser.add_argument('registry', type=Path, metavar='DIR', help='folder of the registry')
    parser.add_argument('what', nargs='?', default='', metavar='WHAT',
                        help='add: a checkpoint; promote: the number of a version')
    parser.add_argument('--why', default='', help='a few words for the history')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    from wm_eval_ros.models.registry import Registry, VERSIONS
    registry = Registry(args.registry)
    if bool(args.what) != (args.action in ('add', 'promote')):
        wants = {'add': 'a checkpoint', 'promote': 'the number of a version'}
        raise ConfigError(f'{args.action}: give {wants.get(args.action, "nothing")} after the '
                          'registry')
    if args.action != 'add' and not (args.registry / VERSIONS).is_dir():
        raise CheckpointError(f'{args.registry}: no registry; `wm-eval registry add` or '
                              '`wm-eval retrain` makes one')
    # what cannot be listed is not changed either
    registry.versions()
    if args.action == 'add':
        _add(registry, args.what, args.why)
    elif args.action == 'promote':
        _promote(registry, args.what, args.why)
    elif args.action == 'rollback':
        registry.rollback({'why': args.why})
    report = summary(registry)
    print(json.dumps(report, indent=1) if args.json else text(report))
    return EXIT_PASS


def _add(registry: Registry, checkpoint: str, why: str) -> None:
    """Copy a checkpoint that loads into the registry."""
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
    source = find_checkpoint(checkpoint)
    load_checkpoint(source)
    registry.add(lambda to: shutil.copytree(source, to), {'why': why})


def _promote(registry: Registry, version: str, why: str) -> None:
    """Put a version that loads in force."""
    from wm_eval_ros.models.checkpoint import load_checkpoint
    if not version.isdecimal():
        raise ConfigError(f'promote: {version!r} is no number of a version')
    load_checkpoint(registry.path(int(version)))
    registry.promote(int(version), {'why': why})


def summary(registry: Registry) -> dict[str, Any]:
    """
    Return what is in a registry.

    :returns: ``folder``, ``current`` (None: none is in force), ``damaged``, where the pointer to
        the one in force is, ``versions``, one mapping each, which holds ``changed`` where it is
        not what was added, and ``history``, in order
    """
    report: dict[str, Any] = {'folder': str(registry.folder), 'current': None}
    try:
        report['current'] = registry.current()
    except CheckpointError as error:
        report['damaged'] = str(error)
    return {**report, 'versions': [_version(registry, n) for n in registry.versions()],
            'history': list(registry.history())}


def _version(registry: Registry, number: int) -> dict[str, Any]:
    from wm_eval_ros.models.checkpoint import load_spec
    from wm_eval_ros.models.registry import VERSIONS
    found: dict[str, Any] = {'version': number}
    if (changed := registry.changed(number)) is not None:
        found['changed'] = changed
    try:
        spec = load_spec(registry.folder / VERSIONS / str(number))
    except CheckpointError as error:
        return {**found, 'damaged': str(error)}
    made = spec.provenance
    return {**found, 'name': spec.name, 'family': spec.family, 'sha256': spec.sha256,
            **{key: made[key] for key in ('git_commit', 'data_sha256', 'episodes') if key in made}}


def text(report: dict[str, Any]) -> str:
    """Return the summary in words."""
    whys = {entry['version']: entry['why'] for entry in report['history']
            if isinstance(entry.get('why'), str) and entry['why']}
    lines = [report['folder']]
    for found in report['versions']:
        mark = '*' if found['version'] == report['current'] else ' '
        about = found.get('damaged') or (f'{found["name"]}, {found["family"]}, sha256 '
                                         f'{found["sha256"][:16]}')
        if 'changed' in found:
            about += f', CHANGED ({found["changed"]})'
        why = whys.get(found['version'], '')
        lines.append(f'{mark} {found["version"]:>3}  {about}{f": {why}" if why else ""}')
    if 'damaged' in report:
        lines.append(f'  none can be loaded: {report["damaged"]}')
    elif report['current'] is None:
        lines.append('  none is in force; promote one')
    if any('changed' in found for found in report['versions']):
        lines.append('  what is CHANGED is not what was added and is not loaded; add it anew')
    return '\n'.join(lines)
