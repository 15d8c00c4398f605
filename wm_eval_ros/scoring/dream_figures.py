"""What paired success rates say: does the evaluator order policies as the world does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from wm_eval_ros.metrics.base import estimated, mean_value, missing
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.compare import Rule
from wm_eval_ros.scoring.evidence import Evidence
from wm_eval_ros.scoring.pairs import match
from wm_eval_ros.scoring.success import success_gap
from wm_eval_ros.stats.correlation import (
    mmrv,
    pearson,
    pearson_resampled,
    rank_preservation,
    spearman,
)
from wm_eval_ros.stats.mean import mean_t
from wm_eval_ros.stats.multiple import holm

#: differences this likely by chance are not taken for differences of the policies
ALPHA = 0.05
NAMES = ('pearson', 'pearson[bootstrap]', 'spearman', 'mmrv', 'rank_preservation',
         'rank_preservation[shown]', 'optimism')


@dataclass(frozen=True, slots=True)
class Rates:
    """Success of one policy, and its episodes in the world."""

    real: float
    dreamed: float
    evidence: Evidence


def success_figures(policies: Sequence[Rates]) -> tuple[MetricValue, ...]:
    """Return the figures of :data:`NAMES`; ``docs/dream.md`` defines them."""
    n = len(policies)
    if n < 2:
        why = 'fewer than two policies with decided episodes in both'
        return tuple(missing(name, '1', why, n) for name in NAMES)
    x, y = (np.array([getattr(p, side) for p in policies]) for side in ('real', 'dreamed'))
    preserved = rank_preservation(x, y)
    return (
        estimated(NAMES[0], '1', n, pearson(x, y), 'Fisher'),
        estimated(NAMES[1], '1', n, pearson_resampled(x, y), 'bootstrap over policies'),
        estimated(NAMES[2], '1', n, spearman(x, y), 'Bonett-Wright'),
        MetricValue(NAMES[3], mmrv(x, y), '1', n, why='a mean of largest losses: no interval'),
        missing(NAMES[4], '1', 'no two policies differ in the world', n) if preserved is None else
        MetricValue(NAMES[4], preserved, '1', n, why='the pairs share policies: no interval'),
        _shown(policies),
        mean_value(NAMES[6], '1', n, mean_t(y - x), 'Student'))


def _shown(policies: Sequence[Rates]) -> MetricValue:
    """
    Return the share of the pairs shown to differ in the world that the dream orders alike.

    Shown is what `wm-eval compare` would show: exact McNemar, or Boschloo where unpaired, at 5 %
    after Holm over all pairs. Policies that the dream holds for equal count half.
    """
    name, every = NAMES[5], list(combinations(policies, 2))
    tests = [success_gap(match(a.evidence.episodes, b.evidence.episodes), Rule.BATCH,
                         ALPHA).p_value for a, b in every]
    tried = [(p, pair) for p, pair in zip(tests, every, strict=True) if p is not None]
    adjusted = holm([p for p, _ in tried]).tolist() if tried else []
    shown = [pair for p, (_, pair) in zip(adjusted, tried, strict=True) if p <= ALPHA]
    if not shown:
        return missing(name, '1', 'no two policies are shown to differ in the world')
    kept = [0.5 if a.dreamed == b.dreamed else float((a.real < b.real) == (a.dreamed < b.dreamed))
            for a, b in shown]
    return MetricValue(name, sum(kept) / len(kept), '1', len(kept),
                       why=f'of {len(every)} pairs {len(kept)} are shown to differ; no interval')
