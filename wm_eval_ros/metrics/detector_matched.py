"""Perturbed and unperturbed episodes compared in slots that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wm_eval_ros.metrics.alarms import Perturbed, Trial, unwatched
from wm_eval_ros.metrics.base import Floats, Ints, missing, share
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.proportion import clopper_pearson

#: allowed share of unperturbed episodes above the threshold of the sensitivity
ALPHA = 0.05
#: with fewer unperturbed episodes no threshold among their scores keeps that share
LEAST = 19


def matched_wins(hit: Sequence[Perturbed], calm: Sequence[Trial]) -> Floats:
    """
    Compare the largest scores of each perturbed and each unperturbed episode in common slots.

    :returns: 1 where the perturbed one has the larger, 1/2 where equal, else 0; NaN where the
        unperturbed episode was over before the onset; shape (M, N)
    """
    lengths = np.array([len(t.scores) for t in calm])
    starts = np.cumsum(lengths) - lengths
    flat = np.concatenate([*(t.scores for t in calm), [-np.inf]])
    wins = np.full((len(hit), len(calm)), np.nan)
    for row, p in zip(wins, hit, strict=True):
        both = lengths > p.onset
        ends = np.minimum(len(p.trial.scores), lengths[both])
        if both.any():
            edges = np.stack([starts[both] + p.onset, starts[both] + ends], axis=1).ravel()
            other = np.maximum.reduceat(flat, edges)[::2]
            own = np.maximum.accumulate(p.trial.scores[p.onset:])[ends - 1 - p.onset]
            row[both] = (own > other) + (own == other) / 2
    return wins


def sensitivity(name: str, perturbed: Sequence[Perturbed], calm: Sequence[Trial]) -> MetricValue:
    """
    Share of perturbed episodes above a threshold that few unperturbed ones would exceed.

    Each perturbed episode has a threshold of its own: the one that a further unperturbed episode
    exceeds in the same slots in at most ALPHA of all cases, from the order of those that were seen
    (with n of them, the floor(ALPHA (n + 1))-th largest; Vovk, Gammerman and Shafer, 2005). An
    episode without a score after the onset exceeds none.

    :param perturbed: all episodes with an anomaly of the kind in question, scored or not
    :param calm: the unperturbed episodes that were scored
    :returns: Clopper-Pearson at the thresholds found, and as the reason how far these may be off
    """
    lengths = np.array([len(t.scores) for t in calm], np.int64)
    lost = [p for p in perturbed if p.onset >= len(p.trial.scores)]
    found = [_exceeds(p, calm, lengths) for p in perturbed if p.onset < len(p.trial.scores)]
    known = [each for each in found if each is not None]
    if not known:
        return missing(name, '1', f'fewer than {LEAST} unperturbed episodes last beyond the onset')
    value = share(name, sum(above for above, _ in known), len(known) + len(lost), '')
    least = min(n for _, n in known)
    aside = len(found) - len(known)
    why = (unwatched(len(lost), len(perturbed)),
           f'{aside} left out: fewer than {LEAST} unperturbed episodes last beyond the onset'
           if aside else '', _false_positives(least))
    return replace(value, why='; '.join(filter(None, why)))


def _exceeds(p: Perturbed, calm: Sequence[Trial], lengths: Ints) -> tuple[bool, int] | None:
    """
    Hold a perturbed episode against the unperturbed ones that last as long.

    The slots end where it ends, or before, where half of the unperturbed ones that last beyond the
    onset have ended, and never so late that fewer than LEAST are left.

    :returns: whether it exceeds its threshold, and from how many episodes that comes
    """
    last = np.sort(lengths[lengths > p.onset])[::-1]
    if len(last) < LEAST:
        return None
    end = min(len(p.trial.scores), int(last[max(LEAST, (len(last) + 1) // 2) - 1]))
    others = [float(np.max(t.scores[p.onset:end])) for t in calm if len(t.scores) >= end]
    threshold = sorted(others, reverse=True)[_allowed(len(others))]
    return bool(np.max(p.trial.scores[p.onset:end]) > threshold), len(others)


def _allowed(n: int) -> int:
    """Return how many of n unperturbed episodes may lie above the threshold."""
    # the slack keeps 0.05 * 20 from becoming less than 1
    return int(np.floor(ALPHA * (n + 1) + 1e-9)) - 1


def _false_positives(n: int) -> str:
    """Say how large the share of false positives of a threshold found may be."""
    above = _allowed(n)
    low, high = clopper_pearson(above + 1, n).low, clopper_pearson(above, n).high
    return (f'a threshold from {n} unperturbed episodes has in truth {low:.3g} to {high:.3g} '
            'false positives, with 95 %')
