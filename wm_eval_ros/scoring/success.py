"""The difference in success between two systems, and the tests that decide on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math

from wm_eval_ros.metrics.base import missing, share
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.scoring.compare import (
    Better,
    Discordance,
    Effect,
    EvidencePoint,
    HypothesisTest,
    Rule,
)
from wm_eval_ros.scoring.effects import better_by_interval
from wm_eval_ros.scoring.evidence import EpisodeEvidence
from wm_eval_ros.scoring.pairs import Matched
from wm_eval_ros.stats.paired import agresti_caffo, boschloo, mcnemar_exact, paired_difference
from wm_eval_ros.stats.power import episodes_for_gap, expected_episodes_sequential
from wm_eval_ros.stats.sequential import SignTest

MCNEMAR, BOSCHLOO, SIGN = 'exact McNemar', 'Boschloo', 'sign e-test'
_NO_EPISODE = 'no episode to compare was decided'
_NOT_TOLD = ('no episode to compare was decided and tells whether the planner drove alone: those '
             'in shadow mode do not, nor do scorecards of earlier versions (score the bags anew)')
#: success rates nearer to each other than this are not planned for: thousands of episodes
NEAR = 0.02
_POWER = 0.8
_MOST_PAIRS = 1000


@dataclass(frozen=True)
class SuccessGap:
    """How two systems differ in success, before it is decided what that shows."""

    effect: Effect
    table: Discordance | None
    path: tuple[EvidencePoint, ...]
    #: name of the test that decides under the rule; empty where there is none
    deciding: str = ''
    #: its p-value, valid at any time under the sequential rule; None where there is none
    p_value: float | None = None
    #: the side that is better if the p-value is small enough
    leader: Better = Better.NEITHER


def success_gap(matched: Matched, rule: Rule, alpha: float) -> SuccessGap:
    """
    Return the difference of the success rates over decided episodes, with its tests.

    Which side is better is left open: a test decides that, not the interval.
    """
    kept = matched.where(lambda e: e.decided)
    bare = replace(binary('success_rate', kept, 1 - alpha), better=Better.NEITHER)
    if bare.difference.value is None:
        return SuccessGap(bare, None, ())
    if not kept.paired:
        p = boschloo(*_counts(kept))
        test = HypothesisTest(BOSCHLOO, p, alpha, kept.n, p <= alpha)
        bare = replace(bare, tests=(test,))
        if rule is Rule.SEQUENTIAL:
            return SuccessGap(bare, None, ())
        return SuccessGap(bare, None, (), BOSCHLOO, p, _ahead(bare))
    table, path, sequential = _walk(kept, alpha)
    discordant = table.only_first + table.only_second
    p = mcnemar_exact(table.only_first, table.only_second)
    tests = (HypothesisTest(MCNEMAR, p, alpha, discordant, p <= alpha),
             HypothesisTest(SIGN, _peak(sequential), 1 / alpha, discordant, sequential.decided,
                            why='the largest e-value along the pairs'))
    bare = replace(bare, tests=tests)
    if rule is Rule.SEQUENTIAL:
        # who was ahead when it was decided: what follows does not undo it
        decided = {'a': Better.FIRST, 'b': Better.SECOND}.get(sequential.better, _ahead(bare))
        return SuccessGap(bare, table, path, SIGN, min(1.0, sequential.p_value), decided)
    return SuccessGap(bare, table, path, MCNEMAR, p, _ahead(bare))


def binary(name: str, kept: Matched, confidence: float,
           done: Callable[[EpisodeEvidence], bool] = lambda e: e.succeeded,
           why: str = _NO_EPISODE) -> Effect:
    """Return the difference of a share of episodes, with Tango's or Agresti and Caffo's limits."""
    groups = kept.first, kept.second
    first, second = (share(name, sum(map(done, group)), len(group), why)
                     for group in groups)
    if not all(groups):
        gap = missing(name, '1', why, kept.n)
    elif kept.paired:
        outcomes = [(done(a), done(b)) for a, b in zip(*groups, strict=True)]
        found = paired_difference(outcomes.count((True, False)), outcomes.count((False, True)),
                                  kept.n, confidence)
        gap = MetricValue(name, found.value, '1', kept.n,
                          Interval(found.low, found.high, confidence, 'Tango, paired'))
    else:
        found = agresti_caffo(*_counts(kept, done), confidence)
        gap = MetricValue(name, found.value, '1', kept.n,
                          Interval(found.low, found.high, confidence, 'Agresti-Caffo'))
    return Effect(name, '1', True, first, second, gap, better_by_interval(gap, True))


def worst_case(matched: Matched, confidence: float) -> Effect:
    """Return the difference if every aborted or open episode had failed."""
    return binary('success_rate_worst_case', matched.where(lambda e: e.counts), confidence)


def unaided(matched: Matched, confidence: float) -> Effect:
    """Return the difference where only what the planner solved by itself counts as solved."""
    kept = matched.where(lambda e: e.decided and e.result.aided is not None)
    return binary('unaided_success_rate', kept, confidence, lambda e: e.unaided, _NOT_TOLD)


def helped(matched: Matched) -> tuple[int, int]:
    """Return in how many compared successes of either side somebody else drove as well."""
    kept = matched.where(lambda e: e.decided)
    return (sum(e.result.helped for e in kept.first), sum(e.result.helped for e in kept.second))


def _counts(kept: Matched, done: Callable[[EpisodeEvidence], bool] = lambda e: e.succeeded,
            ) -> tuple[int, int, int, int]:
    return (sum(map(done, kept.first)), len(kept.first),
            sum(map(done, kept.second)), len(kept.second))


def _walk(kept: Matched, alpha: float,
          ) -> tuple[Discordance, tuple[EvidencePoint, ...], SignTest]:
    """Take the pairs in the order of their seeds, whatever their order in the bags."""
    test, path, both = SignTest(alpha), [], 0
    for a, b in zip(kept.first, kept.second, strict=True):
        test.update(a.succeeded, b.succeeded)
        both += a.succeeded and b.succeeded
        e = test.e_value
        path.append(EvidencePoint(a.result.seed or 0, test.a_only, test.b_only,
                                  e if math.isfinite(e) else None))
    table = Discordance(both, test.a_only, test.b_only,
                        test.pairs - both - test.a_only - test.b_only)
    return table, tuple(path), test


def _peak(test: SignTest) -> float | None:
    return math.exp(test.peak_log_e) if test.peak_log_e < 709 else None


def _ahead(bare: Effect) -> Better:
    """Return the side with the higher success rate."""
    value = bare.difference.value or 0.0
    return Better.NEITHER if value == 0 else Better.FIRST if value > 0 else Better.SECOND


def needed(gap: SuccessGap, rule: Rule, alpha: float) -> tuple[int | None, str]:
    """
    Return about how many pairs, or episodes a side, would show a difference like the one seen.

    Half an episode is added to each outcome, so that what has not been seen yet is not taken for
    impossible.
    """
    value = gap.effect.difference.value
    if value is None:
        return None, 'nothing is known of the rates'
    high, low, phi = _smoothed(gap)
    if min(abs(value), high - low) < NEAR:
        return None, (f'as seen they lie within {NEAR:g} of each other: only thousands of '
                      'episodes would tell them apart, if they differ')
    if gap.table is None:
        n = episodes_for_gap(high, low, _POWER, alpha)
        return n, 'episodes a side for 80 % power, if the rates are as seen'
    if rule is Rule.SEQUENTIAL:
        plan = expected_episodes_sequential(high, low, phi, alpha, _MOST_PAIRS)
        if plan.ninety is None:
            return None, f'more than {_MOST_PAIRS} pairs in more than one in ten comparisons'
        return plan.ninety, 'pairs until nine in ten comparisons are decided, if it is as seen'
    n = episodes_for_gap(high, low, _POWER, alpha, phi)
    return n, 'pairs for 80 % power, if the outcomes are as seen'


def _smoothed(gap: SuccessGap) -> tuple[float, float, float]:
    """Return the rates, the higher first, and their correlation, each outcome half seen more."""
    table = gap.table
    if table is None:
        low, high = sorted(((v.value or 0.0) * v.n + 1) / (v.n + 2)
                           for v in (gap.effect.first, gap.effect.second))
        return high, low, 0.0
    n = table.pairs + 2
    less, more = sorted((table.only_first, table.only_second))
    p1, p2 = (table.both + more + 1) / n, (table.both + less + 1) / n
    phi = ((table.both + 0.5) / n - p1 * p2) / math.sqrt(p1 * (1 - p1) * p2 * (1 - p2))
    return p1, p2, phi
