"""Which code is running: what records of runs and of trainings say of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
import subprocess


def git_commit() -> str:
    """Return the commit of the source it runs from, `-dirty` where it was changed; '' if none."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(['git', '-C', str(folder), 'describe', '--always', '--dirty'],
                              capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''


def package_version() -> str:
    """Return the version of this package; '' if nothing tells it."""
    try:
        return version('wm_eval_ros')
    except PackageNotFoundError:
        return _manifest_version()


def _manifest_version() -> str:
    """Read the version from package.xml: a colcon install has no Python metadata."""
    import xml.etree.ElementTree as ElementTree
    for parent in Path(__file__).parents:
        for candidate in (parent / 'package.xml',
                          parent / 'share' / 'wm_eval_ros' / 'package.xml'):
            if candidate.is_file():
                return ElementTree.parse(candidate).findtext('version') or ''
    return ''
