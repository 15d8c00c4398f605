"""Which starts a training set holds, by the seeds of its episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.json_text import load_json
from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.episodes import episodes
from wm_eval_ros.metrics.task import is_robot
from wm_eval_ros.training.dataset import run_info_of
from wm_eval_ros.training.mined import is_mined, MANIFEST
from wm_eval_ros.training.recipe import Recipe
from wm_eval_ros.wire.codec import event_from_msg, EVENT_TYPE


def starts_of(path: Path) -> frozenset[int]:
    """
    Return the seeds of the episodes in a bag of a run, or in a mined folder.

    An episode whose start was not recorded has the seed that its number gives it. The seeds of a
    robot's episodes set nothing: a bag of one holds none.

    :raises BagError: neither of the two, or not readable
    """
    if is_mined(path):
        return _of_manifest(path / MANIFEST)
    with open_bag(path) as bag:
        info = run_info_of(bag)
        topics = [topic for topic, kind in bag.topics.items() if kind == EVENT_TYPE]
        known = episodes(event_from_msg(msg) for _, msg in bag.decoded(topics))
    if is_robot(info.settings):
        return frozenset()
    if not known:
        return frozenset(range(info.seed, info.seed + info.episodes))
    return frozenset(info.seed + e.number if e.seed is None else e.seed for e in known)


def _of_manifest(path: Path) -> frozenset[int]:
    found = load_json(path, BagError)
    try:
        return frozenset(_seed(window, found['bags']) for window in found['windows'])
    except (KeyError, IndexError, TypeError, ValueError):
        raise BagError(f'{path}: does not tell the seeds of its windows; mine it anew') from None


def _seed(window: dict[str, Any], bags: list[dict[str, Any]]) -> int:
    if window['seed'] is None:
        return int(bags[window['bag']]['seed']) + int(window['episode'])
    return int(window['seed'])


def starts_of_recipe(recipe: Recipe) -> frozenset[int]:
    """Return the seeds of the episodes that a recipe collects."""
    return frozenset(seed for stage in recipe.rounds
                     for seed in range(stage.seed, stage.seed + stage.episodes))
