"""Does the imagined future depend on the command, and as the world's does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wm_eval_ros.metrics.base import missing, Values
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.bootstrap import grouping, MIN_CLUSTERS
from wm_eval_ros.stats.regression import Ridge, ridge_fit
from wm_eval_ros.training.fidelity_asked import Asked
from wm_eval_ros.training.fidelity_data import Floats, Ints, Windows
from wm_eval_ros.training.fidelity_figures import (
    correlation,
    r_squared,
    ratio,
    reported,
    with_why,
)

#: parts of the episodes held out in turn
FOLDS = 5
#: smaller commands have no direction to recover [share of planner.action_limit]
SMALL = 0.25
#: futures under different commands that differ by less than this share of what the world moves
#: meanwhile do not depend on the command
BLIND = 0.01
#: an inverse dynamics that recovers less than this of driven commands says little
WEAK = 0.5


@dataclass(frozen=True)
class Contrasts:
    """Futures of recorded states under commands nobody executed."""

    #: in [-1, 1], (S, K, H, A)
    actions: Floats
    #: imagined by the model, (S, K, H, F)
    model: Floats
    #: what the simulator gives, (S, K, H, F); None where there is none
    oracle: Floats | None


def contrasts(
    asked: Asked, oracle: Asked | None, windows: Windows, states: torch.Tensor | None,
    actions: Floats,
) -> Contrasts:
    """
    Imagine every candidate from every state.

    :param states: the oracle's latents of the windows, (S, D)
    :param actions: (S, K, H, A)
    """
    s, k = actions.shape[:2]
    flat = actions.reshape(s * k, *actions.shape[2:])
    model = asked.foresee(windows.latents.repeat_interleave(k, 0), flat)
    truth = None
    if oracle is not None and states is not None:
        truth = oracle.foresee(states.repeat_interleave(k, 0), flat).reshape(
            s, k, *model.shape[1:])
    return Contrasts(actions, model.reshape(s, k, *model.shape[1:]), truth)


def following(windows: Windows, foreseen: Floats, contrast: Contrasts, chosen: Windows,
              limit: float) -> Values:
    """
    Return how well commands are recovered from imagined transitions by inverse dynamics.

    The inverse is a ridge regression from state, next state and command in force to the command,
    fitted on driven transitions of the other episodes; what it recovers is cut to the limit.

    :param foreseen: imagined features under the executed commands, (N, H, F)
    :param contrast: futures under drawn commands of ``chosen``; the first candidate counts
    :param limit: ``planner.action_limit``
    """
    names = ('command_recovery[driven]', 'command_recovery[state]', 'command_recovery[imagined]',
             'command_direction', 'command_recovery[drawn]', 'command_recovery[drawn, oracle]')
    good = np.isfinite(foreseen[:, 0]).all(axis=1)
    own = windows.take(np.flatnonzero(good))
    parts = grouping(own.episodes)
    if parts.count < MIN_CLUSTERS:
        why = f'n too small: needs {MIN_CLUSTERS} episodes, has {parts.count}'
        return tuple(missing(name, '1', why, len(own)) for name in names)
    fold = {e: int(f) for e, f in zip(
        np.unique(own.episodes).tolist(),
        np.random.default_rng(0).permutation(parts.count) % FOLDS, strict=True)}
    inverse = _Inverse(own, fold, limit)
    action = own.actions[:, 0]
    real = inverse.error(own, own.features[:, 1], action)
    found = [inverse.r2(names[0], real, own.episodes),
             inverse.r2(names[1], inverse.error(own, None, action), own.episodes),
             inverse.r2(names[2], inverse.error(own, foreseen[good, 0], action), own.episodes),
             inverse.direction(names[3], own, foreseen[good, 0], action)]
    for name, future in ((names[4], contrast.model), (names[5], contrast.oracle)):
        if future is None:
            found.append(missing(name, '1', NO_ORACLE))
            continue
        error = inverse.error(chosen, future[:, 0, 0], contrast.actions[:, 0, 0])
        found.append(inverse.r2(name, error, chosen.episodes))
    return _held_against(found)


#: why a figure has no truth to be held against
NO_ORACLE = 'the plant is no simulator: what would have happened is not known'


def _held_against(found: list[MetricValue]) -> Values:
    """Say of what was recovered from imagination where the map recovers little of the truth."""
    for own, ceiling in ((2, 0), (3, 0), (4, 5)):
        value = found[ceiling].value
        if value is not None and value < WEAK and found[own].value is not None:
            found[own] = with_why(found[own], f'says little: {found[ceiling].name} itself is '
                                              f'{value:.2f}')
    return tuple(found)


class _Inverse:
    """Inverse dynamics of each fold, fitted on the driven transitions of the others."""

    def __init__(self, own: Windows, fold: dict[int, int], limit: float) -> None:
        self._fold, self._limit = fold, limit
        parts = np.array([fold[e] for e in own.episodes.tolist()])
        self._maps: dict[int, Ridge] = {}
        self._blind: dict[int, Ridge] = {}
        self._means: dict[int, Floats] = {}
        for part in np.unique(parts).tolist():
            rest = own.take(np.flatnonzero(parts != part))
            action = rest.actions[:, 0]
            self._maps[part] = ridge_fit(_pair(rest, rest.features[:, 1]), action)
            self._blind[part] = ridge_fit(_pair(rest, None), action)
            self._means[part] = action.mean(axis=0)

    def _recovered(self, windows: Windows, after: Floats | None) -> Floats:
        maps = self._blind if after is None else self._maps
        out = np.full((len(windows), windows.actions.shape[2]), np.nan)
        for part, rows in self._parts(windows):
            near = windows.take(rows)
            future = None if after is None else after[rows]
            out[rows] = maps[part].predict(_pair(near, future))
        return np.asarray(np.clip(out, -self._limit, self._limit))

    def _parts(self, windows: Windows) -> list[tuple[int, Ints]]:
        parts = np.array([self._fold.get(e, 0) for e in windows.episodes.tolist()])
        return [(p, np.flatnonzero(parts == p)) for p in np.unique(parts).tolist()]

    def error(self, windows: Windows, after: Floats | None, action: Floats) -> Floats:
        """Return squared error and squared distance from the training mean, (N, 2)."""
        guess = self._recovered(windows, after)
        middle = np.empty_like(guess)
        for part, rows in self._parts(windows):
            middle[rows] = self._means[part]
        return np.stack([((guess - action) ** 2).sum(1), ((middle - action) ** 2).sum(1)], axis=1)

    def r2(self, name: str, error: Floats, episodes: Ints) -> MetricValue:
        """Return R^2 of the commands."""
        good = np.isfinite(error).all(axis=1)
        return r_squared(name, error[good, 0], error[good, 1], episodes[good])

    def direction(self, name: str, windows: Windows, after: Floats, action: Floats) -> MetricValue:
        """Return the share of command fields whose sign is recovered, small ones left out."""
        guess = self._recovered(windows, after)
        large = np.abs(action) >= SMALL * self._limit
        right = (np.sign(guess) == np.sign(action)) & large
        return ratio(name, '1', right.sum(1).astype(float), large.sum(1).astype(float),
                     windows.episodes, 'no command is large enough to have a direction')


def _pair(windows: Windows, after: Floats | None) -> Floats:
    parts = [windows.features[:, 0], windows.before]
    return np.concatenate(parts if after is None else [*parts, after], axis=1)


def divergence(contrast: Contrasts, chosen: Windows, scale: Floats) -> Values:
    """
    Return how far futures under different commands part, against how far the world's do.

    Candidates are compared two by two, the first with the second and so on. Distances are root
    mean squares over features in units of their standard deviation.

    :param scale: standard deviation of each feature, (F,)
    """
    found: list[MetricValue] = []
    apart = _apart(contrast.model, scale)
    truth = None if contrast.oracle is None else _apart(contrast.oracle, scale)
    for h in reported(apart.shape[2]):
        names = (f'counterfactual_divergence[h={h}]', f'counterfactual_correlation[h={h}]')
        if truth is None:
            found += [missing(n, '1', NO_ORACLE) for n in names]
            continue
        model, world = apart[:, :, h - 1].ravel(), truth[:, :, h - 1].ravel()
        episodes = np.repeat(chosen.episodes, apart.shape[1])
        good = np.isfinite(model) & np.isfinite(world)
        found += [ratio(names[0], '1', model[good], world[good], episodes[good],
                        'the world does not depend on the command'),
                  correlation(names[1], model[good], world[good], episodes[good])]
    return (*found, *sensitivity(apart, chosen, scale))


def _apart(futures: Floats, scale: Floats) -> Floats:
    """(S, K, H, F) -> (S, K / 2, H)."""
    even = futures.shape[1] // 2 * 2
    gap = (futures[:, 0:even:2] - futures[:, 1:even:2]) / scale
    varying = max(1, int(np.isfinite(scale).sum()))
    return np.asarray(np.sqrt((gap**2).sum(axis=-1) / varying))


def sensitivity(apart: Floats, chosen: Windows, scale: Floats) -> Values:
    """
    Return how far futures part for the command, in units of how far the world moves meanwhile.

    :param apart: distance of futures under different commands, (S, P, H)
    """
    varying = max(1, int(np.isfinite(scale).sum()))
    gone = (chosen.features[:, 1:] - chosen.features[:, :1]) / scale
    moved = np.sqrt((gone**2).sum(-1) / varying)                               # (S, H)
    parted = np.where(np.isfinite(moved), apart.mean(axis=1), np.nan)
    good = np.isfinite(apart).all(axis=(1, 2))
    found = ratio('action_sensitivity', '1', np.nansum(parted[good], axis=1),
                  np.nansum(moved[good], axis=1), chosen.episodes[good], 'the world stood still')
    if found.value is None:
        return (found, missing('action_blind', '1', found.why))
    limit = found.interval.high if found.interval is not None else found.value
    blind = limit < BLIND
    why = (f'ACTION-BLIND: futures under different commands differ by less than {BLIND:.0%} of '
           'what the world moves meanwhile' if blind else '1 if action_sensitivity is surely '
           f'below {BLIND:g}')
    return (found, MetricValue('action_blind', float(blind), '1', found.n, why=why))
