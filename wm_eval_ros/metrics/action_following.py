"""Whether imagined futures show the command that they were imagined under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wm_eval_ros.metrics.base import Bools, Floats, Ints, mean_value, missing, Values
from wm_eval_ros.metrics.rows import row_of, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.vectors import HUGE
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.bootstrap import grouping, MIN_CLUSTERS
from wm_eval_ros.stats.mean import cluster_ratio, Mean
from wm_eval_ros.stats.regression import ridge_fit

#: parts of the episodes held out in turn
FOLDS = 5
_NAMES = ('inverse_dynamics', 'action_following')
_NONE = 'no driven transition was recorded with latents, first imagined latent and command'
_BLIND = 'commands cannot be read off driven transitions either: inverse_dynamics <= 0'
_METHOD = 'bootstrap over held-out episodes'


def transitions(run: Run) -> tuple[Rows, Floats] | None:
    """
    Return sampled slots whose command was driven, and the latent one slot later.

    :returns: fields as of :meth:`StateSample.rows`; latents, shape (N, D); None where no slot has
        a latent and a command
    """
    rows = run.vectors.states.rows()
    if len(rows) == 0 or rows['action'].shape[1] == 0:
        return None
    later = row_of(rows, rows['slot'] + 1)
    sent, own = run.driven.pairs(rows['slot'], 1)
    known = (later >= 0) & sent & own
    known &= np.all(np.abs(rows['action']) < HUGE, axis=1)
    for name in ('latent', 'imagined'):
        known &= np.all(np.isfinite(rows[name]), axis=1)
    known[known] = np.all(np.isfinite(rows['latent'][later[known]]), axis=1)
    return rows[known], rows['latent'][later[known]].astype(float)


def moved_by_commands(run: Run, size: int) -> Bools:
    """
    Say which entries of a latent show what a command does, and are not the command itself.

    :param size: entries of the latent, D
    :returns: shape (D,); all, where the manifest does not name them or names nothing else
    """
    info = run.info
    names = info.model.get('latent_names', ()) if info is not None else ()
    interface = info.settings.get('interface') if info is not None else None
    command = interface.get('command') if isinstance(interface, Mapping) else None
    topic = command.get('topic') if isinstance(command, Mapping) else None
    if not isinstance(names, Sequence) or len(names) != size or not isinstance(topic, str):
        return np.ones(size, bool)
    own = (f'{topic}.', f'{topic.lstrip("/")}.')
    moved = np.array([not str(name).startswith(own) for name in names], bool)
    return moved if moved.any() else np.ones(size, bool)


def held_out(before: Floats, after: Floats, imagined: Floats, action: Floats,
             episodes: Ints, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """
    Read commands off transitions by a map fitted on the driven ones of other episodes.

    :param before: latents, shape (N, D)
    :param after: what is read of the latents one slot later, (N, E)
    :param imagined: the same as imagined, (N, E)
    :param action: commands, (N, A)
    :param seed: of the generator that draws the folds
    :returns: for each sample, over commands in units of their spread: squared error on the driven
        transition, on the imagined one, and squared distance of the command from the mean of the
        other episodes, (N,) each
    """
    parts = grouping(episodes)
    fold = (np.random.default_rng(seed).permutation(parts.count) % FOLDS)[parts.cluster]
    sums = np.zeros((3, len(action)))
    for part in np.unique(fold):
        held, rest = fold == part, fold != part
        mean, scale = action[rest].mean(axis=0), action[rest].std(axis=0)
        scale = np.where(scale > 0, scale, np.inf)
        inverse = ridge_fit(np.hstack([before, after])[rest], action[rest])
        seen = inverse.predict(np.hstack([before, after])[held])
        dreamt = inverse.predict(np.hstack([before, imagined])[held])
        for row, guess in enumerate((seen, dreamt, mean)):
            sums[row, held] = np.sum(((action[held] - guess) / scale)**2, axis=1)
    return sums[0], sums[1], sums[2]


def following(rows: Rows, after: Floats, moved: Bools) -> Values:
    """
    Return held-out R^2 of the commands, read off driven and off imagined transitions.

    :param rows: transitions, with fields as of :meth:`StateSample.rows`
    :param after: latents one slot later, shape (N, D)
    :param moved: entries of the later latents that are read, shape (D,)
    """
    episodes, action = rows['episode'], rows['action']
    count = len(np.unique(episodes))
    if count < MIN_CLUSTERS:
        why = f'n too small: needs {MIN_CLUSTERS} episodes, has {count}' if count else _NONE
        return tuple(missing(name, '1', why, len(rows)) for name in _NAMES)
    seen, dreamt, spread = held_out(rows['latent'].astype(float), after[:, moved],
                                    rows['imagined'][:, moved].astype(float), action, episodes)
    if np.sum(spread) <= 0:
        return tuple(missing(name, '1', 'the commands do not vary', len(rows))
                     for name in _NAMES)
    ceiling = _r2(_NAMES[0], seen, spread, episodes)
    if ceiling.value is None or ceiling.value <= 0:
        return (ceiling, missing(_NAMES[1], '1', _BLIND, len(rows)))
    return (ceiling, _r2(_NAMES[1], dreamt, spread, episodes))


def _r2(name: str, error: Floats, spread: Floats, episodes: Ints) -> MetricValue:
    parts = grouping(episodes)
    ratio = cluster_ratio(parts.sums(error), parts.sums(spread))
    low, high = ratio.low, ratio.high
    found = Mean(1 - ratio.value, None if high is None else 1 - high,
                 None if low is None else 1 - low)
    return mean_value(name, '1', len(error), found, _METHOD)


class ActionFollowing(TableMetric):
    """Commands recovered by inverse dynamics from driven and from imagined first steps."""

    def values(self, run: Run) -> Values:
        """Return the figures over a sample of the slots."""
        found = transitions(run)
        if found is None:
            return tuple(missing(name, '1', _NONE) for name in _NAMES)
        return following(*found, moved_by_commands(run, found[1].shape[1]))
