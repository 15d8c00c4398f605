"""Does a detector keep the protocol? For the tests of this package and of yours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.detectors import Detector


def check_detector(make: Callable[[], Detector], *, streams: int = 3,
                   slots: int = 40) -> list[str]:
    """
    Try a detector on random standardised streams.

    :param make: what the entry point names; called without arguments
    :param streams: streams tried
    :param slots: slots of the episode tried
    :returns: one sentence per broken promise; empty: it conforms
    """
    episode = np.random.default_rng(0).normal(size=(slots, streams))
    episode[::7, 0] = np.nan
    episode[3] = np.nan
    kept = episode.copy()
    detector = make()
    detector.reset()
    rows = [detector.update(row) for row in episode]
    shapes = {np.shape(row) for row in rows}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        return [f'update returns shapes {sorted(shapes)}; it must be one (C,) in every slot']
    found = _check_repeats(make, detector, episode, np.array(rows, float))
    if not np.array_equal(episode, kept, equal_nan=True):
        found.append('update writes into what it is given')
    found += _check_values(make, episode, np.array(rows, float))
    return found


def _check_repeats(make: Callable[[], Detector], used: Detector, episode: Floats,
                   rows: Floats) -> list[str]:
    found = []
    for name, again in (('a new one', make()), ('the same one after reset', used)):
        again.reset()
        if not np.array_equal(np.array([again.update(r) for r in episode], float), rows,
                              equal_nan=True):
            found.append(f'{name} gives other scores for the same episode')
    return found


def _check_values(make: Callable[[], Detector], episode: Floats, rows: Floats) -> list[str]:
    found = []
    if np.isnan(rows).all():
        found.append('it never has a score')
    detector = make()
    detector.reset()
    for row in episode[:-1]:
        detector.update(row)
    last = detector.update(np.full(episode.shape[1], np.inf))
    if np.isnan(last).all() or not np.nanmax(last) > np.nanmax(rows[-2]):
        found.append('an infinite score of every stream does not raise its score')
    return found
