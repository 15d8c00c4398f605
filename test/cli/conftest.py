"""Small bags in which each episode ends as a letter says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.records import Record

ENDS = {'S': 'SUCCESS', 'F': 'FAILURE', 'T': 'TIMEOUT', 'A': 'ABORT'}
#: slots of an episode
SLOTS = 10


@pytest.fixture(scope='session')
def outcome_run(scenes: ModuleType) -> Callable[..., list[Record]]:
    """Make a run of ten met slots an episode; seeds ascend from `seed`."""
    def make(outcomes: str, seed: int = 100, took_ms: float = 10.0,
             **manifest: Any) -> list[Record]:
        settings = {'plant': {'kind': 'mujoco'}, **manifest.pop('settings', {})}
        records: list[Record] = [scenes.info(episodes=len(outcomes), seed=seed, settings=settings,
                                             **manifest)]
        for e, letter in enumerate(outcomes):
            begin = 50.0 * SLOTS * e
            records += [scenes.event('START', e, begin, '', seed + e),
                        *(scenes.cycle(SLOTS * e + k, episode=e, took_ms=took_ms + 0.1 * e)
                          for k in range(SLOTS)),
                        scenes.event(ENDS[letter], e, begin + 475, '', 0.475)]
        return records
    return make


@pytest.fixture(scope='session')
def outcome_bag(scenes: ModuleType, outcome_run: Callable[..., list[Record]],
                ) -> Callable[..., Path]:
    """Write such a run into a bag."""
    def write(folder: Path, outcomes: str, **changes: Any) -> Path:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made: Path = scenes.write_bag(folder, outcome_run(outcomes, **changes))
        return made
    return write


@pytest.fixture
def other_weights() -> Callable[[Path], Path]:
    """Write the shipped reacher model with other weights into a folder."""
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint

    def write(folder: Path) -> Path:
        model = load_checkpoint(find_checkpoint('reacher'))
        save_checkpoint(folder, model.spec, {k: 0.5 * v for k, v in model.tensors.items()})
        return folder

    return write
