"""What the command gate did: how often and how long it degraded or stopped, what it refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from wm_eval_ros.metrics.base import (
    count_value,
    estimated,
    mean_value,
    missing,
    share,
    Values,
)
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.handover import spell_rate
from wm_eval_ros.metrics.rows import happened
from wm_eval_ros.metrics.spells import DEGRADED, Spell, STOPPED
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import EpisodeEvent, EventKind, MetricValue
from wm_eval_ros.stats.betting import betting_interval
from wm_eval_ros.stats.mean import cluster_ratio

_KINDS = {'degraded': DEGRADED, 'stopped': STOPPED}
#: no event tells of more refusals; a larger number is none
_MOST = 2.0**53


def spell_share(name: str, run: Run, found: Sequence[Spell]) -> MetricValue:
    """
    Return the share of its time that an episode spends in spells, in the mean of the episodes.

    Every episode is one trial, bounded by 0 and 1, so that the betting interval holds however the
    time is spread, also where there was no spell at all. Starts already solved are left out.
    """
    last_ns = run.extent[1] if run.extent is not None else 0
    shares = [part for e in run.episodes if (part := _share_of(e, found, last_ns)) is not None]
    if not shares:
        return missing(f'{name}_share', '1', 'no episode was seen from its start on')
    return estimated(f'{name}_share', '1', len(shares), betting_interval(shares), 'betting')


def _share_of(episode: Episode, found: Sequence[Spell], last_ns: int) -> float | None:
    """Return it of one episode, up to the end of the record where it is open."""
    begin, end = episode.start_ns, last_ns if episode.end_ns is None else episode.end_ns
    if begin is None or end <= begin or episode.solved_at_start:
        return None
    return sum(max(0, min(off, end) - max(on, begin)) for on, off in found) / (end - begin)


def refusals(run: Run) -> Values:
    """Return how many commands were refused, and how many of each proposed one."""
    proposed = run.slots[happened(run.slots['publish'])]
    refused: dict[int, float] = defaultdict(float)
    for event in run.events:
        if event.kind == EventKind.COMMAND_REFUSED:
            refused[event.episode] += _stands_for(event)
    count, n = sum(refused.values()), len(proposed)
    whole = count_value('commands_refused', int(count), n)
    if n == 0:
        return whole, missing('refusal_rate', '1', 'no command was proposed')
    if count == 0:
        return whole, share('refusal_rate', 0, n, '')
    own = Counter(proposed['episode'].tolist())
    numbers = sorted({*own, *refused})
    found = cluster_ratio(np.array([refused.get(e, 0.0) for e in numbers]),
                          np.array([own[e] for e in numbers], float))
    return whole, mean_value('refusal_rate', '1', n, found, 'bootstrap over episodes')


def _stands_for(event: EpisodeEvent) -> float:
    """Return of how many refusals an event tells; one where it does not say."""
    return event.value if 1 <= event.value <= _MOST else 1.0


class CommandGate(TableMetric):
    """DEGRADED and STOPPED, and refused commands; the fallback is a hand-over."""

    def values(self, run: Run) -> Values:
        """Return the figures."""
        spells = {name: run.spells(kinds) for name, kinds in _KINDS.items()}
        return (*(v for name, found in spells.items() for v in (
            spell_rate(f'{name}_rate', run, len(found)), spell_share(name, run, found))),
            *refusals(run))
