"""
What the streams are like in each slot of a nominal episode, and how far a score is from that.

Scores are compared by their logarithm: squared errors spread over decades, and what counts is by
which factor one is larger than usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.stats.samples import Floats

#: added to every score before the logarithm: what is below it is as good as nothing
TINY = 1e-9
#: a spread below this, in natural logarithms, is taken as this: 10 %
LEAST_SPREAD = 0.1
#: slots to either side that are looked at together
NEAR = 2
#: slots beyond which fewer episodes last take over the band of the last one that has as many
LEAST_EPISODES = 5


@dataclass(frozen=True, slots=True)
class Band:
    """
    Centre and spread of each stream's logarithm by slot of the episode.

    An episode that lasts longer than the band is held against its last row.
    """

    #: shape (T, S), T >= 1
    centre: Floats
    #: shape (T, S), positive
    spread: Floats

    def standard(self, slot: int, raw: Floats) -> Floats:
        """
        Return the scores of a slot in spreads above the centre.

        :param slot: number within the episode, from 0
        :param raw: shape (S,), NaN where there is none
        :returns: shape (S,), NaN where there is none
        """
        at = min(slot, len(self.centre) - 1)
        standard: Floats = (np.log(raw + TINY) - self.centre[at]) / self.spread[at]
        return standard


def fit_band(episodes: Sequence[Floats]) -> Band:
    """
    Fit the band to nominal episodes.

    Centre and spread of a slot are mean and standard deviation over the scores of that slot and
    the NEAR ones on either side, of all episodes that last as long. A slot that too few episodes
    reach has the row of the last that enough reach; one in which a stream has no score yet has
    that stream's first.

    :param episodes: raw scores of each, shape (T_i, S); every stream has a score somewhere
    """
    streams = episodes[0].shape[1]
    lengths = np.array([len(e) for e in episodes])
    least = min(LEAST_EPISODES, len(episodes))
    last = int(np.sort(lengths)[-least])
    stacked = np.full((len(episodes), last, streams), np.nan)
    for row, episode in zip(stacked, episodes, strict=True):
        row[:min(len(episode), last)] = np.log(episode[:last] + TINY)
    stacked[~np.isfinite(stacked)] = np.nan
    rows = [_row(stacked[:, max(0, t - NEAR):t + NEAR + 1]) for t in range(last)]
    centre, spread = (np.array([row[i] for row in rows]) for i in (0, 1))
    return Band(_filled(centre), np.maximum(_filled(spread), LEAST_SPREAD))


def _row(near: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each stream over episodes and slots, NaN: no score."""
    flat = near.reshape(-1, near.shape[2])
    count = np.sum(~np.isnan(flat), axis=0)
    known = np.where(count > 0, count, np.nan)
    mean = np.nansum(flat, axis=0) / known
    return np.asarray(mean), np.sqrt(np.nansum((flat - mean)**2, axis=0) / known)


def _filled(rows: Floats) -> Floats:
    """Give rows without a number that of the nearest before, or else of the first after."""
    out = rows.copy()
    for column in out.T:
        good = np.flatnonzero(~np.isnan(column))
        nearest = np.maximum(np.searchsorted(good, np.arange(len(column)), side='right') - 1, 0)
        column[:] = column[good[nearest]]
    return np.asarray(out)
