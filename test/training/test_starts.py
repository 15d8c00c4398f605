"""Which starts a training set holds."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.training.starts import starts_of


@pytest.fixture
def bag(scenes: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a run of two episodes, of which only the first told its seed."""
    def make(**manifest: Any) -> Path:
        nan = float('nan')
        made: Path = scenes.write_bag(tmp_path / 'bag', [
            scenes.info(seed=40, episodes=2, **manifest), scenes.event('START', 0, 0.0, '', 90),
            scenes.event('SUCCESS', 0, 90.0), scenes.event('START', 1, 100.0, '', nan),
            scenes.event('SUCCESS', 1, 190.0),
            *(scenes.cycle(k, episode=k // 2) for k in range(4))])
        return made
    return make


def test_a_bag_tells_the_seeds_of_its_episodes_or_else_their_numbers_do(
        bag: Callable[..., Path]) -> None:
    assert starts_of(bag()) == {90, 41}


def test_the_seeds_of_a_robot_set_no_start(bag: Callable[..., Path]) -> None:
    assert starts_of(bag(settings={'plant': {'kind': 'hardware'}})) == frozenset()


def mined(folder: Path, manifest: Any) -> Path:
    folder.mkdir()
    (folder / 'windows.safetensors').write_bytes(b'')
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    return folder


def test_a_mined_folder_tells_the_seeds_of_its_windows(tmp_path: Path) -> None:
    folder = mined(tmp_path / 'mined', {
        'bags': [{'seed': 7}, {'seed': 50}],
        'windows': [{'bag': 0, 'episode': 3, 'seed': 1003}, {'bag': 0, 'episode': 3, 'seed': 1003},
                    {'bag': 1, 'episode': 2, 'seed': None}]})
    assert starts_of(folder) == {1003, 52}


@pytest.mark.parametrize('manifest', [
    pytest.param([], id='no-table'), pytest.param({'bags': []}, id='no-windows'),
    pytest.param({'bags': [], 'windows': [{'bag': 0, 'episode': 0, 'seed': None}]}, id='no-bag'),
    pytest.param({'bags': [], 'windows': [{'seed': 'x'}]}, id='no-number')])
def test_a_manifest_that_tells_no_seeds_is_refused(tmp_path: Path, manifest: Any) -> None:
    with pytest.raises(BagError, match='does not tell the seeds of its windows'):
        starts_of(mined(tmp_path / 'mined', manifest))
