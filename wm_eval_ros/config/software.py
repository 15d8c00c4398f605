"""Which code is running: what records of runs and of trainings say of it."""

from __future__ import annotations

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
